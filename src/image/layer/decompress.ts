/**
 * The uncompressed bytes of a layer.
 *
 * Inflating runs on the runtime's thread pool, a few chunks ahead of whoever reads, so that it overlaps with hashing
 * and parsing on the main thread. Both formats may hold several members or frames; nothing may follow the last one.
 */
import { Decompress } from "fzstd";
import type { Transform } from "node:stream";
import zlib from "node:zlib";
import { CodedError } from "#base/errors.ts";
import { freeNow } from "#base/memory.ts";
import { layerCompression, type LayerCompression } from "#spec/media-type.ts";
import { ZstdFrameWalker } from "./zstd-frames.ts";

const chunkBytes = 256 << 10;
/** Chunks that may be ready before they are asked for. */
const aheadBytes = 4 * chunkBytes;

/**
 * Decompresses a layer of `mediaType`, which the spec lets decide: bytes that begin like another format are refused. The chunks hold their
 * bytes only until the next one is asked for.
 *
 * Errors of `source` come out as they are; leaving the iteration early ends that of `source` too.
 *
 * @throws CodedError `unsupported` for a media type that is no layer's; `corrupt` for bytes that are damaged, cut off
 * or followed by others
 */
export async function* decompressLayer(source: AsyncIterable<Uint8Array>, mediaType: string): AsyncGenerator<Uint8Array, void, undefined> {
  const compression = layerCompression(mediaType);
  if (compression === undefined)
    throw new CodedError("unsupported", `cannot decompress a layer of media type "${mediaType}": it is not one of a layer`);
  const checked = checkMagic(source, { compression, mediaType });
  if (compression === "none") yield* checked;
  else if (compression === "gzip") yield* inflate(checked, zlib.createGunzip(engineOptions), "gzip");
  else yield* decompressZstd(checked);
}

// The type of the options leaves out what all streams take.
const engineOptions: zlib.ZlibOptions & { readableHighWaterMark: number; writableHighWaterMark: number } = {
  chunkSize: chunkBytes,
  readableHighWaterMark: aheadBytes,
  writableHighWaterMark: chunkBytes,
};

const magics: readonly (readonly [LayerCompression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
];

/** Passes `source` on once its first bytes are not those of another format than `compression`. */
async function* checkMagic(
  source: AsyncIterable<Uint8Array>,
  layer: { readonly compression: LayerCompression; readonly mediaType: string },
): AsyncGenerator<Uint8Array, void, undefined> {
  let first = true;
  for await (const chunk of source) {
    if (chunk.length === 0) continue;
    if (first) {
      const found = magics.find(([, magic]) => magic.every((byte, index) => chunk[index] === byte))?.[0];
      if (found !== undefined && found !== layer.compression) {
        throw new CodedError("corrupt", `cannot decompress a layer of media type "${layer.mediaType}": its content is ${found}`);
      }
      first = false;
    }
    yield chunk;
  }
}

async function* decompressZstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const walked = walkFrames(source);
  // Node before 22.15 has no zstd. The types are those of the oldest Node.
  const create = (zlib as { createZstdDecompress?: (options: typeof engineOptions) => Transform }).createZstdDecompress;
  if (create === undefined) yield* decompressZstdSlowly(walked);
  else yield* inflate(walked, create(engineOptions), "zstd");
}

/**
 * Passes `source` on once its skeleton is seen to be sound.
 *
 * COMPAT: Node's zstd stream (24.21) is at its end with the first frame that ends within what one write gave it, and goes on
 * with one that ends where the write does. There every frame gets writes of its own.
 */
async function* walkFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const walker = new ZstdFrameWalker();
  for await (const chunk of source) {
    let at = 0;
    while (at < chunk.length) {
      const end = walker.advance(chunk, at);
      yield chunk.subarray(at, end);
      at = end;
    }
  }
  walker.end();
}

/** Blocks of 4 bytes may stand for 128 KiB each, and the decoder hands out all that one push makes: so pushes are small. */
const slowPushBytes = 1024;

