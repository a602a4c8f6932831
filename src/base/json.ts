/**
 * Strict parsing of JSON documents that somebody else wrote.
 *
 * Size, depth, UTF-8 and duplicate names are checked: two readers that pick different twins of a duplicate name would see two documents
 * behind one digest. A text that is written as JSON.stringify would write what JSON.parse makes of it has no twins, because JSON.parse keeps
 * one of them only; nearly all documents are written so, and seeing it costs microseconds. Any other text is scanned token by token.
 */
import { CodedError } from "./errors.ts";

/** What a JSON document holds. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/** A JSON object. Look names up with `Object.hasOwn` or a `JsonNode`: `__proto__` is a name like any other. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/** How much of a document is accepted. */
export interface JsonLimits {
  readonly maxBytes: number;
  /** Arrays and objects inside each other; 64 unless told. */
  readonly maxDepth?: number;
}

const defaultMaxDepth = 64;

/**
 * Parses the JSON document `bytes`; `document` names it in errors ("manifest sha256:…").
 *
 * @throws CodedError `invalid-spec` for what is too long, too deep, not UTF-8, not JSON, or has one name twice in an object.
 * @see image-spec main, "JSON": UTF-8 and unique names are required (RFC 7493).
 */
export function parseJson(bytes: Uint8Array, document: string, limits: JsonLimits): JsonValue {
  if (bytes.length > limits.maxBytes) throw unreadable(document, `it has ${bytes.length} bytes, more than ${limits.maxBytes}`);
  const text = decodeUtf8(bytes, document);
  const maxDepth = limits.maxDepth ?? defaultMaxDepth;
  const plain = parsePlainJson(text, maxDepth);
  if (plain !== undefined) return plain;
  const fault = findJsonFault(text, maxDepth);
  if (fault !== undefined)
    throw unreadable(document, `${fault.fact} at character ${fault.offset} (${fault.pointer === "" ? "top level" : fault.pointer})`);
  return JSON.parse(text) as JsonValue;
}

/** Longer ones are scanned, which takes no more memory. */
const maxPlainLength = 1 << 20;

