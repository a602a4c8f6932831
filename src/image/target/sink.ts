/** Where the bytes of an archive go: a file, which appears whole or not at all, or a stream. */
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import { syncDirectory } from "#sys/file-chunks.ts";
import { ownerName } from "#sys/owner.ts";
import { removeWhenInterrupted } from "#sys/unfinished.ts";

/** Takes bytes in order. They may change as soon as they are taken. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
  /** Replaces bytes that were written already. Undefined where that cannot be done. */
  readonly rewrite?: ((bytes: Uint8Array, offset: number) => Promise<void>) | undefined;
  /** All is written. */
  finish(): Promise<void>;
  /** Nothing of it is to stay, as far as that can be helped. */
  abort(): Promise<void>;
}

/** A sink that calls `write` for each piece, whose bytes are its own from then on. */
export function streamSink(write: (bytes: Uint8Array) => Promise<void>): ByteSink {
  return { write: (bytes) => write(new Uint8Array(bytes)), finish: () => Promise.resolve(), abort: () => Promise.resolve() };
}

/** A sink for `path`: a pipe or device is written to, anything else becomes a file, at once when all is written. Its directory must exist. */
export async function pathSink(path: string): Promise<ByteSink> {
  const found = await stat(path).catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  });
  if (found?.isDirectory() === true) throw new CodedError("invalid-argument", `cannot write ${path}: it is a directory`);
  return found === undefined || found.isFile() ? await fileSink(path) : await pipeSink(path);
}

async function pipeSink(path: string): Promise<ByteSink> {
  const file = await open(path, "w");
  const close = (): Promise<void> => file.close();
  return {
    write: async (bytes) => {
      for (let written = 0; written < bytes.length;)
        written += (await file.write(bytes, written, bytes.length - written, null)).bytesWritten;
    },
    finish: close,
    abort: close,
  };
}

async function fileSink(path: string): Promise<ByteSink> {
  const temporary = join(dirname(path), `.${basename(path)}.${ownerName()}`);
  const file = await open(temporary, "wx", 0o644);
  const keep = removeWhenInterrupted(temporary);
  let offset = 0;
  return {
    write: async (bytes) => {
      await writeAt(file, bytes, offset);
      offset += bytes.length;
    },
    rewrite: (bytes, at) => writeAt(file, bytes, at),
    finish: async () => {
      await file.sync();
      await file.close();
      await rename(temporary, path);
      keep();
      await syncDirectory(dirname(path));
    },
    abort: async () => {
      await file.close().catch(() => undefined);
      await rm(temporary, { force: true });
      keep();
    },
  };
}

async function writeAt(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let written = 0; written < bytes.length;)
    written += (await file.write(bytes, written, bytes.length - written, offset + written)).bytesWritten;
}
