/** Indexes made of images, and their entries changed: new documents, of old ones that stay. */
import { CodedError } from "#base/errors.ts";
import { encodeJson, parseJson, type JsonObject } from "#base/json.ts";
import { digestOf, type Digest } from "#spec/digest.ts";
import { imageConfigLimits, parseImageConfig } from "#spec/image-config.ts";
import { descriptorToJson, manifestLimits, parseIndex, type Descriptor } from "#spec/image.ts";
import { documentKind, mediaTypes } from "#spec/media-type.ts";
import { formatPlatform, parsePlatform, platformDistance, type Platform } from "#spec/platform.ts";
import { readBlob, type BlobReader } from "./blob/store.ts";
import { readDocument } from "./image.ts";

/** A document with its descriptor. */
export interface MadeDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/**
 * Makes an index of what `images` point at, in their order: manifests with the platforms that their configs say, and the entries of indexes.
 *
 * @throws CodedError `invalid-argument` when two are for one platform; `corrupt`, `not-found`
 */
export async function makeIndex(
  reader: BlobReader,
  images: readonly Descriptor[],
  annotations: Readonly<Record<string, string>> = {},
): Promise<MadeDocument> {
  const entries: Descriptor[] = [];
  for (const image of images) {
    const document = await readDocument(reader, image);
    if (document.kind === "index") entries.push(...document.manifests);
    else entries.push(await describe(reader, image));
  }
  const distinct = [...new Map(entries.map((entry) => [entry.digest, entry])).values()];
  requireDistinct(distinct);
  return encode({
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: distinct.map((entry) => descriptorToJson(entry) as JsonObject),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  });
}

/** What is changed in an index. */
export interface IndexEdit {
  /** The entry: its digest, the beginning of it, or its platform. The index itself when left out. */
  readonly entry?: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Takes the place of what the entry says, field by field. */
  readonly platform: Partial<Platform>;
  /** Takes the entry out. */
  readonly isRemoval?: boolean;
}

/** The index `descriptor` with one thing changed; fields that this version does not know stay. @throws CodedError `not-found`, `invalid-argument` */
export async function editIndex(reader: BlobReader, descriptor: Descriptor, edit: IndexEdit): Promise<MadeDocument> {
  if (documentKind(descriptor.mediaType) !== "index")
    throw new CodedError("invalid-argument", `cannot change ${descriptor.digest} as an index: it is of the type ${descriptor.mediaType}`);
  const bytes = await readBlob(reader, descriptor, manifestLimits.maxBytes);
  const name = `index ${descriptor.digest}`;
  const json = parseJson(bytes, name, manifestLimits) as JsonObject;
  const { manifests, annotations } = parseIndex(bytes, name);
  if (edit.entry === undefined) return encode({ ...json, annotations: { ...annotations, ...edit.annotations } });
  const chosen = chooseEntry(manifests, edit.entry, descriptor.digest);
  const changed = manifests.flatMap((entry) => (entry !== chosen ? [entry] : edit.isRemoval === true ? [] : [changeEntry(entry, edit)]));
  requireDistinct(changed);
  return encode({ ...json, manifests: changed.map((entry) => descriptorToJson(entry) as JsonObject) });
}

function changeEntry(entry: Descriptor, { annotations, platform }: IndexEdit): Descriptor {
  const { os, architecture } = { ...entry.platform, ...platform };
  const isNamed = os !== undefined && architecture !== undefined;
  if (!isNamed && Object.keys(platform).length > 0)
    throw new CodedError(
      "invalid-argument",
      `cannot change the platform of ${entry.digest}: it has none yet, so both os and architecture are needed`,
    );
  return {
    ...entry,
    ...(isNamed ? { platform: { ...entry.platform, ...platform, os, architecture } } : {}),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations: { ...entry.annotations, ...annotations } }),
  };
}

function chooseEntry(entries: readonly Descriptor[], wanted: string, index: Digest): Descriptor {
  const isDigest = /^(?:sha256:)?[0-9a-f]{6,64}$/.test(wanted);
  const found = entries.filter((entry) =>
    isDigest
      ? entry.digest.startsWith(wanted.includes(":") ? wanted : `sha256:${wanted}`)
      : entry.platform !== undefined && platformDistance(parsePlatform(wanted), entry.platform) === 0,
  );
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new CodedError(
    "not-found",
    `cannot find ${JSON.stringify(wanted)} in the index ${index}: ${only === undefined ? "no entry is" : `${found.length} entries are`} called so`,
  );
}

/** SPEC: image-index.md: the first that fits wins, so a second one for the same platform could never be had. */
function requireDistinct(entries: readonly Descriptor[]): void {
  const seen = new Map<string, Digest>();
  for (const { platform, digest, artifactType } of entries) {
    if (platform === undefined || artifactType !== undefined || platform.os === "unknown") continue;
    const key = JSON.stringify([formatPlatform(platform), platform["os.version"], platform["os.features"]]);
    const other = seen.get(key);
    if (other !== undefined)
      throw new CodedError("invalid-argument", `cannot make an index of ${other} and ${digest}: both are for ${formatPlatform(platform)}`);
    seen.set(key, digest);
  }
}

/** SPEC: descriptor.md: what points at a manifest should say its platform; the config knows it. */
async function describe(reader: BlobReader, image: Descriptor): Promise<Descriptor> {
  const { mediaType, digest, size } = image;
  const document = await readDocument(reader, image);
  if (document.kind === "index") return image;
  if (documentKind(document.config.mediaType) !== "config")
    return { mediaType, digest, size, artifactType: document.artifactType ?? document.config.mediaType };
  const config = parseImageConfig(await readBlob(reader, document.config, imageConfigLimits.maxBytes), `config ${document.config.digest}`);
  const platform: Platform = {
    os: config.os,
    architecture: config.architecture,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
    ...(config["os.version"] === undefined ? {} : { "os.version": config["os.version"] }),
    ...(config["os.features"] === undefined ? {} : { "os.features": config["os.features"] }),
  };
  return { mediaType, digest, size, platform };
}

function encode(document: JsonObject): MadeDocument {
  const bytes = encodeJson(document);
  const { mediaType } = document;
  return {
    descriptor: { mediaType: typeof mediaType === "string" ? mediaType : mediaTypes.index, digest: digestOf(bytes), size: bytes.length },
    bytes,
  };
}
