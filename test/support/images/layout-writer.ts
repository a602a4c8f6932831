/**
 * Writes OCI image layouts for tests, by hand and independent of the product: blobs by their digest, then the documents.
 */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

export const mediaTypes = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  tar: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
} as const;

/** A descriptor as tests write it: any JSON member may be added or be wrong. */
export interface WrittenDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly [member: string]: unknown;
}

/** A stored layer and the digest of its tar, which the config names. */
export interface WrittenLayer {
  readonly descriptor: WrittenDescriptor;
  readonly diffId: string;
}

export type Compression = "none" | "gzip" | "zstd";

/** `sha256:` and the hex digest of `bytes`. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** A layout directory that is being written. */
export class LayoutWriter {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
    writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  }

  /** Stores `bytes` as a blob and describes them. */
  blob(bytes: Uint8Array, mediaType: string): WrittenDescriptor {
    const digest = sha256(bytes);
    writeFileSync(join(this.directory, "blobs", digest.replace(":", "/")), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** Stores `document` as JSON; a string or bytes are stored as they are. */
  json(document: unknown, mediaType: string): WrittenDescriptor {
    if (document instanceof Uint8Array) return this.blob(document, mediaType);
    return this.blob(Buffer.from(typeof document === "string" ? document : JSON.stringify(document)), mediaType);
  }

  /** Stores a layer from the bytes of its tar. */
  layer(archive: Uint8Array, compression: Compression = "gzip"): WrittenLayer {
    const stored = compression === "gzip" ? gzipSync(archive) : compression === "zstd" ? Bun.zstdCompressSync(archive) : archive;
    const mediaType = compression === "none" ? mediaTypes.tar : mediaTypes[compression];
    return { descriptor: this.blob(stored, mediaType), diffId: sha256(archive) };
  }

  /** Stores config and manifest of an image of `layers` and returns the manifest's descriptor. */
  image(layers: readonly WrittenLayer[], config: Readonly<Record<string, unknown>> = {}): WrittenDescriptor {
    const document = { ...configFor(layers.map((layer) => layer.diffId)), ...config };
    const described = this.json(document, mediaTypes.config);
    return this.manifest(
      described,
      layers.map((layer) => layer.descriptor),
    );
  }

  /** Stores a manifest of exactly these descriptors. */
  manifest(config: WrittenDescriptor, layers: readonly WrittenDescriptor[]): WrittenDescriptor {
    return this.json({ schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers }, mediaTypes.manifest);
  }

  /** Writes index.json, which makes the layout complete. */
  index(manifests: readonly unknown[]): void {
    this.rawIndex(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
  }

  /** Writes index.json as given. */
  rawIndex(text: string): void {
    writeFileSync(join(this.directory, "index.json"), text);
  }

  /** Writes an index that gives `manifest` the name `tag`. */
  tag(manifest: WrittenDescriptor, tag: string): void {
    this.index([{ ...manifest, annotations: { "org.opencontainers.image.ref.name": tag } }]);
  }
}

/** A config document that a runtime can use. */
export function configFor(diffIds: readonly string[]): Record<string, unknown> {
  return {
    created: "2023-11-14T22:13:20Z",
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["/bin/sh"] },
    rootfs: { type: "layers", diff_ids: diffIds },
  };
}
