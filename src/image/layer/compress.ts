/** Compressing layers: the same archive gives the same bytes with the same library. */
import type { Transform } from "node:stream";
import zlib from "node:zlib";
import { CodedError } from "#base/errors.ts";
import { mediaTypes, type LayerCompression } from "#spec/media-type.ts";

/** Media types of what `compressLayer` makes. */
export const layerTypes: Readonly<Record<LayerCompression, string>> = {
  none: mediaTypes.layer,
  gzip: mediaTypes.layerGzip,
  zstd: mediaTypes.layerZstd,
};

/** Small pieces are joined: each write to the engine is a trip to another thread. */
const writeBytes = 512 << 10;

/** Compresses `archive`; the engine works beside whoever makes and takes the bytes. @throws CodedError `unsupported` for zstd in Node before 22.15 */
export async function* compressLayer(
  archive: AsyncIterable<Uint8Array>,
  compression: LayerCompression,
): AsyncGenerator<Uint8Array, void, undefined> {
  const joined = join(archive);
  if (compression === "none") yield* joined;
  else if (compression === "gzip") yield* fixHeader(pass(joined, zlib.createGzip({ chunkSize: 256 << 10 })));
  else yield* pass(joined, createZstd());
}

function createZstd(): Transform {
  const create = (zlib as { createZstdCompress?: (options: object) => Transform }).createZstdCompress;
  if (create === undefined) throw new CodedError("unsupported", "cannot compress with zstd: this version of Node has none (22.15 has)");
  return create({ chunkSize: 256 << 10 });
}

/** SPEC: RFC 1952: no time, no hints, no system: what differs between two machines says nothing about the layer. */
async function* fixHeader(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let at = 0;
  for await (const chunk of chunks) {
    for (let index = Math.max(0, 4 - at); index < chunk.length && at + index < 10; index++) chunk[index] = at + index === 9 ? 255 : 0;
    at += chunk.length;
    yield chunk;
  }
}

async function* join(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let waiting: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    waiting.push(chunk);
    length += chunk.length;
    if (length < writeBytes) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(waiting);
}

async function* pass(source: AsyncIterable<Uint8Array>, engine: Transform): AsyncGenerator<Uint8Array, void, undefined> {
  const feeding = feed(source, engine);
  // Its error comes out of the engine.
  feeding.catch(() => undefined);
  try {
    for await (const chunk of engine) yield chunk as Uint8Array;
    await feeding;
  } finally {
    engine.destroy();
  }
}

async function feed(source: AsyncIterable<Uint8Array>, engine: Transform): Promise<void> {
  let wake: (() => void) | undefined;
  engine.on("drain", () => wake?.()).on("close", () => wake?.());
  try {
    for await (const chunk of source) {
      if (engine.destroyed) return;
      if (engine.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (engine.destroyed || !engine.writableNeedDrain) resolve();
      });
    }
    engine.end();
  } catch (error) {
    engine.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}
