/**
 * Shapes: small values that check a foreign JSON value and give it a type.
 *
 * One table per document is both its TypeScript type (`Infer`) and its parser. Unknown properties are
 * dropped without a word and `null` counts as absent, as Go's decoder has it, which wrote most documents.
 */
import { CodedError } from "#base/errors.ts";

/** Checks `value` and returns it typed; `at` is the JSON Pointer used in errors. @throws CodedError `invalid-spec`. */
export type Shape<T> = (value: unknown, at: string) => T;

/** The type that a shape gives. */
export type Infer<S> = S extends Shape<infer T> ? T : never;

type Fields = Readonly<Record<string, Shape<unknown>>>;
type Required<F extends Fields> = { readonly [K in keyof F]: Infer<F[K]> };
type Optional<F extends Fields> = { readonly [K in keyof F]?: Infer<F[K]> };

/** A string without NUL characters, which neither the kernel nor the environment could hold. */
export const text: Shape<string> = (value, at) => {
  if (typeof value !== "string") throw wrongType(value, at, "a string");
  if (value.includes("\0")) throw new CodedError("invalid-spec", `cannot use ${pointer(at)}: it contains a NUL character`);
  return value;
};

/** A boolean. */
export const flag: Shape<boolean> = (value, at) => {
  if (typeof value !== "boolean") throw wrongType(value, at, "true or false");
  return value;
};

/** Anything at all: what is only looked at to refuse or to pass on. */
export const anything: Shape<unknown> = (value) => value;

/** An integer from 0 to 65535. */
export const uint16: Shape<number> = integer(0, 0xffff);
/** An integer from 0 to 4294967295. */
export const uint32: Shape<number> = integer(0, 0xffffffff);
/** A signed integer of 32 bits. */
export const int32: Shape<number> = integer(-0x80000000, 0x7fffffff);
/** An unsigned integer of 64 bits; above 2^53 it has the precision of a JSON number. */
export const uint64: Shape<number> = integer(0, 2 ** 64);
/** A signed integer of 64 bits; beyond 2^53 it has the precision of a JSON number. */
export const int64: Shape<number> = integer(-(2 ** 63), 2 ** 63);

/**
 * An unsigned integer of 64 bits of which none may be lost: a number up to 2^53, above that its decimal digits
 * (see `parseJsonKeepingDigits`). `BigInt()` takes both.
 */
export const exactUint64: Shape<number | string> = (value, at) => {
  if (typeof value === "number" && value > Number.MAX_SAFE_INTEGER) {
    throw new CodedError("invalid-spec", `cannot use ${pointer(at)}: ${value} has lost digits; give it as a string of decimal digits`);
  }
  if (!isLargeInteger(value)) return uint64(value, at);
  if (value.startsWith("-") || BigInt(value) >= 2n ** 64n)
    throw new CodedError("invalid-spec", `cannot use ${pointer(at)}: ${value} is not from 0 to ${2n ** 64n - 1n}`);
  return value;
};

/** An array whose elements have the shape `element`. */
export function list<T>(element: Shape<T>): Shape<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw wrongType(value, at, "an array");
    return value.map((item, index) => element(item, `${at}/${index}`));
  };
}

/** An object used as a map from any name to values of the shape `element`. */
export function record<T>(element: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return (value, at) => {
    const fields = requireObject(value, at);
    // A null prototype, so that a key such as "__proto__" is an ordinary entry.
    const result: Record<string, T> = Object.create(null) as Record<string, T>;
    for (const key of Object.keys(fields)) {
      text(key, at);
      result[key] = element(fields[key], pointerTo(at, key));
    }
    return result;
  };
}

/** A string from a closed set. */
export function oneOf<const T extends string>(...choices: readonly T[]): Shape<T> {
  return (value, at) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw wrongType(value, at, `one of ${choices.join(", ")}`);
    return found;
  };
}

/** An object with these required and optional properties. */
export function object<R extends Fields, O extends Fields>(required: R, optional: O): Shape<Required<R> & Optional<O>> {
  const requiredKeys = Object.entries(required);
  const optionalKeys = Object.entries(optional);
  return (value, at) => {
    const fields = requireObject(value, at);
    const result: Record<string, unknown> = {};
    for (const [key, shape] of requiredKeys) {
      const field = fields[key] ?? undefined;
      if (field === undefined) throw new CodedError("invalid-spec", `cannot use ${pointer(at)}: ${key} is missing`);
      result[key] = shape(field, `${at}/${key}`);
    }
    for (const [key, shape] of optionalKeys) {
      const field = fields[key] ?? undefined;
      if (field !== undefined) result[key] = shape(field, `${at}/${key}`);
    }
    return result as Required<R> & Optional<O>;
  };
}

/** `at` extended by `key`, escaped. @see RFC 6901 */
export function pointerTo(at: string, key: string): string {
  return `${at}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function integer(minimum: number, maximum: number): Shape<number> {
  return (given, at) => {
    const value = isLargeInteger(given) ? Number(given) : given;
    if (typeof value !== "number" || !Number.isInteger(value)) throw wrongType(value, at, "an integer");
    if (value < minimum || value > maximum) {
      throw new CodedError("invalid-spec", `cannot use ${pointer(at)}: ${value} is not from ${minimum} to ${maximum}`);
    }
    return value;
  };
}

/** Whether `value` is how `parseJsonKeepingDigits` gives an integer that a number cannot hold. */
function isLargeInteger(value: unknown): value is string {
  return typeof value === "string" && /^-?[1-9][0-9]{15,}$/.test(value) && !Number.isSafeInteger(Number(value));
}

function requireObject(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrongType(value, at, "an object");
  return value as Record<string, unknown>;
}

function wrongType(value: unknown, at: string, wanted: string): CodedError {
  return new CodedError("invalid-spec", `cannot use ${pointer(at)}: it is ${describe(value)}, not ${wanted}`);
}

function pointer(at: string): string {
  return at === "" ? "the document" : at;
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  return (JSON.stringify(value) ?? typeof value).slice(0, 80);
}
