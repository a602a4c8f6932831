/**
 * Typed readers over a parsed JSON document: each node knows its document and its JSON Pointer, so that
 * every error says where: `cannot read manifest sha256:…: /layers/3/size: it is "12", not a non-negative integer`.
 */
import { CodedError } from "./errors.ts";
import { escapePointer, parseJson, type JsonLimits, type JsonObject, type JsonValue } from "./json.ts";

/** Parses `bytes` (see parseJson) and gives the document's top as a node. */
export function parseJsonNode(bytes: Uint8Array, document: string, limits: JsonLimits): JsonNode {
  return new JsonNode(parseJson(bytes, document, limits), document);
}

/** A place in a document; the place may be empty. */
export class JsonNode {
  /** Undefined when nothing is there. */
  readonly value: JsonValue | undefined;
  readonly document: string;
  readonly #above: JsonNode | undefined;
  readonly #name: string | number;

  /** `above` is the place that has this one under `name`, or, for the top of a document, what errors call that document. */
  constructor(value: JsonValue | undefined, above: JsonNode | string, name: string | number = "") {
    this.value = value;
    this.document = typeof above === "string" ? above : above.document;
    this.#above = typeof above === "string" ? undefined : above;
    this.#name = name;
  }

  /** JSON Pointer, "" for the whole document. Made when it is asked for: few documents have a fault to tell. */
  get pointer(): string {
    return this.#above === undefined ? "" : `${this.#above.pointer}/${escapePointer(String(this.#name))}`;
  }

  /** The error that says `fact` of this place. */
  fault(fact: string): CodedError {
    const place = this.pointer === "" ? "" : `${this.pointer}: `;
    return new CodedError("invalid-spec", `cannot read ${this.document}: ${place}${fact}`, { details: { pointer: this.pointer } });
  }

  /** What `read` makes of this place; undefined when nothing is there or null is, which the image spec says is the same. */
  optional<T>(read: (node: JsonNode) => T): T | undefined {
    return this.value === undefined || this.value === null ? undefined : read(this);
  }

  /** The object here. */
  object(): JsonObject {
    const { value } = this;
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw this.#mismatch("an object");
    return value as JsonObject;
  }

  /** What `read` makes of the place under `name`; undefined when nothing is there or null is. As `get(name).optional(read)`. */
  maybe<T>(name: string, read: (node: JsonNode) => T): T | undefined {
    const object = this.object();
    const value = Object.hasOwn(object, name) ? object[name] : undefined;
    return value === undefined || value === null ? undefined : read(this.#child(value, name));
  }

  /** The place under `name` in the object here. */
  get(name: string): JsonNode {
    const object = this.object();
    return this.#child(Object.hasOwn(object, name) ? object[name] : undefined, name);
  }

  /** The elements of the array here. */
  items(): JsonNode[] {
    const { value } = this;
    if (!Array.isArray(value)) throw this.#mismatch("an array");
    return (value as JsonValue[]).map((item, index) => this.#child(item, index));
  }

  /** The members of the object here, each read by `read`. */
  record<T>(read: (node: JsonNode) => T): Record<string, T> {
    // fromEntries defines its properties, so that even "__proto__" stays a plain name.
    return Object.fromEntries(Object.entries(this.object()).map(([name, value]) => [name, read(this.#child(value, name))]));
  }

  /** The string here. NUL is refused: no string of these documents may hold it once it reaches the kernel. */
  string(): string {
    const { value } = this;
    if (typeof value !== "string") throw this.#mismatch("a string");
    if (value.includes("\0")) throw this.fault("it holds a NUL character");
    return value;
  }

  /** The integer here; what JavaScript cannot hold exactly is refused. */
  integer(): number {
    const { value } = this;
    if (typeof value !== "number" || !Number.isSafeInteger(value)) throw this.#mismatch("an integer below 2^53");
    return value;
  }

  /** The integer of 0 or more here. */
  size(): number {
    const { value } = this;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw this.#mismatch("a non-negative integer");
    return value;
  }

  /** The boolean here. */
  boolean(): boolean {
    const { value } = this;
    if (typeof value !== "boolean") throw this.#mismatch("true or false");
    return value;
  }

  #child(value: JsonValue | undefined, name: string | number): JsonNode {
    return new JsonNode(value, this, name);
  }

  #mismatch(wanted: string): CodedError {
    if (this.value === undefined) return this.fault("it is missing");
    return this.fault(`it is ${shortened(this.value)}, not ${wanted}`);
  }
}

/** The strings of the array at `node`. */
export function readStrings(node: JsonNode): string[] {
  return node.items().map((item) => item.string());
}

/** The string values of the object at `node`. */
export function readStringRecord(node: JsonNode): Record<string, string> {
  return node.record((item) => item.string());
}

function shortened(value: JsonValue): string {
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
