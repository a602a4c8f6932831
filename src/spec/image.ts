/**
 * The documents that tie an image together: descriptors, manifests and indexes, as types and strict parsers.
 *
 * Parsed values are for reading only. The bytes are what has the digest, so copies are made of bytes; the fields
 * that this version does not know matter in one place, the store's own index.json, and are kept for it in `extra`.
 */
import type { JsonLimits, JsonObject, JsonValue } from "#base/json.ts";
import { parseJsonNode, readStringRecord, type JsonNode } from "#base/json-node.ts";
import { findDigestFault, type Digest } from "./digest.ts";
import { documentKind, isMediaType } from "./media-type.ts";
import { readPlatform, type Platform } from "./platform.ts";

/** How long manifests and indexes may be. SPEC: distribution-spec asks registries to take at least 4 MiB. */
export const manifestLimits = { maxBytes: 4 << 20, maxDepth: 32 } as const satisfies JsonLimits;

/** Layers per manifest, and manifests per index: far beyond what is real (overlayfs stacks at most 500 layers). */
const maxDescriptors = 100_000;

/** Names content: type, digest and size. @see image-spec descriptor.md */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly platform?: Platform | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly artifactType?: string | undefined;
  readonly urls?: readonly string[] | undefined;
  /** The content itself in base64; not trusted until it is verified like any other bytes. */
  readonly data?: string | undefined;
  /** Fields that this version does not know. */
  readonly extra?: JsonObject | undefined;
}