async function* decompressZstdSlowly(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const ready: Uint8Array[] = [];
  const decoder = new Decompress((bytes) => {
    // The decoder keeps its window in the same memory for one block more.
    if (bytes.length > 0) ready.push(bytes.slice());
  });
  const push = (bytes: Uint8Array, final: boolean): Uint8Array[] => {
    try {
      decoder.push(bytes, final);
    } catch (error) {
      throw new CodedError("corrupt", `cannot decompress zstd: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
    return ready.splice(0);
  };
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += slowPushBytes) yield* push(chunk.subarray(at, at + slowPushBytes), false);
  }
  yield* push(new Uint8Array(0), true);
}

/** Feeds `engine` from `source` in the background and yields what comes out. */
async function* inflate(
  source: AsyncIterable<Uint8Array>,
  engine: Transform & { readonly bytesWritten?: number },
  format: "gzip" | "zstd",
): AsyncGenerator<Uint8Array, void, undefined> {
  const feeding = feed(source, engine, format);
  // Its error reaches the loop below by destroying the engine; this is for when nobody looks any more.
  feeding.catch(() => undefined);
  try {
    yield* flow(engine);
    const fedBytes = await feeding;
    // Both runtimes pass over zeros, and libzstd over anything, after the last member.
    if (engine.bytesWritten !== fedBytes) throw trailing(format);
  } catch (error) {
    throw isZlibError(error) ? new CodedError("corrupt", `cannot decompress ${format}: ${error.message}`, { cause: error }) : error;
  } finally {
    engine.destroy();
  }
}

/**
 * What `engine` gives. Its chunks are only put in a row when they come, so that it is at the next one while this one is used:
 * a stream that is iterated, or whose listener does the work, asks for the next chunk when the work is done.
 */
async function* flow(engine: Transform): AsyncGenerator<Uint8Array, void, undefined> {
  const row: Uint8Array[] = [];
  let bytes = 0;
  let wake: (() => void) | undefined;
  const ended = new Promise<void>((resolve, reject) => {
    engine.on("end", resolve).on("error", reject).on("close", resolve);
  });
  ended.then(
    () => wake?.(),
    () => wake?.(),
  );
  engine.on("data", (chunk: Uint8Array) => {
    row.push(chunk);
    bytes += chunk.length;
    if (bytes >= aheadBytes) engine.pause();
    wake?.();
  });
  for (;;) {
    const chunk = row.shift();
    if (chunk === undefined) {
      const more = new Promise<void>((resolve) => {
        wake = resolve;
      });
      await Promise.race([more, ended]);
      if (row.length === 0 && (engine.readableEnded || engine.destroyed)) return await ended;
      continue;
    }
    bytes -= chunk.length;
    if (engine.isPaused()) engine.resume();
    yield chunk;
    freeNow(chunk);
  }
}

/** Resolves with the number of bytes fed once `source` is at its end. */
async function feed(source: AsyncIterable<Uint8Array>, engine: Transform, format: string): Promise<number> {
  let fedBytes = 0;
  let wake: (() => void) | undefined;
  const onChange = (): void => wake?.();
  engine.on("drain", onChange).on("close", onChange).on("end", onChange);
  try {
    for await (const chunk of source) {
      if (engine.destroyed) return fedBytes;
      if (engine.readableEnded) throw trailing(format);
      fedBytes += chunk.length;
      if (engine.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (engine.destroyed || engine.readableEnded || !engine.writableNeedDrain) resolve();
      });
    }
    engine.end();
    return fedBytes;
  } catch (error) {
    engine.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

function trailing(format: string): CodedError {
  return new CodedError("corrupt", `cannot decompress ${format}: something follows the end of the compressed content`);
}

/** zlib's errors have codes such as Z_DATA_ERROR and ZSTD_error_checksum_wrong. */
function isZlibError(error: unknown): error is Error {
  return error instanceof Error && "code" in error && typeof error.code === "string" && /^(?:Z_|ZSTD_)/.test(error.code);
}
