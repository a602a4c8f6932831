/**
 * Compressing layers: pieces of a fixed length, each a gzip member or zstd frame of its own, a few at a time on the runtime's thread pool.
 *
 * Both formats are defined as any number of members in a row (RFC 1952 section 2.2, RFC 8878 section 3), so all processors can work on one layer.
 * Equal bytes give equal bytes with the same version of the runtime's libraries. The pieces' memory is used again and again: what is
 * thrown away is freed late, and a layer of any size is to fit into the same memory.
 */
import zlib from "node:zlib";
import { CodedError } from "#base/errors.ts";
import type { LayerCompression } from "#spec/media-type.ts";

/** How pieces become members. */
interface Packer {
  /** Gzip looks back 32 KiB only. Zstd would look back 2 MiB: programs become 2% longer than in pieces of 4 MiB, which took 60 MB more. */
  readonly pieceBytes: number;
  /** The runtimes' pools have four threads at most. Two of zstd's are as fast as the hashing of what goes in and comes out. */
  readonly piecesAtOnce: number;
  readonly pack: (piece: Uint8Array) => Promise<Uint8Array>;
}

const packers: Readonly<Record<Exclude<LayerCompression, "none">, Packer>> = {
  gzip: { pieceBytes: 1 << 20, piecesAtOnce: 4, pack: packGzip },
  zstd: { pieceBytes: 1 << 20, piecesAtOnce: 2, pack: packZstd },
};
const gzipLevel = 6;
const zstdLevel = 3;
/** What the compressor fills at a time: all that a piece can become, so that nothing is put together, copied and thrown away. */
function outputBytes(piece: Uint8Array): number {
  return piece.length + (piece.length >> 8) + (1 << 10);
}

/** The bytes of `chunks`, packed, in chunks that hold their bytes only until the next one is asked for; so may `chunks`. @throws CodedError `unsupported` for zstd in a Node before 22.15 */
export async function* compressLayer(
  chunks: AsyncIterable<Uint8Array>,
  compression: LayerCompression,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (compression === "none") {
    yield* chunks;
    return;
  }
  const { pieceBytes, piecesAtOnce, pack } = packers[compression];
  const free: Buffer[] = [];
  const underway: Promise<Uint8Array>[] = [];
  for await (const { buffer, length } of pieces(chunks, () => free.pop() ?? Buffer.allocUnsafeSlow(pieceBytes))) {
    const packed = pack(buffer.subarray(0, length)).then((bytes) => {
      free.push(buffer);
      return bytes;
    });
    // Its failure is seen when its turn comes, or never, when an earlier one failed.
    packed.catch(() => undefined);
    underway.push(packed);
    if (underway.length === piecesAtOnce) yield* handOut(await (underway.shift() as Promise<Uint8Array>));
  }
  for (const packed of underway) yield* handOut(await packed);
}

/** Its memory goes when the next one is asked for, not when the runtime finds it unused: by then there would be many. */
function* handOut(packed: Uint8Array): Generator<Uint8Array, void, undefined> {
  yield packed;
  // The types are those of the oldest Node. A small one may share its memory with others.
  const memory = packed.buffer as ArrayBuffer & { transfer?: (bytes: number) => unknown };
  if (memory.byteLength >= smallestOwnBytes) memory.transfer?.(0);
}

/** Runtimes give so large a buffer memory of its own. */
const smallestOwnBytes = 1 << 20;

/** Pieces as long as what `take` gives; the last is shorter, and there is always one: an empty stream is no gzip. */
async function* pieces(
  chunks: AsyncIterable<Uint8Array>,
  take: () => Buffer,
): AsyncGenerator<{ readonly buffer: Buffer; readonly length: number }, void, undefined> {
  let buffer = take();
  let length = 0;
  let count = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const part = Math.min(chunk.length - at, buffer.length - length);
      buffer.set(chunk.subarray(at, at + part), length);
      at += part;
      length += part;
      if (length < buffer.length) continue;
      yield { buffer, length };
      count++;
      buffer = take();
      length = 0;
    }
  }
  if (length > 0 || count === 0) yield { buffer, length };
}

/** RFC 1952: byte 9 tells the operating system; 255, "unknown", is the same everywhere. */
function packGzip(piece: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    zlib.gzip(piece, { level: gzipLevel, chunkSize: outputBytes(piece) }, (error, packed) => {
      if (error !== null) reject(error);
      else {
        packed[9] = 255;
        resolve(packed);
      }
    });
  });
}

/** The types are those of the oldest Node. */
interface ZstdPacker {
  readonly zstdCompress?: (
    piece: Uint8Array,
    options: { readonly params: Readonly<Record<number, number>>; readonly chunkSize: number },
    done: (error: Error | null, packed: Buffer) => void,
  ) => void;
}

/** RFC 8878 section 5: ZSTD_c_compressionLevel in the library's interface. */
const levelParameter = 100;

function packZstd(piece: Uint8Array): Promise<Uint8Array> {
  const { zstdCompress } = zlib as ZstdPacker;
  if (zstdCompress === undefined)
    throw new CodedError("unsupported", "cannot compress a layer with zstd: this version of Node cannot; gzip and none work");
  return new Promise((resolve, reject) => {
    zstdCompress(piece, { params: { [levelParameter]: zstdLevel }, chunkSize: outputBytes(piece) }, (error, packed) => {
      if (error === null) resolve(packed);
      else reject(error);
    });
  });
}