/** One image: a config and its layers, lowest first. @see image-spec manifest.md */
export interface Manifest {
  readonly kind: "manifest";
  readonly mediaType: string | undefined;
  readonly artifactType: string | undefined;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A list of images, one per platform, say. @see image-spec image-index.md */
export interface Index {
  readonly kind: "index";
  readonly mediaType: string | undefined;
  readonly artifactType: string | undefined;
  readonly manifests: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Parses a manifest or an index.
 *
 * @param expectedType the media type that led here (a descriptor's or a Content-Type); what the bytes say must agree with it.
 * @param document names it in errors: `manifest sha256:…`.
 * @throws CodedError `invalid-spec`
 */
export function parseManifestOrIndex(bytes: Uint8Array, expectedType: string, document: string): Manifest | Index {
  const node = parseJsonNode(bytes, document, manifestLimits);
  const kind = documentKind(expectedType);
  if (kind === "manifest") return readManifest(node, expectedType);
  if (kind === "index") return readIndex(node, expectedType);
  throw node.fault(`its media type "${expectedType}" is neither a manifest's nor an index's`);
}

/** Parses what must be a manifest, whatever its bytes say that it is. @throws CodedError `invalid-spec` */
export function parseManifest(bytes: Uint8Array, document: string): Manifest {
  return readManifest(parseJsonNode(bytes, document, manifestLimits), undefined);
}

/** Parses what must be an index, such as a layout's index.json. @throws CodedError `invalid-spec` */
export function parseIndex(bytes: Uint8Array, document: string, limits: JsonLimits = manifestLimits): Index {
  return readIndex(parseJsonNode(bytes, document, limits), undefined);
}

function readManifest(node: JsonNode, expectedType: string | undefined): Manifest {
  const mediaType = readOwnType(node, { expectedType, kind: "manifest" });
  // SECURITY: CVE-2021-41190: a document that is both would mean one thing to us and another to the next reader.
  refuseFields(node, ["manifests", "fsLayers"], "a manifest");
  return {
    kind: "manifest",
    mediaType,
    artifactType: node.maybe("artifactType", readMediaType),
    config: readDescriptor(node.get("config")),
    layers: readDescriptors(node.get("layers")),
    subject: node.maybe("subject", readDescriptor),
    annotations: node.maybe("annotations", readStringRecord) ?? {},
  };
}

function readIndex(node: JsonNode, expectedType: string | undefined): Index {
  const mediaType = readOwnType(node, { expectedType, kind: "index" });
  refuseFields(node, ["layers", "config", "fsLayers"], "an index");
  return {
    kind: "index",
    mediaType,
    artifactType: node.maybe("artifactType", readMediaType),
    manifests: readManifests(node.get("manifests")),
    subject: node.maybe("subject", readDescriptor),
    annotations: node.maybe("annotations", readStringRecord) ?? {},
  };
}

/** COMPAT: tools written in Go spell an empty list `null`. */
function readManifests(node: JsonNode): readonly Descriptor[] {
  return node.value === null ? [] : readDescriptors(node);
}

function readOwnType(node: JsonNode, wanted: { expectedType: string | undefined; kind: "manifest" | "index" }): string | undefined {
  const version = node.get("schemaVersion");
  if (version.integer() !== 2) throw version.fault(`it is ${version.integer()}; only version 2 can be read`);
  const mediaType = node.maybe("mediaType", readMediaType);
  if (mediaType !== undefined && wanted.expectedType !== undefined && mediaType !== wanted.expectedType) {
    throw node.get("mediaType").fault(`it is "${mediaType}", but what refers to it says "${wanted.expectedType}"`);
  }
  if (mediaType !== undefined && documentKind(mediaType) !== wanted.kind) {
    throw node
      .get("mediaType")
      .fault(`it is "${mediaType}", which is not the type of ${wanted.kind === "index" ? "an index" : "a manifest"}`);
  }
  return mediaType;
}

function refuseFields(node: JsonNode, names: readonly string[], what: string): void {
  for (const name of names) {
    if (node.get(name).value !== undefined) throw node.get(name).fault(`${what} must not have it`);
  }
}

const knownFields = new Set(["mediaType", "digest", "size", "platform", "annotations", "artifactType", "urls", "data"]);

/** Reads a descriptor. @throws CodedError `invalid-spec` */
export function readDescriptor(node: JsonNode): Descriptor {
  return readPlainDescriptor(node.value) ?? readAnyDescriptor(node);
}

/** One without fault that has nothing but what most have, at a tenth of the cost; undefined for any other. */
function readPlainDescriptor(value: JsonValue | undefined): Descriptor | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { mediaType, digest, size, annotations, ...others } = value as JsonObject;
  if (typeof mediaType !== "string" || typeof digest !== "string" || typeof size !== "number" || Object.keys(others).length > 0)
    return undefined;
  if (!isMediaType(mediaType) || findDigestFault(digest) !== undefined || !Number.isSafeInteger(size) || size < 0) return undefined;
  if (annotations === undefined) return { mediaType, digest: digest as Digest, size };
  return isPlainRecord(annotations) ? { mediaType, digest: digest as Digest, size, annotations } : undefined;
}

function isPlainRecord(value: JsonValue): value is Record<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((text: JsonValue) => typeof text === "string" && !text.includes("\0"));
}

function readAnyDescriptor(node: JsonNode): Descriptor {
  const platform = node.maybe("platform", readPlatform);
  const annotations = node.maybe("annotations", readStringRecord);
  const artifactType = node.maybe("artifactType", readMediaType);
  const urls = node.maybe("urls", (list) => list.items().map(readUrl));
  const data = node.maybe("data", readBase64);
  const extra = Object.fromEntries(Object.entries(node.object()).filter(([name]) => !knownFields.has(name)));
  return {
    mediaType: readMediaType(node.get("mediaType")),
    digest: readDigest(node.get("digest")),
    size: node.get("size").size(),
    ...(platform === undefined ? {} : { platform }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(urls === undefined ? {} : { urls }),
    ...(data === undefined ? {} : { data }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

/** A descriptor as it is written: known fields in the order of the spec, unknown ones after them. */
export function descriptorToJson({ mediaType, digest, size, platform, annotations, artifactType, urls, data, extra }: Descriptor): object {
  return { mediaType, digest, size, urls, annotations, data, platform, artifactType, ...extra };
}

function readDescriptors(node: JsonNode): readonly Descriptor[] {
  const items = node.items();
  if (items.length > maxDescriptors) throw node.fault(`it has ${items.length} entries, more than ${maxDescriptors}`);
  return items.map(readDescriptor);
}

/** Reads a digest. @throws CodedError `invalid-spec` */
export function readDigest(node: JsonNode): Digest {
  const text = node.string();
  const fault = findDigestFault(text);
  if (fault !== undefined) throw node.fault(`it is ${JSON.stringify(text.slice(0, 200))}: ${fault}`);
  return text as Digest;
}

function readMediaType(node: JsonNode): string {
  const text = node.string();
  if (!isMediaType(text)) throw node.fault(`it is ${JSON.stringify(text.slice(0, 200))}, not a media type`);
  return text;
}

/** Any URI: which schemes are followed is for whoever follows them. */
function readUrl(node: JsonNode): string {
  const text = node.string();
  if (!URL.canParse(text)) throw node.fault(`it is ${JSON.stringify(text.slice(0, 200))}, not a URL`);
  return text;
}

function readBase64(node: JsonNode): string {
  const text = node.string();
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) throw node.fault("it is not base64");
  return text;
}
