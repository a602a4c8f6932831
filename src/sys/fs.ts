/** Files on the host: atomic writes, bounded reads, copies that share blocks. Errors are the system's own unless a docstring names a code. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from "node:fs";
import { copyFile, link, open, rename, rm, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import { ownerName } from "./owner.ts";

/** The size of the pieces in which files are read: large enough that a system call costs nothing beside its copy. */
const chunkBytes = 1 << 20;

/**
 * Writes `path` so that a reader sees the old content or the new, never a part, whatever dies when.
 *
 * The temporary file lies beside it and its name says who owns it (see owner.ts).
 */
export async function writeFileAtomic(path: string, content: Uint8Array | string, mode = 0o644): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${ownerName()}`);
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes the names in a directory durable: a rename survives a power cut only after this. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * The content of the regular file `path`, which may have `maxBytes` at most.
 *
 * Read at once: each wait for another thread costs a short command more than reading a file of state, and the first one starts the threads.
 *
 * @throws CodedError `not-found`; `corrupt` for a longer file, and for anything that is no regular file (a fifo would block for ever).
 */
export function readFileBounded(path: string, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve) => {
    resolve(readBounded(path, maxBytes));
  });
}

function readBounded(path: string, maxBytes: number): Uint8Array {
  const file = openNow(path);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw notRegular(path);
    const { size } = stats;
    if (size > maxBytes) throw new CodedError("corrupt", `cannot read ${path}: it has ${size} bytes, more than ${maxBytes}`);
    // Read to the end and not to `size`: files may grow, and one byte too many must be seen.
    const content = Buffer.allocUnsafe(size + 1);
    let length = 0;
    for (;;) {
      const bytesRead = readSync(file, content, length, content.length - length, length);
      length += bytesRead;
      if (length > size) throw new CodedError("corrupt", `cannot read ${path}: it grew while it was read`);
      if (bytesRead === 0) return content.subarray(0, length);
    }
  } finally {
    closeSync(file);
  }
}

function openNow(path: string): number {
  try {
    // O_NONBLOCK: opening a fifo must not wait for its writer.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw isErrno(cause, "ENOENT") ? missingFile(path, cause) : cause;
  }
}

/** A part of a file. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** The bytes of the regular file `path`, or of `range` of it, in chunks that belong to the consumer. @throws CodedError `corrupt` when the range ends early. */
export function readFileChunks(path: string, range?: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
  return readChunks(path, range, (bytes) => Buffer.allocUnsafeSlow(bytes));
}

/**
 * The same, in chunks that hold their bytes only until the next one is asked for: all are one piece of memory. What is thrown away instead
 * is freed late, and with a large file that is much.
 */
export function lendFileChunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const lent = Buffer.allocUnsafeSlow(chunkBytes);
  return readChunks(path, undefined, (bytes) => lent.subarray(0, bytes));
}

async function* readChunks(
  path: string,
  range: ByteRange | undefined,
  take: (bytes: number) => Buffer,
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await openRegular(path);
  try {
    let offset = range?.offset ?? 0;
    const end = range === undefined ? Number.POSITIVE_INFINITY : offset + range.length;
    while (offset < end) {
      const chunk = take(Math.min(chunkBytes, end - offset));
      const { bytesRead } = await file.read(chunk, 0, chunk.length, offset);
      if (bytesRead === 0) {
        if (range === undefined) return;
        throw new CodedError("corrupt", `cannot read ${path}: it ends at byte ${offset}, before byte ${end}`);
      }
      offset += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Writes all of `chunks` to the new file `path` and makes the data durable. */
export async function writeFileChunks(path: string, chunks: AsyncIterable<Uint8Array>, mode = 0o644): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    for await (const chunk of chunks) await writeAll(file, chunk);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Copies the regular file `source` to the new file `target`, sharing its blocks where the file system can, and makes the data durable. */
export async function cloneFile(source: string, target: string): Promise<void> {
  await copyFile(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const file = await open(target, "r+");
  try {
    await file.chmod(0o644);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Makes the hard link `target` to the regular file `source` and says whether it did: not across file systems, and not for a file that
 * somebody else than root and the caller could write to. The data is made durable.
 */
export async function linkOwnFile(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target);
  } catch (error) {
    if (["EXDEV", "EPERM", "EMLINK", "EOPNOTSUPP", "EACCES"].some((code) => isErrno(error, code))) return false;
    throw error;
  }
  const file = await open(target, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => undefined);
  try {
    const stats = await file?.stat();
    const isOurs = stats?.uid === 0 || stats?.uid === process.geteuid?.();
    if (stats?.isFile() === true && isOurs && (stats.mode & 0o022) === 0) {
      await file?.sync();
      return true;
    }
  } finally {
    await file?.close();
  }
  await rm(target, { force: true });
  return false;
}

/** What is at `path`, links not followed; undefined when nothing is. */
export function findFile(path: string): Promise<Stats | undefined> {
  return new Promise((resolve) => {
    resolve(findNow(path));
  });
}

function findNow(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (isErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
}

async function openRegular(path: string): Promise<FileHandle> {
  // O_NONBLOCK: opening a fifo must not wait for its writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw isErrno(cause, "ENOENT") ? missingFile(path, cause) : cause;
  });
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw notRegular(path);
}

function missingFile(path: string, cause: unknown): CodedError {
  return new CodedError("not-found", `cannot read ${path}: there is no such file`, { cause });
}

function notRegular(path: string): CodedError {
  return new CodedError("corrupt", `cannot read ${path}: it is not a regular file`);
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += (await file.write(bytes, written, bytes.length - written)).bytesWritten;
  }
}
