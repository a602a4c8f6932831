/**
 * The table of contents of an uncompressed tar file: found by seeking from header to header, so that an archive of gigabytes
 * opens in milliseconds. Names are only ever looked up here; none becomes a path of the host.
 */
import { open, type FileHandle } from "node:fs/promises";
import { byteStringFromBytes, displayByteString, type ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { readFileChunks } from "#sys/file-chunks.ts";
import { resolveEntry, storedBytes, type PendingHeaders } from "../tar/entry.ts";
import { blockBytes, parseHeaderBlock, typeFlags, type Fault, type HeaderFields } from "../tar/header.ts";
import { parsePaxRecords } from "../tar/pax.ts";

/** A regular file in an archive. */
export interface ArchiveFile {
  readonly offset: number;
  readonly size: number;
}

/** A link in an archive; its target is a name in the archive. */
interface ArchiveLink {
  readonly target: string;
}

/** Far more than an archive of images has: one of a thousand images with a hundred layers has about this many. */
const maxEntries = 500_000;
const maxExtendedBytes = 1 << 20;
const maxLinkHops = 16;

/** An open table of contents. The file must not change while it is used. */
export class ArchiveIndex {
  /** What the archive is called in sentences. */
  readonly name: string;
  readonly #path: string;
  readonly #entries: ReadonlyMap<string, ArchiveFile | ArchiveLink>;

  /** Use openArchiveIndex. */
  constructor({ path, name }: { path: string; name: string }, entries: ReadonlyMap<string, ArchiveFile | ArchiveLink>) {
    this.name = name;
    this.#path = path;
    this.#entries = entries;
  }

  /** The regular file of this name in the archive, links followed; undefined when there is none. @throws CodedError `corrupt` for links in a circle. */
  find(file: string): ArchiveFile | undefined {
    let current = this.#entries.get(file);
    for (let hops = 0; current !== undefined && "target" in current; hops++) {
      if (hops === maxLinkHops)
        throw new CodedError("corrupt", `cannot read ${file} in ${this.name}: more than ${maxLinkHops} links lead to it`);
      current = this.#entries.get(current.target);
    }
    return current;
  }

  /** The content of a file, from the byte `offset` on. */
  open(file: ArchiveFile, offset = 0): AsyncIterable<Uint8Array> {
    return readFileChunks(this.#path, { offset: file.offset + offset, length: Math.max(0, file.size - offset) });
  }

  /** The whole content of the file of this name. @throws CodedError `not-found`; `exhausted` above `maxBytes`. */
  async read(fileName: string, maxBytes: number): Promise<Uint8Array> {
    const file = this.find(fileName);
    if (file === undefined) throw new CodedError("not-found", `cannot read ${fileName} in ${this.name}: the archive does not have it`);
    if (file.size > maxBytes)
      throw new CodedError("exhausted", `cannot read ${fileName} in ${this.name}: it has ${file.size} bytes, more than ${maxBytes}`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.open(file)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
}

/**
 * Reads the table of contents of the tar file `path`. Of entries of one name the last counts.
 *
 * @param name what the archive is called in sentences; its path unless told.
 * @throws CodedError `corrupt`, `exhausted`
 */
export async function openArchiveIndex(path: string, name: string = path): Promise<ArchiveIndex> {
  const file = await open(path, "r");
  try {
    return new ArchiveIndex({ path, name }, await readEntries(file, name));
  } finally {
    await file.close();
  }
}

async function readEntries(file: FileHandle, name: string): Promise<Map<string, ArchiveFile | ArchiveLink>> {
  const { size: fileBytes } = await file.stat();
  const entries = new Map<string, ArchiveFile | ArchiveLink>();
  let pending: PendingHeaders = {};
  let offset = 0;
  const fault: Fault = (fact, code = "corrupt") => new CodedError(code, `cannot read ${name}: at byte ${offset}: ${fact}`);
  while (offset < fileBytes) {
    const block = await readExactly(file, { offset, length: blockBytes }, fault);
    const fields = parseHeaderBlock(block, 0, fault);
    if (fields === undefined) break;
    const payload = offset + blockBytes;
    if (isExtension(fields)) {
      if (fields.size > maxExtendedBytes)
        throw fault(`its extended header has ${fields.size} bytes, more than ${maxExtendedBytes}`, "exhausted");
      pending = extend(pending, { fields, payload: await readExactly(file, { offset: payload, length: fields.size }, fault) }, fault);
      offset = payload + padded(fields.size);
      continue;
    }
    const stored = storedBytes(fields, pending);
    if (payload + stored > fileBytes) throw fault(`an entry of ${stored} bytes begins here, but the file ends after ${fileBytes} bytes`);
    if (entries.size >= maxEntries) throw fault(`it has more than ${maxEntries} entries`, "exhausted");
    addEntry(entries, { fields, pending, payload, stored }, fault);
    pending = {};
    offset = payload + padded(stored);
  }
  if (entries.size === 0) throw fault("it has no entries");
  return entries;
}

function addEntry(
  entries: Map<string, ArchiveFile | ArchiveLink>,
  { fields, pending, payload, stored }: { fields: HeaderFields; pending: PendingHeaders; payload: number; stored: number },
  fault: Fault,
): void {
  const header = resolveEntry(fields, pending, fault);
  const name = normalName(header.path, "", fault);
  // What an entry hides is gone, as when the archive is unpacked.
  entries.delete(name);
  if (header.kind === "file") {
    if (pending.local?.sparse !== undefined || fields.flag === typeFlags.gnuSparse)
      throw fault(`"${displayByteString(header.path)}" is sparse, which no archive of images is`, "unsupported");
    entries.set(name, { offset: payload, size: stored });
  } else if (header.kind === "hardlink") {
    entries.set(name, { target: normalName(header.linkPath, "", fault) });
  } else if (header.kind === "symlink") {
    entries.set(name, { target: normalName(header.linkPath, name.slice(0, name.lastIndexOf("/") + 1), fault) });
  }
}

/** The name as a lookup key: relative to the archive, without `.` and `..`. `from` is the directory that a symbolic link lies in. */
function normalName(name: ByteString, from: string, fault: Fault): string {
  const parts: string[] = [];
  for (const part of `${name.startsWith("/") ? "" : from}${name}`.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) throw fault(`the name "${displayByteString(name)}" leads out of the archive`);
  }
  return parts.join("/");
}

function isExtension({ flag }: HeaderFields): boolean {
  return flag === typeFlags.pax || flag === typeFlags.paxGlobal || flag === typeFlags.gnuLongName || flag === typeFlags.gnuLongLink;
}

function extend(pending: PendingHeaders, { fields, payload }: { fields: HeaderFields; payload: Buffer }, fault: Fault): PendingHeaders {
  if (fields.flag === typeFlags.pax) return { ...pending, local: parsePaxRecords(payload, fault) };
  // Global headers hold times, ids and comments; none of them says where content lies.
  if (fields.flag === typeFlags.paxGlobal) return pending;
  const nul = payload.indexOf(0);
  const text = byteStringFromBytes(payload, 0, nul < 0 ? payload.length : nul);
  return fields.flag === typeFlags.gnuLongName ? { ...pending, longName: text } : { ...pending, longLink: text };
}

async function readExactly(file: FileHandle, { offset, length }: { offset: number; length: number }, fault: Fault): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw fault("the file ends within a header");
    done += bytesRead;
  }
  return bytes;
}

function padded(size: number): number {
  return Math.ceil(size / blockBytes) * blockBytes;
}
