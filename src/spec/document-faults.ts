/**
 * All faults of a document, where a parser stops at the first: the place of each fault is made good with a stand-in, and the document is read
 * again, until nothing is wrong or no place is told.
 */
import { CodedError } from "#base/errors.ts";
import { encodeJson, parseJson, type JsonLimits, type JsonValue } from "#base/json.ts";

/** One fault. */
export interface DocumentFault {
  /** The sentence of the parser. */
  readonly message: string;
  /** JSON Pointer; undefined when the text as a whole cannot be read. */
  readonly pointer: string | undefined;
}

/** What could be read of a document, and what is wrong with it. */
export interface Repaired<T> {
  /** With stand-ins in the places of faults; undefined when it could not be read at all. */
  readonly value: T | undefined;
  readonly faults: readonly DocumentFault[];
}

/** The digest that stands for one that cannot be read: never that of a blob. */
export const standInDigest: string = `sha256:${"0".repeat(64)}`;

const standIns: Readonly<Record<string, JsonValue>> = {
  schemaVersion: 2,
  digest: standInDigest,
  size: 0,
  layers: [],
  manifests: [],
  diff_ids: [],
  rootfs: { type: "layers", diff_ids: [] },
  type: "layers",
  config: { mediaType: "application/vnd.oci.empty.v1+json", digest: standInDigest, size: 0 },
  os: "unknown",
  architecture: "unknown",
  imageLayoutVersion: "1.0.0",
};
/** In lists, by the name of the list: items are replaced rather than taken out, so that the places of those behind stay what they are. */
const standInItems: Readonly<Record<string, JsonValue>> = {
  layers: standIns["config"] as JsonValue,
  manifests: standIns["config"] as JsonValue,
  diff_ids: standInDigest,
  urls: "urn:none",
  history: {},
  Env: "NONE=",
};
const maxFaults = 200;

/** Reads `bytes` with `read`, again and again. Errors of `read` that are no CodedErrors are thrown on. */
export function readWithFaults<T>(bytes: Uint8Array, limits: JsonLimits, read: (bytes: Uint8Array) => T): Repaired<T> {
  const faults: DocumentFault[] = [];
  let text = bytes;
  while (faults.length < maxFaults) {
    try {
      return { value: read(text), faults };
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const pointer = error.details["pointer"];
      const isNew = typeof pointer === "string" && !faults.some((fault) => fault.pointer === pointer);
      faults.push({ message: error.message, pointer: typeof pointer === "string" ? pointer : undefined });
      if (!isNew || typeof pointer !== "string" || pointer === "") break;
      text = encodeJson(repaired(parseJson(text, "document", limits), pointer.slice(1).split("/").map(unescape)));
    }
  }
  return { value: undefined, faults };
}

function unescape(part: string): string {
  return part.replaceAll("~1", "/").replaceAll("~0", "~");
}

/** `value`, which stands under `name`, with a stand-in at the place, or without the place where one is not needed. */
function repaired(value: JsonValue, [part = "", ...rest]: readonly string[], name = ""): JsonValue {
  if (Array.isArray(value)) {
    const items = value as readonly JsonValue[];
    return items.map((item, index) => {
      if (String(index) !== part) return item;
      return rest.length > 0 ? repaired(item, rest, part) : (standInItems[name] ?? "");
    });
  }
  const object = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, JsonValue>>;
  if (rest.length > 0) return { ...object, [part]: repaired(object[part] ?? {}, rest, part) };
  if (part === "mediaType" && Object.hasOwn(object, "digest")) return { ...object, mediaType: "application/octet-stream" };
  const { [part]: _faulty, ...others } = object;
  return Object.hasOwn(standIns, part) ? { ...others, [part]: standIns[part] as JsonValue } : others;
}
