/** Opens whatever holds images: tells layouts and archives apart and unpacks archives that are compressed as a whole. */
import { mkdir, open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { mediaTypes } from "#spec/media-type.ts";
import { readFileChunks, writeFileChunks } from "#sys/file-chunks.ts";
import { findFile } from "#sys/fs.ts";
import { ownerName } from "#sys/owner.ts";
import { openArchiveIndex } from "./archive-index.ts";
import { openDockerArchive } from "./docker-archive.ts";
import { openLayoutDirectory } from "./layout-directory.ts";
import { decompressLayer } from "../layer/decompress.ts";
import { detectCompression } from "./magic.ts";
import { openOciArchive } from "./oci-archive.ts";
import { blockBytes, parseHeaderBlock, type Fault } from "../tar/header.ts";
import type { ImageSource } from "./source.ts";

/** How sources are opened. */
export interface OpenOptions {
  /** Where archives that cannot be read in place are kept meanwhile, under names that say their owner (sys/owner.ts). */
  readonly spoolDirectory: string;
  /** How long such an archive may become; 256 GiB unless told. */
  readonly maxSpoolBytes?: number;
}

const defaultMaxSpoolBytes = 256 * 2 ** 30;

/**
 * Opens the layout directory or archive at `input`, or the archive that comes as a stream. Dispose the source after use.
 *
 * @throws CodedError `not-found`, `invalid-spec`, `unsupported`, `corrupt`, `exhausted`
 */
export async function openImageSource(input: string | AsyncIterable<Uint8Array>, options: OpenOptions): Promise<ImageSource> {
  if (typeof input !== "string") return openSpooled(input, "the input", options);
  const found = await findTarget(input);
  if (found.isDirectory) return openDirectory(input);
  // A pipe such as /dev/stdin can be read once, and not sought in.
  if (!found.isFile) return openSpooled(readPipe(input), input, options);
  const format = detectCompression(await beginningOf(readFileChunks(input, { offset: 0, length: Math.min(16, found.size) })));
  return format === "none" ? openArchive(input, input, async () => {}) : openSpooled(readFileChunks(input), input, options);
}

async function openDirectory(path: string): Promise<ImageSource> {
  if ((await findFile(join(path, "oci-layout"))) !== undefined) return openLayoutDirectory(path);
  throw new CodedError("invalid-spec", `cannot load ${path}: the directory is no image layout: it has no file oci-layout`);
}

/** `subject` is what the user knows the archive by; `path` may be a copy. */
async function openArchive(path: string, subject: string, close: () => Promise<void>): Promise<ImageSource> {
  const archive = await openArchiveIndex(path, subject);
  if (archive.find("oci-layout") !== undefined && archive.find("index.json") !== undefined) return openOciArchive(archive, close);
  if (archive.find("manifest.json") !== undefined) return openDockerArchive(archive, close);
  if (archive.find("repositories") !== undefined) {
    throw new CodedError("unsupported", `cannot load ${subject}: it is an archive of docker before 1.10, without a manifest.json`);
  }
  throw new CodedError(
    "invalid-spec",
    `cannot load ${subject}: the archive holds neither oci-layout and index.json nor manifest.json, so it is no archive of images`,
  );
}

async function openSpooled(content: AsyncIterable<Uint8Array>, subject: string, options: OpenOptions): Promise<ImageSource> {
  const path = join(options.spoolDirectory, ownerName());
  const close = (): Promise<void> => rm(path, { force: true });
  try {
    await mkdir(options.spoolDirectory, { recursive: true });
    const archive = beginsWithHeader(unpackAny(content, subject), subject);
    await writeFileChunks(path, bounded(archive, subject, options.maxSpoolBytes ?? defaultMaxSpoolBytes), 0o600);
    return await openArchive(path, subject, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/** `content` without its packing, if it is in a gzip or zstd stream; `subject` names it in errors. @throws CodedError `unsupported`, `corrupt` */
export async function* unpackAny(content: AsyncIterable<Uint8Array>, subject: string): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = content[Symbol.asyncIterator]();
  try {
    let beginning: Uint8Array = new Uint8Array();
    while (beginning.length < 16) {
      const next = await chunks.next();
      if (next.done === true) break;
      beginning = Buffer.concat([beginning, next.value]);
    }
    const format = detectCompression(beginning);
    if (format === "xz" || format === "bzip2")
      throw new CodedError("unsupported", `cannot load ${subject}: it is compressed with ${format}; unpack it first`);
    const whole = prepend(beginning, { [Symbol.asyncIterator]: () => chunks });
    yield* format === "none" ? whole : unpack(whole, format, subject);
  } finally {
    // Nobody else ends it when the way above stops before its first chunk; the content may hold an open file.
    await chunks.return?.();
  }
}

/** An archive is packed as a layer is: a tar in a gzip or zstd stream. */
async function* unpack(
  packed: AsyncIterable<Uint8Array>,
  format: "gzip" | "zstd",
  subject: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* decompressLayer(packed, format === "gzip" ? mediaTypes.layerGzip : mediaTypes.layerZstd);
  } catch (cause) {
    if (!(cause instanceof CodedError) || cause.code !== "corrupt") throw cause;
    throw new CodedError("corrupt", `cannot load ${subject}: its ${format} stream is damaged or ends early`, { cause });
  }
}

async function* prepend(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  if (first.length > 0) yield first;
  yield* rest;
}

/** Passes on what begins as a tar does: nothing else is written to disk, as long as it may be. */
async function* beginsWithHeader(chunks: AsyncIterable<Uint8Array>, subject: string): AsyncGenerator<Uint8Array, void, undefined> {
  let beginning: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (beginning === undefined) {
      yield chunk;
      continue;
    }
    beginning = Buffer.concat([beginning, chunk]);
    if (beginning.length < blockBytes) continue;
    const fault: Fault = (fact) => new CodedError("corrupt", `cannot read ${subject}: at byte 0: ${fact}`);
    if (parseHeaderBlock(beginning, 0, fault) === undefined) throw fault("it has no entries");
    yield beginning;
    beginning = undefined;
  }
  // What is shorter than a header is for the one who reads the whole to judge.
  if (beginning !== undefined && beginning.length > 0) yield beginning;
}

async function* bounded(chunks: AsyncIterable<Uint8Array>, subject: string, maxBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > maxBytes) throw new CodedError("exhausted", `cannot load ${subject}: it unpacks to more than ${maxBytes} bytes`);
    yield chunk;
  }
}

async function beginningOf(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  for await (const chunk of chunks) return chunk;
  return new Uint8Array();
}

async function findTarget(path: string): Promise<{ isDirectory: boolean; isFile: boolean; size: number }> {
  try {
    const stats = await stat(path);
    return { isDirectory: stats.isDirectory(), isFile: stats.isFile(), size: stats.size };
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    const [kind, fact] =
      code === "ENOENT"
        ? (["not-found", "there is no such file"] as const)
        : (["permission-denied", `looking at it gives ${code}`] as const);
    throw new CodedError(kind, `cannot load ${path}: ${fact}`, { cause });
  }
}

/** What is in the file `path`, or comes through a pipe of that name, such as the /dev/fd/63 of a shell. @throws CodedError `not-found` */
export async function* readFileOrPipe(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  yield* (await findTarget(path)).isFile ? readFileChunks(path) : readPipe(path);
}

async function* readPipe(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await open(path, "r");
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafeSlow(1 << 16);
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) return;
      yield chunk.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
