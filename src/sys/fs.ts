/**
 * Small files on the host: atomic writes and bounded reads. Errors are the system's own unless a docstring names a code.
 *
 * All of it is done at once: each wait for another thread costs a short command more than reading a file of state, and the first one starts
 * the threads. What is large goes through file-chunks.ts.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import { ownerName } from "./owner.ts";

/**
 * Writes `path` so that a reader sees the old content or the new, never a part, whatever dies when.
 *
 * The temporary file lies beside it and its name says who owns it (see owner.ts).
 */
export function writeFileAtomic(path: string, content: Uint8Array | string, mode = 0o644): Promise<void> {
  return new Promise((resolve) => {
    resolve(writeNow(path, typeof content === "string" ? Buffer.from(content) : content, mode));
  });
}

function writeNow(path: string, content: Uint8Array, mode: number): void {
  const temporary = join(dirname(path), `.${basename(path)}.${ownerName()}`);
  try {
    const file = openSync(temporary, "wx", mode);
    try {
      for (let written = 0; written < content.length;) written += writeSync(file, content, written);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  // The new name survives a power cut only after this.
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/**
 * The content of the regular file `path`, which may have `maxBytes` at most.
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

/** The error for a file that is not there. */
export function missingFile(path: string, cause: unknown): CodedError {
  return new CodedError("not-found", `cannot read ${path}: there is no such file`, { cause });
}

/** The error for what is no regular file. */
export function notRegular(path: string): CodedError {
  return new CodedError("corrupt", `cannot read ${path}: it is not a regular file`);
}
