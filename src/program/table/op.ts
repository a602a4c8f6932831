/** What a row of the op table says. */

/**
 * What a field holds on the wire, and its type in TypeScript:
 * - `u32`, `i64`, `u64`: integers, little endian; 64-bit ones are safe integers in TypeScript.
 * - `limit`: 64 unsigned bits as `bigint` (resource limits use all of them).
 * - `text`: UTF-8 from a JSON document, no NUL inside.
 * - `name`: a byte string (one char per byte, see base/byte-string.ts), for file names, which need not be UTF-8.
 * - `texts`, `names`: lists of these. - `bytes`: raw bytes.
 */
export type FieldKind = "u32" | "u64" | "i64" | "limit" | "text" | "name" | "texts" | "names" | "bytes";

/** Where an op may stand: in section 0, in section 1, in a child's section, in a streamed program. */
export type Place = "main" | "cleanup" | "child" | "stream";

export const main: readonly Place[] = ["main"];
export const child: readonly Place[] = ["child"];
export const stream: readonly Place[] = ["stream"];
export const mainOrChild: readonly Place[] = ["main", "child"];
export const afterwards: readonly Place[] = ["main", "cleanup"];
export const host: readonly Place[] = ["main", "cleanup", "stream"];
export const inNamespaces: readonly Place[] = ["main", "child", "stream"];
export const anywhere: readonly Place[] = ["main", "cleanup", "child", "stream"];

/** One op: its stable number, its fields in wire order and what it does, in one sentence. */
export interface OpDefinition {
  readonly name: string;
  readonly code: number;
  /** The sections of a program in which it makes sense; anywhere else the executor refuses the program. */
  readonly in: readonly Place[];
  readonly fields: Readonly<Record<string, FieldKind>>;
  readonly does: string;
}
