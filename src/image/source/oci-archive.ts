/**
 * An OCI image layout inside a tar file: the "OCI archive" of skopeo, podman and buildkit, and what docker saves since version 25,
 * with its own manifest.json beside; that one is read for the names only.
 */
import { parseIndexFile, requireLayoutVersion } from "../layout.ts";
import { readDocument } from "../image.ts";
import type { BlobContent, OpenRequest } from "../blob/store.ts";
import { missingBlob } from "../blob/store.ts";
import { digestAlgorithm, digestEncoded, type Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import type { ArchiveFile, ArchiveIndex } from "./archive-index.ts";
import { dockerManifestMaxBytes, parseDockerManifest, type DockerArchiveImage } from "./docker-manifest.ts";
import { readReferrers } from "../referrers.ts";
import { namedImages } from "./names.ts";
import type { ImageSource, SourceImage } from "./source.ts";

/** Opens the layout in `archive`; `close` runs when the source is disposed. @throws CodedError `invalid-spec`, `not-found` */
export async function openOciArchive(archive: ArchiveIndex, close: () => Promise<void>): Promise<ImageSource> {
  requireLayoutVersion(await archive.read("oci-layout", 1 << 16), archive.name);
  const index = parseIndexFile(await archive.read("index.json", 64 << 20), archive.name);
  const images = namedImages(index.manifests);
  const entries = index.manifests;
  const source = new OciArchive(archive, { entries, images, close });
  if (archive.find("manifest.json") === undefined) return source;
  const saved = parseDockerManifest(await archive.read("manifest.json", dockerManifestMaxBytes), `manifest.json of ${archive.name}`);
  const renamed: SourceImage[] = [];
  for (const image of images) renamed.push(await withSavedNames(source, { image, saved }));
  return new OciArchive(archive, { entries, images: renamed, close });
}

class OciArchive implements ImageSource {
  readonly description: string;
  readonly images: readonly SourceImage[];
  readonly #archive: ArchiveIndex;
  readonly #entries: readonly Descriptor[];
  readonly #close: () => Promise<void>;

  constructor(
    archive: ArchiveIndex,
    { entries, images, close }: { entries: readonly Descriptor[]; images: readonly SourceImage[]; close: () => Promise<void> },
  ) {
    this.#entries = entries;
    this.description = `the OCI archive ${archive.name}`;
    this.images = images;
    this.#archive = archive;
    this.#close = close;
  }

  async size(digest: Digest): Promise<number | undefined> {
    return this.#find(digest)?.size;
  }

  open(digest: Digest, { offset = 0 }: OpenRequest = {}): AsyncIterable<Uint8Array> {
    const file = this.#find(digest);
    if (file === undefined) throw missingBlob(digest);
    return this.#archive.open(file, offset);
  }

  content(digest: Digest): BlobContent {
    return this.open(digest);
  }

  referrers(digest: Digest): Promise<readonly Descriptor[]> {
    return readReferrers(this, this.#entries, digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  #find(digest: Digest): ArchiveFile | undefined {
    return this.#archive.find(`blobs/${digestAlgorithm(digest)}/${digestEncoded(digest)}`);
  }
}

/** Docker names an image in manifest.json; the two documents meet in the config's digest. */
async function withSavedNames(
  source: ImageSource,
  { image, saved }: { image: SourceImage; saved: readonly DockerArchiveImage[] },
): Promise<SourceImage> {
  const configs = await listConfigs(source, image.descriptor);
  const names = saved.flatMap(({ config, names: savedNames }) =>
    configs.some((digest) => config === `blobs/${digest.replace(":", "/")}`) ? savedNames : [],
  );
  return names.length === 0 ? image : { ...image, names: [...new Set(names)], tag: undefined };
}

/** The configs that `descriptor` reaches directly or through one index, as far as the source has the documents. */
async function listConfigs(source: ImageSource, descriptor: Descriptor, depth = 0): Promise<Digest[]> {
  const kind = documentKind(descriptor.mediaType);
  if ((kind !== "manifest" && kind !== "index") || (await source.size(descriptor.digest)) === undefined) return [];
  const document = await readDocument(source, descriptor);
  if (document.kind === "manifest") return [document.config.digest];
  if (depth > 0) return [];
  const configs: Digest[] = [];
  for (const child of document.manifests) configs.push(...(await listConfigs(source, child, depth + 1)));
  return configs;
}
