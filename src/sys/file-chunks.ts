/**
 * Files read, written and copied piece by piece, on other threads: the bytes of layers, which may be gigabytes. Apart from fs.ts, because loading
 * node:fs/promises and starting its threads costs a short command 1 ms. Errors are the system's own unless a docstring names a code.
 */
import { constants } from "node:fs";
import { copyFile, link, open, rm, type FileHandle } from "node:fs/promises";
import { CodedError, isErrno } from "#base/errors.ts";
import { missingFile, notRegular } from "./fs.ts";

/** The size of the pieces in which files are read: large enough that a system call costs nothing beside its copy. */
const chunkBytes = 1 << 20;

/** Makes the names in a directory durable: a rename survives a power cut only after this. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
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

async function openRegular(path: string): Promise<FileHandle> {
  // O_NONBLOCK: opening a fifo must not wait for its writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw isErrno(cause, "ENOENT") ? missingFile(path, cause) : cause;
  });
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw notRegular(path);
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += (await file.write(bytes, written, bytes.length - written)).bytesWritten;
  }
}
