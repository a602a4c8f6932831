/**
 * The docker archive: what docker (until version 24), podman and skopeo save. It has no manifest, so one is made:
 * the same archive always gives the same bytes. The config is passed on as it is, so the image id is docker's.
 */
import { CodedError } from "#base/errors.ts";
import { encodeJson } from "#base/json.ts";
import { ContentHasher, digestOf, type Digest } from "#spec/digest.ts";
import { imageConfigLimits, parseImageConfig } from "#spec/image-config.ts";
import type { Descriptor } from "#spec/image.ts";
import { mediaTypes } from "#spec/media-type.ts";
import { missingBlob, type BlobContent, type OpenRequest } from "../blob/store.ts";
import type { ArchiveFile, ArchiveIndex } from "./archive-index.ts";
import { dockerManifestMaxBytes, parseDockerManifest, type DockerArchiveImage } from "./docker-manifest.ts";
import { detectCompression } from "./magic.ts";
import type { ImageSource, SourceImage } from "./source.ts";

/** Opens a docker archive; `close` runs when the source is disposed. @throws CodedError `invalid-spec`, `not-found`, `corrupt` */
export async function openDockerArchive(archive: ArchiveIndex, close: () => Promise<void>): Promise<ImageSource> {
  const saved = parseDockerManifest(await archive.read("manifest.json", dockerManifestMaxBytes), `manifest.json of ${archive.name}`);
  const source = new DockerArchive(archive, close);
  for (const image of saved) await source.add(image);
  return source;
}

class DockerArchive implements ImageSource {
  readonly description: string;
  readonly images: SourceImage[] = [];
  readonly #archive: ArchiveIndex;
  readonly #close: () => Promise<void>;
  /** Layers lie in the archive, documents in memory. */
  readonly #layers = new Map<Digest, ArchiveFile>();
  readonly #documents = new Map<Digest, Uint8Array>();

  constructor(archive: ArchiveIndex, close: () => Promise<void>) {
    this.description = `the docker archive ${archive.name}`;
    this.#archive = archive;
    this.#close = close;
  }

  /** Makes the manifest of one image. */
  async add(image: DockerArchiveImage): Promise<void> {
    const bytes = await this.#archive.read(image.config, imageConfigLimits.maxBytes);
    const config = parseImageConfig(bytes, `${image.config} of ${this.#archive.name}`);
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== image.layers.length) {
      throw new CodedError(
        "invalid-spec",
        `cannot read ${image.config} of ${this.#archive.name}: it lists ${diffIds.length} diff_ids, but manifest.json ${image.layers.length} layers`,
      );
    }
    const layers: Descriptor[] = [];
    for (const [index, diffId] of diffIds.entries()) layers.push(await this.#addLayer(image.layers[index] ?? "", diffId));
    const manifest = encodeJson({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: this.#addDocument(bytes, mediaTypes.config),
      layers,
    });
    this.images.push({ names: image.names, tag: undefined, descriptor: this.#addDocument(manifest, mediaTypes.manifest) });
  }

  async size(digest: Digest): Promise<number | undefined> {
    return this.#documents.get(digest)?.length ?? this.#layers.get(digest)?.size;
  }

  async *open(digest: Digest, { offset = 0 }: OpenRequest = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const document = this.#documents.get(digest);
    const layer = this.#layers.get(digest);
    if (document !== undefined) yield document.subarray(offset);
    else if (layer !== undefined) yield* this.#archive.open(layer, offset);
    else throw missingBlob(digest);
  }

  content(digest: Digest): BlobContent {
    return this.#documents.get(digest) ?? this.open(digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  /** A plain tar is its own diff; some builders put compressed layers here, whose digest is not told and must be computed. */
  async #addLayer(name: string, diffId: Digest): Promise<Descriptor> {
    const file = this.#archive.find(name);
    if (file === undefined)
      throw new CodedError("not-found", `cannot read layer ${JSON.stringify(name)} in ${this.#archive.name}: the archive does not have it`);
    const compression = detectCompression(await this.#beginningOf(file));
    if (compression === "xz" || compression === "bzip2")
      throw new CodedError("unsupported", `cannot read layer ${name} in ${this.#archive.name}: it is compressed with ${compression}`);
    const digest = compression === "none" ? diffId : await this.#digestOf(file);
    const mediaType = { none: mediaTypes.layer, gzip: mediaTypes.layerGzip, zstd: mediaTypes.layerZstd }[compression];
    this.#layers.set(digest, file);
    return { mediaType, digest, size: file.size };
  }

  #addDocument(bytes: Uint8Array, mediaType: string): Descriptor {
    const digest = digestOf(bytes);
    this.#documents.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  async #beginningOf(file: ArchiveFile): Promise<Uint8Array> {
    for await (const chunk of this.#archive.open({ offset: file.offset, size: Math.min(file.size, 16) })) return chunk;
    return new Uint8Array();
  }

  async #digestOf(file: ArchiveFile): Promise<Digest> {
    const hasher = new ContentHasher();
    for await (const chunk of this.#archive.open(file)) hasher.update(chunk);
    return hasher.finish().digest;
  }
}
