/** An image: a manifest with its config, found from a descriptor in whatever place holds the blobs. */
import { CodedError } from "#base/errors.ts";
import type { Digest } from "#spec/digest.ts";
import { chainIds, imageConfigLimits, parseDiffIds, parseImageConfig, requireLayerCount, type ImageConfig } from "#spec/image-config.ts";
import { manifestLimits, parseManifestOrIndex, type Descriptor, type Index, type Manifest } from "#spec/image.ts";
import { documentKind, layerCompression } from "#spec/media-type.ts";
import { formatPlatform, selectPlatform, type Platform } from "#spec/platform.ts";
import { readBlob, readSmallBlob, type BlobReader } from "./blob/store.ts";

/** Everything about an image except the content of its layers. */
export interface Image {
  /** Digest of the config: what docker calls the image id. */
  readonly id: Digest;
  /** The manifest's descriptor; no platform, no annotations. */
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  /** Lowest first; the n-th names the tree that layers 0..n make. */
  readonly chainIds: readonly Digest[];
}

/** An index in an index in an index: nobody has a use for more, and a loop would need one. */
const maxIndexDepth = 4;

/** What was read of each store by this process: a command needs the same several times, and content does not change under its digest. */
class Memory<T> {
  readonly #read = new WeakMap<BlobReader, Map<string, T>>();

  find(reader: BlobReader, key: string): T | undefined {
    return this.#read.get(reader)?.get(key);
  }

  /** Keeps what a local store holds, when it is small. */
  keep(reader: BlobReader, key: string, { value, bytes }: { readonly value: T; readonly bytes: number }): void {
    if (reader.readSmall === undefined || bytes > rememberedBytes) return;
    const known = this.#read.get(reader) ?? new Map<string, T>();
    if (known.size >= rememberedCount) known.clear();
    this.#read.set(reader, known.set(key, value));
  }
}

const rememberedBytes = 64 << 10;
const rememberedCount = 256;
const documents = new Memory<Manifest | Index>();
const chains = new Memory<readonly Digest[]>();

function keyOf({ digest, mediaType, size }: Descriptor): string {
  return `${digest} ${size} ${mediaType}`;
}

/**
 * Reads the manifest or index that `descriptor` names, verified. A small one of a local store is remembered: whether it is still there is for
 * the store to say (`size`).
 *
 * @throws CodedError `not-found`, `corrupt`, `invalid-spec`
 */
export async function readDocument(reader: BlobReader, descriptor: Descriptor): Promise<Manifest | Index> {
  const known = documents.find(reader, keyOf(descriptor));
  if (known !== undefined) return known;
  return parseDocument(reader, descriptor, await readBlob(reader, descriptor, manifestLimits.maxBytes));
}

/**
 * As readDocument, of what may be missing: undefined then. A walk over hundreds of documents of a local store waits for none of them.
 *
 * @throws CodedError `corrupt`, `invalid-spec`
 */
export function findDocument(reader: BlobReader, descriptor: Descriptor): Manifest | Index | Promise<Manifest | Index | undefined> {
  const known = documents.find(reader, keyOf(descriptor));
  // Opening it is the quickest way to see that it is still there.
  if (known !== undefined && reader.readSmall?.(descriptor.digest, rememberedBytes) !== undefined) return known;
  const small = readSmallBlob(reader, descriptor, manifestLimits.maxBytes);
  return small === undefined ? findLater(reader, descriptor) : parseDocument(reader, descriptor, small);
}

async function findLater(reader: BlobReader, descriptor: Descriptor): Promise<Manifest | Index | undefined> {
  return (await reader.size(descriptor.digest)) === undefined ? undefined : await readDocument(reader, descriptor);
}

function parseDocument(reader: BlobReader, descriptor: Descriptor, bytes: Uint8Array): Manifest | Index {
  const { digest, mediaType } = descriptor;
  const kind = documentKind(mediaType) === "index" ? "index" : "manifest";
  const document = parseManifestOrIndex(bytes, mediaType, `${kind} ${digest}`);
  documents.keep(reader, keyOf(descriptor), { value: document, bytes: bytes.length });
  return document;
}