/** What `text` holds when it is written as programs write JSON, and at most `maxDepth` deep; undefined when it has to be looked at closely. */
function parsePlainJson(text: string, maxDepth: number): JsonValue | undefined {
  if (text.length > maxPlainLength) return undefined;
  try {
    const value = JSON.parse(text) as JsonValue;
    if (!isWithinDepth(value, maxDepth)) return undefined;
    // Of pretty-printed text the first line break tells how it was indented.
    const indent = /^[[{]\n([ \t]+)/.exec(text)?.[1];
    const written = text.endsWith("\n") ? text.slice(0, -1) : text;
    return JSON.stringify(value, undefined, indent) === withoutGoEscapes(written) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isWithinDepth(value: JsonValue, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((inner: JsonValue) => isWithinDepth(inner, levels - 1));
}

/**
 * Go writes `&`, `<` and `>` in strings as escapes, where JSON.stringify does not. Where the backslash is itself an escaped one, what comes
 * out is no JSON any more, and so never equal to any.
 */
function withoutGoEscapes(text: string): string {
  if (!text.includes("\\u00")) return text;
  return text.replaceAll("\\u0026", "&").replaceAll("\\u003c", "<").replaceAll("\\u003e", ">");
}

/**
 * As `JSON.parse`, but integers that a number cannot hold exactly come as strings of their decimal digits.
 *
 * Go reads and writes all 64 bits (system call arguments, resource limits); JSON.parse would round them. A string rather than
 * a bigint, so that the value can be written as JSON again.
 * @throws SyntaxError as JSON.parse does.
 */
export function parseJsonKeepingDigits(text: string): unknown {
  // The least integer that is not safe has 16 digits; most documents have none as long.
  return JSON.parse(/[0-9]{16}/.test(text) ? text.replace(stringOrNumber, quoteLargeInteger) : text);
}

const stringOrNumber = /"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*/g;

function quoteLargeInteger(token: string): string {
  return /^-?[0-9]{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${token}"` : token;
}

/** The UTF-8 JSON text of `value`, names in the order that they have: equal values give equal bytes. */
export function encodeJson(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value), "utf8");
}

/** One part of a JSON Pointer. @see RFC 6901 section 4 */
export function escapePointer(part: string): string {
  return part.replaceAll("~", "~0").replaceAll("/", "~1");
}

/** What is wrong with a text, and where. */
export interface JsonFault {
  readonly offset: number;
  /** JSON Pointer of the innermost value that holds the fault. */
  readonly pointer: string;
  readonly fact: string;
}

/** An open array (`names` undefined) or object. */
interface Frame {
  readonly names: Set<string> | undefined;
  name: string;
  index: number;
}

type Expected = "value" | "value or ]" | "name" | "name or }" | "colon" | "comma or end" | "nothing";

const blank = /[ \t\n\r]*/y;
const scalar = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;
// One run of plain characters at a time: a regular expression over a whole string of megabytes can exhaust the matcher's stack.
// eslint-disable-next-line no-control-regex -- RFC 8259 forbids control characters in strings
const plainRun = /[^"\\\x00-\x1f]*/y;
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** Finds the first thing in `text` that keeps it from being one JSON value of unique names, at most `maxDepth` deep. */
export function findJsonFault(text: string, maxDepth: number): JsonFault | undefined {
  const frames: Frame[] = [];
  let expected: Expected = "value";
  let at = 0;
  const fault = (fact: string): JsonFault => ({ offset: at, pointer: pointerOf(frames), fact });
  for (;;) {
    at = endOf(blank, text, at);
    const char = text[at];
    const top = frames.at(-1);
    if (char === undefined) return expected === "nothing" ? undefined : fault("the text ends early");
    if (expected === "nothing") return fault("something follows the document");
    if (expected === "colon") {
      if (char !== ":") return fault("a colon is missing");
      expected = "value";
      at++;
    } else if (expected === "comma or end" && char === ",") {
      if (top?.names === undefined) (top as Frame).index++;
      expected = top?.names === undefined ? "value" : "name";
      at++;
    } else if ((char === "]" || char === "}") && mayClose(char, expected, top)) {
      frames.pop();
      expected = frames.length === 0 ? "nothing" : "comma or end";
      at++;
    } else if (expected === "comma or end") {
      return fault("a comma is missing");
    } else if (expected === "name" || expected === "name or }") {
      const end = char === '"' ? endOfString(text, at) : -1;
      if (end < 0) return fault("a name in quotes is missing");
      const name = JSON.parse(text.slice(at, end)) as string;
      const { names } = top as Frame;
      if (names?.has(name) === true) return fault(`the name ${JSON.stringify(name)} occurs twice`);
      names?.add(name);
      (top as Frame).name = name;
      expected = "colon";
      at = end;
    } else if (char === "{" || char === "[") {
      if (frames.length >= maxDepth) return fault(`it is more than ${maxDepth} levels deep`);
      frames.push({ names: char === "{" ? new Set() : undefined, name: "", index: 0 });
      expected = char === "{" ? "name or }" : "value or ]";
      at++;
    } else {
      const end = char === '"' ? endOfString(text, at) : endOf(scalar, text, at);
      if (end <= at) return fault(char === '"' ? "a string is malformed" : "a value is malformed");
      expected = frames.length === 0 ? "nothing" : "comma or end";
      at = end;
    }
  }
}

function mayClose(char: string, expected: Expected, top: Frame | undefined): boolean {
  if (top === undefined) return false;
  if (char === "}") return top.names !== undefined && (expected === "name or }" || expected === "comma or end");
  return top.names === undefined && (expected === "value or ]" || expected === "comma or end");
}

function endOf(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

/** Where the string that opens at `at` ends; -1 when it is malformed. */
function endOfString(text: string, at: number): number {
  let next = at + 1;
  for (;;) {
    next = endOf(plainRun, text, next);
    if (text[next] === '"') return next + 1;
    const after = endOf(escape, text, next);
    if (after === next) return -1;
    next = after;
  }
}

function pointerOf(frames: readonly Frame[]): string {
  return frames.map((frame) => `/${frame.names === undefined ? frame.index : escapePointer(frame.name)}`).join("");
}

let decoder: TextDecoder | undefined;

function decodeUtf8(bytes: Uint8Array, document: string): string {
  try {
    decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return decoder.decode(bytes);
  } catch (cause) {
    throw new CodedError("invalid-spec", `cannot read ${document}: it is not UTF-8`, { cause });
  }
}

function unreadable(document: string, fact: string): CodedError {
  return new CodedError("invalid-spec", `cannot read ${document}: ${fact}`);
}
