/**
 * Images in another form: layers packed otherwise, documents with Docker's media types or the OCI's.
 *
 * Configs keep their bytes, so image ids and diff ids stay; manifests and indexes are made anew from the old ones' JSON, so that fields which
 * this version does not know survive, and get new digests.
 */
import { CodedError } from "#base/errors.ts";
import { encodeJson, parseJson, type JsonObject, type JsonValue } from "#base/json.ts";
import { ContentHasher, requireContent, verifyContent, type ContentIdentity, type Digest } from "#spec/digest.ts";
import { imageConfigLimits, parseImageConfig } from "#spec/image-config.ts";
import { descriptorToJson, manifestLimits, parseManifestOrIndex, type Descriptor, type Index, type Manifest } from "#spec/image.ts";
import { documentKind, isNondistributable, layerCompression, mediaTypes, type LayerCompression } from "#spec/media-type.ts";
import { DirectoryBlobStore } from "./blob/directory.ts";
import { blobPath } from "./blob/paths.ts";
import { readBlob, type BlobContent, type OpenRequest } from "./blob/store.ts";
import { compressLayer } from "./layer/compress.ts";
import { decompressLayer } from "./layer/decompress.ts";
import type { ImageSource, SourceImage } from "./source/source.ts";

/** Whose media types documents have. */
export type DocumentFormat = "oci" | "docker";

/** What an image is to be like. What is left out stays as it is. */
export interface Conversion {
  readonly compression?: LayerCompression | undefined;
  readonly format?: DocumentFormat | undefined;
}

/** A converted image: its root, and a source that has its blobs, new ones and old. */
export interface ConvertedImage {
  readonly root: Descriptor;
  readonly source: ImageSource;
}

const layerTypes: Readonly<Record<DocumentFormat, Readonly<Record<LayerCompression, string>>>> = {
  oci: { none: mediaTypes.layer, gzip: mediaTypes.layerGzip, zstd: mediaTypes.layerZstd },
  docker: { none: mediaTypes.dockerLayer, gzip: mediaTypes.dockerLayerGzip, zstd: mediaTypes.dockerLayerZstd },
};
const documentTypes = {
  oci: { manifest: mediaTypes.manifest, index: mediaTypes.index, config: mediaTypes.config },
  docker: { manifest: mediaTypes.dockerManifest, index: mediaTypes.dockerIndex, config: mediaTypes.dockerConfig },
} as const;

/** Tables of contents at fixed places in the packed bytes of a layer: wrong once it is packed otherwise. */
const packingAnnotations = ["containerd.io/snapshot/stargz/", "io.github.containers.zstd-chunked.", "io.containers.estargz."];

/**
 * Converts what `root` reaches in `source`; new blobs are put below the directory `scratch`, which must stay until the copy is made.
 * What is in the wanted form already stays byte for byte.
 *
 * @throws CodedError `corrupt` when a layer is not what the config says; `unsupported` for artifacts in Docker's format.
 */
export async function convertImage(
  source: ImageSource,
  root: Descriptor,
  { conversion, scratch }: { readonly conversion: Conversion; readonly scratch: string },
): Promise<ConvertedImage> {
  const made = new MadeBlobs(scratch);
  const converter = new Converter(source, conversion, made);
  return { root: await converter.convert(root), source: new ConvertedSource(source, made) };
}

/** The blobs that a conversion made. */
class MadeBlobs {
  readonly #directory: string;
  readonly #store: DirectoryBlobStore;
  readonly #digests = new Set<Digest>();

  constructor(directory: string) {
    this.#directory = directory;
    this.#store = new DirectoryBlobStore(directory);
  }

  async put(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<ContentIdentity> {
    const identity = await this.#store.put(content);
    this.#digests.add(identity.digest);
    return identity;
  }

  /** A reader of the blob; undefined when it is not one of these. */
  find(digest: Digest): { readonly store: DirectoryBlobStore; readonly path: string } | undefined {
    return this.#digests.has(digest) ? { store: this.#store, path: blobPath(this.#directory, digest) } : undefined;
  }
}

class Converter {
  readonly #source: ImageSource;
  readonly #wanted: Conversion;
  readonly #made: MadeBlobs;
  readonly #converted = new Map<Digest, Promise<Descriptor>>();

  constructor(source: ImageSource, wanted: Conversion, made: MadeBlobs) {
    this.#source = source;
    this.#wanted = wanted;
    this.#made = made;
  }