/** Reads and checks the image whose manifest is `descriptor`, `known` when it was read already. @throws CodedError `not-found`, `corrupt`, `invalid-spec`, `unsupported` */
export async function readImage(reader: BlobReader, descriptor: Descriptor, known?: Manifest): Promise<Image> {
  const manifest = known ?? (await readDocument(reader, descriptor));
  if (manifest.kind !== "manifest") throw new CodedError("invalid-spec", `cannot use ${descriptor.digest} as an image: it is an index`);
  requireRunnable(manifest, descriptor.digest);
  const { digest } = manifest.config;
  const config = parseImageConfig(await readBlob(reader, manifest.config, imageConfigLimits.maxBytes), `config ${digest}`);
  requireLayerCount(manifest, config, `image ${descriptor.digest}`);
  const { mediaType, size } = descriptor;
  return {
    id: digest,
    descriptor: { mediaType, digest: descriptor.digest, size },
    manifest,
    config,
    chainIds: chainIds(config.rootfs.diff_ids),
  };
}

/** The chain ids of all images among `documents`, of whatever platform; remembered as documents are. @throws CodedError for one that is damaged */
export async function readChainIds(reader: BlobReader, documents: readonly Descriptor[]): Promise<Set<Digest>> {
  const found = new Set<Digest>();
  for (const descriptor of documents) {
    const document = await readDocument(reader, descriptor);
    if (document.kind !== "manifest" || !isContainerImage(document)) continue;
    const { config } = document;
    const chain =
      chains.find(reader, keyOf(config)) ?? parseChain(reader, config, await readBlob(reader, config, imageConfigLimits.maxBytes));
    for (const chainId of chain) found.add(chainId);
  }
  return found;
}

function parseChain(reader: BlobReader, config: Descriptor, bytes: Uint8Array): readonly Digest[] {
  const chain = chainIds(parseDiffIds(bytes, `config ${config.digest}`));
  chains.keep(reader, keyOf(config), { value: chain, bytes: bytes.length });
  return chain;
}

/** True when a container can be made of it: the types of config and layers are known. Anything else is an artifact. */
export function isContainerImage(manifest: Manifest): boolean {
  return (
    documentKind(manifest.config.mediaType) === "config" &&
    manifest.layers.every((layer) => layerCompression(layer.mediaType) !== undefined)
  );
}

/** SPEC: manifest.md: unknown types of config and layers may be stored and copied, but this is no container's image. */
function requireRunnable(manifest: Manifest, digest: Digest): void {
  if (documentKind(manifest.config.mediaType) !== "config") {
    throw new CodedError("unsupported", `cannot use ${digest} as an image: its config is of the type "${manifest.config.mediaType}"`);
  }
  const strange = manifest.layers.find((layer) => layerCompression(layer.mediaType) === undefined);
  if (strange !== undefined)
    throw new CodedError("unsupported", `cannot use ${digest} as an image: layer ${strange.digest} is of the type "${strange.mediaType}"`);
}

/**
 * Follows `descriptor` through indexes to the manifest that suits `platform` best.
 *
 * A manifest that an entry of a place names directly is taken for any platform: whoever asked for it by name shall have it.
 *
 * @throws CodedError `not-found` when no manifest is for the platform; `invalid-spec` when indexes nest too deep.
 */
export async function selectManifest(reader: BlobReader, descriptor: Descriptor, platform: Platform): Promise<Descriptor> {
  let current = descriptor;
  for (let depth = 0; depth <= maxIndexDepth; depth++) {
    if (documentKind(current.mediaType) === "manifest") return current;
    if (documentKind(current.mediaType) !== "index") {
      throw new CodedError("unsupported", `cannot use ${current.digest} as an image: it is of the type "${current.mediaType}"`);
    }
    const index = await readDocument(reader, current);
    current = selectEntry(index as Index, platform, current.digest);
  }
  throw new CodedError(
    "invalid-spec",
    `cannot use ${descriptor.digest} as an image: its indexes are more than ${maxIndexDepth} levels deep`,
  );
}

function selectEntry(index: Index, platform: Platform, digest: Digest): Descriptor {
  const known = index.manifests.filter(({ mediaType }) => documentKind(mediaType) === "manifest" || documentKind(mediaType) === "index");
  const selected = selectPlatform(known, platform);
  if (selected !== undefined) return selected;
  // SPEC: `platform` is only recommended: a lone entry without one leaves no choice.
  const [only, ...others] = known;
  if (only !== undefined && only.platform === undefined && others.length === 0) return only;
  const offered = known.map((entry) => (entry.platform === undefined ? "unknown" : formatPlatform(entry.platform)));
  throw new CodedError(
    "not-found",
    `cannot find an image for ${formatPlatform(platform)} in ${digest}: it has ${offered.length === 0 ? "none" : [...new Set(offered)].join(", ")}`,
  );
}
