/**
 * A tar writer for test images, written without a line of the product: what it gets wrong, the product must not share.
 *
 * It writes what it is told, also what no sane tool would write (raw size fields, bad names, any type flag).
 */

/** A point in time of the tar header or of a PAX record. */
export interface TarTime {
  readonly seconds: number;
  readonly nanos: number;
}

/** One member of a test archive; everything but the name has a default. */
export interface TarEntry {
  /** A string is one char per byte (latin1), so any bytes can be told. */
  readonly name: string;
  readonly type?: keyof typeof typeFlags;
  /** Overrides the flag of `type`. */
  readonly flag?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number | TarTime;
  readonly link?: string;
  readonly data?: Uint8Array | string;
  readonly major?: number;
  readonly minor?: number;
  /** Written as PAX SCHILY.xattr.* records. */
  readonly xattrs?: Readonly<Record<string, Uint8Array | string>>;
  /** More PAX records, verbatim. */
  readonly pax?: Readonly<Record<string, string>>;
  /** Bytes of the size field (12), where it shall not say the length of `data`. */
  readonly rawSize?: string;
  /** How a name or link over 100 bytes is stored. */
  readonly longNames?: "pax" | "gnu";
  /** The ustar prefix field, which readers put before the name with a slash. */
  readonly prefix?: string;
  /** Leaves the checksum wrong. */
  readonly badChecksum?: boolean;
}

const typeFlags = { file: "0", hardlink: "1", symlink: "2", char: "3", block: "4", directory: "5", fifo: "6" } as const;
const blockBytes = 512;
/** 2023-11-14T22:13:20Z: the time of every member that names none. */
export const defaultSeconds = 1_700_000_000;

/** The bytes of an archive of `entries`, with the two zero blocks at its end. */
export function tar(entries: Iterable<TarEntry>): Buffer {
  const parts: Uint8Array[] = [];
  for (const entry of entries) parts.push(...member(entry));
  parts.push(Buffer.alloc(2 * blockBytes));
  return Buffer.concat(parts);
}

/** The blocks of one member: its PAX or GNU long name headers, its header and its data. */
export function member(entry: TarEntry): Uint8Array[] {
  const time = timeOf(entry);
  const data = typeof entry.data === "string" ? Buffer.from(entry.data, "latin1") : (entry.data ?? Buffer.alloc(0));
  const blocks: Uint8Array[] = [];
  const records = paxRecords(entry, time);
  if (records.length > 0) blocks.push(...extension({ flag: "x", name: "PaxHeaders/x", data: Buffer.concat(records) }));
  if (entry.longNames === "gnu") {
    for (const [flag, text] of [
      ["K", entry.link ?? ""],
      ["L", entry.name],
    ] as const) {
      if (text.length > 100) blocks.push(...extension({ flag, name: "././@LongLink", data: Buffer.from(`${text}\0`, "latin1") }));
    }
  }
  blocks.push(header(entry, time, data.length), data, padding(data.length));
  return blocks;
}

/** A header block followed by nothing; `size` is what its size field says. */
export function header(entry: TarEntry, time: TarTime, size: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.write(entry.name.slice(0, 100), 0, "latin1");
  putNumber(block, [100, 8], entry.mode ?? (entry.type === "directory" ? 0o755 : 0o644));
  putNumber(block, [108, 8], entry.uid ?? 0);
  putNumber(block, [116, 8], entry.gid ?? 0);
  if (entry.rawSize === undefined) putNumber(block, [124, 12], size);
  else block.write(entry.rawSize, 124, 12, "latin1");
  putNumber(block, [136, 12], time.seconds);
  block.write(entry.flag ?? typeFlags[entry.type ?? "file"], 156, "latin1");
  block.write((entry.link ?? "").slice(0, 100), 157, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  putNumber(block, [329, 8], entry.major ?? 0);
  putNumber(block, [337, 8], entry.minor ?? 0);
  block.write(entry.prefix ?? "", 345, 155, "latin1");
  seal(block, entry.badChecksum === true);
  return block;
}

/** Zero bytes from `length` up to a multiple of 512. */
export function padding(length: number): Buffer {
  return Buffer.alloc((blockBytes - (length % blockBytes)) % blockBytes);
}

/** One PAX record, `LENGTH KEY=VALUE\n` with its own length counted in. */
export function paxRecord(key: string, value: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), value, Buffer.from("\n")]);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

/** A member whose data is an extension of the next: PAX (x, g) or GNU long names (L, K). */
export function extension(part: { flag: string; name: string; data: Uint8Array }): Uint8Array[] {
  const entry = { name: part.name, flag: part.flag };
  return [header(entry, { seconds: 0, nanos: 0 }, part.data.length), part.data, padding(part.data.length)];
}

function timeOf(entry: TarEntry): TarTime {
  if (typeof entry.mtime === "object") return entry.mtime;
  return { seconds: entry.mtime ?? defaultSeconds, nanos: 0 };
}

function paxRecords(entry: TarEntry, time: TarTime): Buffer[] {
  const records: Buffer[] = [];
  const put = (key: string, value: string | Uint8Array): void => {
    records.push(paxRecord(key, typeof value === "string" ? Buffer.from(value, "latin1") : value));
  };
  if (entry.longNames !== "gnu") {
    if (entry.name.length > 100) put("path", entry.name);
    if ((entry.link ?? "").length > 100) put("linkpath", entry.link ?? "");
  }
  if (time.nanos !== 0) put("mtime", paxTime(time));
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) put(`SCHILY.xattr.${name}`, value);
  for (const [name, value] of Object.entries(entry.pax ?? {})) put(name, value);
  return records;
}

/** `time` in decimal: a negative time counts its fraction downwards, so -1.5 is half a second after -2. */
function paxTime(time: TarTime): string {
  const nanos = BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanos);
  const magnitude = nanos < 0n ? -nanos : nanos;
  return `${nanos < 0n ? "-" : ""}${magnitude / 1_000_000_000n}.${String(magnitude % 1_000_000_000n).padStart(9, "0")}`;
}

/** Octal with a NUL where it fits, GNU's base-256 (two's complement, top bit set) where it does not. */
function putNumber(block: Buffer, field: readonly [at: number, bytes: number], value: number): void {
  const [at, bytes] = field;
  if (value >= 0 && value < 8 ** (bytes - 1)) {
    block.write(value.toString(8).padStart(bytes - 1, "0"), at, "latin1");
    return;
  }
  let rest = BigInt(value);
  for (let index = bytes - 1; index >= 0; index -= 1) {
    block[at + index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[at] = (block[at] ?? 0) | 0x80;
}

function seal(block: Buffer, wrong: boolean): void {
  block.fill(" ", 148, 156);
  let sum = wrong ? 1 : 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