  async convert(descriptor: Descriptor): Promise<Descriptor> {
    const kind = documentKind(descriptor.mediaType);
    if (kind !== "manifest" && kind !== "index") return descriptor;
    const bytes = await readBlob(this.#source, descriptor, manifestLimits.maxBytes);
    const document = `${kind} ${descriptor.digest}`;
    const parsed = parseManifestOrIndex(bytes, descriptor.mediaType, document);
    const json = parseJson(bytes, document, manifestLimits) as JsonObject;
    const changed =
      parsed.kind === "index" ? await this.#convertIndex(parsed, json) : await this.#convertManifest(descriptor, parsed, json);
    if (changed === undefined) return descriptor;
    const { data: _embedded, ...kept } = descriptor;
    const made = encodeJson(changed);
    const identity = await this.#made.put(made);
    return { ...kept, mediaType: this.#typeOf(kind, descriptor.mediaType), ...identity };
  }

  async #convertIndex(index: Index, json: JsonObject): Promise<JsonObject | undefined> {
    if (this.#wanted.format === "docker" && index.subject !== undefined) throw unfit("an index with a subject");
    const children: Descriptor[] = [];
    for (const child of index.manifests) children.push(await this.convert(child));
    const mediaType = this.#typeOf("index", index.mediaType ?? mediaTypes.index);
    const isSame = children.every((child, at) => child === index.manifests[at]) && mediaType === (index.mediaType ?? mediaTypes.index);
    return isSame ? undefined : { ...json, mediaType, manifests: children.map((child) => descriptorToJson(child) as JsonObject) };
  }

  async #convertManifest(descriptor: Descriptor, manifest: Manifest, json: JsonObject): Promise<JsonObject | undefined> {
    if (documentKind(manifest.config.mediaType) !== "config") {
      // An artifact has nothing that could be packed otherwise.
      if (this.#wanted.format === "docker") throw unfit(`an artifact of the type ${manifest.artifactType ?? manifest.config.mediaType}`);
      return undefined;
    }
    if (this.#wanted.format === "docker" && manifest.subject !== undefined) throw unfit("a manifest with a subject");
    const layers = await this.#convertLayers(descriptor, manifest);
    const config = { ...manifest.config, mediaType: this.#typeOf("config", manifest.config.mediaType) };
    const mediaType = this.#typeOf("manifest", descriptor.mediaType);
    const isSame =
      layers.every((layer, at) => layer === manifest.layers[at]) &&
      config.mediaType === manifest.config.mediaType &&
      mediaType === descriptor.mediaType;
    if (isSame) return undefined;
    return {
      ...json,
      mediaType,
      config: descriptorToJson(config) as JsonValue,
      layers: layers.map((layer) => descriptorToJson(layer) as JsonObject),
    };
  }

  async #convertLayers(descriptor: Descriptor, manifest: Manifest): Promise<Descriptor[]> {
    const config = parseImageConfig(
      await readBlob(this.#source, manifest.config, imageConfigLimits.maxBytes),
      `config ${manifest.config.digest} of ${descriptor.digest}`,
    );
    const layers: Descriptor[] = [];
    for (const [at, layer] of manifest.layers.entries()) {
      const diffId = config.rootfs.diff_ids[at];
      if (diffId === undefined)
        throw new CodedError("invalid-spec", `cannot convert ${descriptor.digest}: its config lists too few diff_ids`);
      let converted = this.#converted.get(layer.digest);
      if (converted === undefined) {
        converted = this.#convertLayer(layer, diffId);
        this.#converted.set(layer.digest, converted);
      }
      layers.push(await converted);
    }
    return layers;
  }

  async #convertLayer(layer: Descriptor, diffId: Digest): Promise<Descriptor> {
    const from = layerCompression(layer.mediaType);
    if (from === undefined || isNondistributable(layer.mediaType)) return layer;
    const format = this.#wanted.format ?? (layer.mediaType.startsWith("application/vnd.docker.") ? "docker" : "oci");
    const compression = this.#wanted.compression ?? from;
    const mediaType = layerTypes[format][compression];
    if (compression === from) return mediaType === layer.mediaType ? layer : { ...layer, mediaType };
    const hasher = new ContentHasher();
    const plain = hashed(decompressLayer(verifyContent(this.#source.open(layer.digest), layer), layer.mediaType), hasher);
    const identity = await this.#made.put(compressLayer(plain, compression));
    requireContent(hasher.finish(), { digest: diffId });
    const { data: _data, annotations, ...kept } = layer;
    const lasting = Object.entries(annotations ?? {}).filter(([name]) => !packingAnnotations.some((prefix) => name.startsWith(prefix)));
    return { ...kept, mediaType, ...identity, ...(lasting.length === 0 ? {} : { annotations: Object.fromEntries(lasting) }) };
  }

  #typeOf(kind: "manifest" | "index" | "config", now: string): string {
    return this.#wanted.format === undefined ? now : documentTypes[this.#wanted.format][kind];
  }
}

/** New blobs before old ones. */
class ConvertedSource implements ImageSource {
  readonly description: string;
  readonly images: readonly SourceImage[];
  readonly #old: ImageSource;
  readonly #made: MadeBlobs;

  constructor(old: ImageSource, made: MadeBlobs) {
    this.description = old.description;
    this.images = old.images;
    this.#old = old;
    this.#made = made;
  }

  async size(digest: Digest): Promise<number | undefined> {
    const made = this.#made.find(digest);
    return made === undefined ? await this.#old.size(digest) : await made.store.size(digest);
  }

  open(digest: Digest, request?: OpenRequest): AsyncIterable<Uint8Array> {
    return (this.#made.find(digest)?.store ?? this.#old).open(digest, request);
  }

  content(digest: Digest): BlobContent {
    const made = this.#made.find(digest);
    return made === undefined ? this.#old.content(digest) : { path: made.path, link: true };
  }

  /** Not of what was made: the subjects of those are the old manifests. */
  async referrers(digest: Digest): Promise<readonly Descriptor[]> {
    return this.#made.find(digest) === undefined ? ((await this.#old.referrers?.(digest)) ?? []) : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#old[Symbol.asyncDispose]();
  }
}

function unfit(what: string): CodedError {
  return new CodedError("unsupported", `cannot convert to Docker's format: it has no way to say ${what}`);
}

async function* hashed(chunks: AsyncIterable<Uint8Array>, hasher: ContentHasher): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    hasher.update(chunk);
    yield chunk;
  }
}
