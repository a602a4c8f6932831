/** An entry of the program cache as bytes (docs/program-cache.md); executor/cached.c and executor/checks.c read it. */
import type { NormalForm } from "./request.ts";

/** A fact that must still hold when a program is used. */
export type Check =
  /** The bytes of a file as latin1; undefined: there is none that can be read. */
  | { readonly kind: "content"; readonly path: string; readonly content: string | undefined }
  /** Whether a directory is there, or something else, or nothing (undefined). */
  | { readonly kind: "directory"; readonly path: string; readonly isDirectory: boolean | undefined }
  /** What is mounted: "MAJOR:MINOR" of the file system, inode of its root, number of the mount. */
  | { readonly kind: "mount"; readonly path: string; readonly device: string; readonly ino: bigint; readonly id: number }
  /** Who we are, what we may do (masks with one bit per capability), and the kernel's release. */
  | {
      readonly kind: "process";
      readonly uid: number;
      readonly gid: number;
      readonly kernel: string;
      readonly effective: number;
      readonly bounding: number;
    };

/** What tells one version of the compiler's file from another. */
export interface CompilerFile {
  readonly ino: bigint;
  /** In bytes. */
  readonly size: bigint;
  /** Change time in nanoseconds since 1970. */
  readonly changedNs: bigint;
}

/** Where a name goes: `at` bytes from the start of the checks. */
export interface Hole {
  readonly at: number;
  readonly name: number;
}

/** What an entry holds. */
export interface Entry {
  readonly form: NormalForm;
  readonly compiler: CompilerFile;
  readonly checks: Uint8Array;
  readonly program: Uint8Array;
  readonly holes: readonly Hole[];
}

const magic = "GNTRYENT";
const missing = 0xffffffff;
const kinds = { content: 1, directory: 2, mount: 3, process: 4 } as const;

/** The bytes of an entry. */
export function encodeEntry({ form, compiler, checks, program, holes }: Entry): Buffer {
  const body = Buffer.concat([
    padded(Buffer.from(form.form, "latin1")),
    Buffer.from(Uint32Array.from(holes.flatMap(({ at, name }) => [at, name])).buffer),
    checks,
    program,
  ]);
  const header = Buffer.alloc(64);
  header.write(magic, "latin1");
  header.writeBigUInt64LE(compiler.ino, 16);
  header.writeBigUInt64LE(compiler.size, 24);
  header.writeBigInt64LE(compiler.changedNs / 1_000_000_000n, 32);
  header.writeBigUInt64LE(compiler.changedNs % 1_000_000_000n, 40);
  header.writeUInt32LE(form.form.length, 48);
  header.writeUInt32LE(holes.length, 52);
  header.writeUInt32LE(checks.length, 56);
  header.writeUInt32LE(program.length, 60);
  const entry = Buffer.concat([header, body]);
  entry.writeBigUInt64LE(sumOf(entry.subarray(16)), 8);
  return entry;
}

/** The name of the entry of a form: a file name of 16 characters. */
export function entryName({ form }: NormalForm): string {
  return sumOf(Buffer.from(form, "latin1")).toString(16).padStart(16, "0");
}

/** Two sums of 32 bits, as if zeros followed up to a multiple of 4 bytes. It tells damage, not forgery. */
export function sumOf(bytes: Buffer): bigint {
  // Little endian, as everything here; a view of words must be aligned, which the bytes need not be.
  const words = new Uint32Array((bytes.length + 3) >>> 2);
  new Uint8Array(words.buffer).set(bytes);
  let a = 0x9e3779b1 ^ bytes.length;
  let b = 0x85ebca77;
  for (const word of words) {
    a = Math.imul(a ^ word, 0x9e3779b1);
    a ^= a >>> 15;
    b = Math.imul(b + word, 0xc2b2ae3d);
    b ^= b >>> 13;
  }
  return (BigInt(b >>> 0) << 32n) | BigInt(a >>> 0);
}

/** The bytes of checks, a multiple of 8. */
export function encodeChecks(checks: readonly Check[]): Buffer {
  return Buffer.concat(checks.flatMap(encodeCheck));
}

function encodeCheck(check: Check): Buffer[] {
  const path = Buffer.from("path" in check ? check.path : "");
  const value = valueOf(check);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(kinds[check.kind], 0);
  header.writeUInt32LE(path.length, 4);
  header.writeUInt32LE(value?.length ?? missing, 8);
  return [header, padded(Buffer.concat([path, Buffer.alloc(1)])), padded(value ?? Buffer.alloc(0))];
}

function valueOf(check: Check): Buffer | undefined {
  switch (check.kind) {
    case "content":
      return check.content === undefined ? undefined : Buffer.from(check.content, "latin1");
    case "directory":
      return Buffer.from([check.isDirectory === undefined ? 0 : check.isDirectory ? 2 : 1]);
    case "mount": {
      const [major, minor] = check.device.split(":").map(Number);
      return numbers([major ?? 0, minor ?? 0], [check.ino, BigInt(check.id)]);
    }
    case "process":
      return Buffer.concat([numbers([check.uid, check.gid], [BigInt(check.effective), BigInt(check.bounding)]), Buffer.from(check.kernel)]);
  }
}

function numbers(short: readonly number[], long: readonly bigint[]): Buffer {
  return Buffer.concat([Buffer.from(Uint32Array.from(short).buffer), Buffer.from(BigUint64Array.from(long).buffer)]);
}

/** With zero bytes up to a multiple of 8. */
function padded(bytes: Buffer): Buffer {
  return bytes.length % 8 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(8 - (bytes.length % 8))]);
}
