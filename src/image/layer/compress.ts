/**
 * Compressing layers: pieces of a fixed length, each a gzip member or zstd frame of its own, a few at a time on the runtime's thread pool.
 *
 * Both formats are defined as any number of members in a row (RFC 1952 section 2.2, RFC 8878 section 3), so all processors can work on one layer.
 * Equal bytes give equal bytes with the same version of the runtime's libraries.
 */
import zlib from "node:zlib";
import { CodedError } from "#base/errors.ts";
import type { LayerCompression } from "#spec/media-type.ts";

/** Large enough that the ratio does not suffer: zstd looks back 2 MiB at its usual level, gzip 32 KiB. */
const pieceBytes = 4 << 20;
const piecesAtOnce = 4;
const gzipLevel = 6;
const zstdLevel = 3;

/** The bytes of `chunks`, packed. @throws CodedError `unsupported` for zstd in a Node before 22.15 */
export async function* compressLayer(
  chunks: AsyncIterable<Uint8Array>,
  compression: LayerCompression,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (compression === "none") {
    yield* chunks;
    return;
  }
  const pack = compression === "gzip" ? packGzip : packZstd;
  const underway: Promise<Uint8Array>[] = [];
  for await (const piece of pieces(chunks)) {
    const packed = pack(piece);
    // Its failure is seen when its turn comes, or never, when an earlier one failed.
    packed.catch(() => undefined);
    underway.push(packed);
    if (underway.length === piecesAtOnce) yield await (underway.shift() as Promise<Uint8Array>);
  }
  for (const packed of underway) yield await packed;
}

/** Pieces of `pieceBytes`; the last is shorter, and there is always one: an empty stream is no gzip. */
async function* pieces(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let piece = Buffer.allocUnsafeSlow(pieceBytes);
  let length = 0;
  let count = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const part = Math.min(chunk.length - at, pieceBytes - length);
      piece.set(chunk.subarray(at, at + part), length);
      at += part;
      length += part;
      if (length < pieceBytes) continue;
      yield piece;
      count++;
      piece = Buffer.allocUnsafeSlow(pieceBytes);
      length = 0;
    }
  }
  if (length > 0 || count === 0) yield piece.subarray(0, length);
}

/** RFC 1952: byte 9 tells the operating system; 255, "unknown", is the same everywhere. */
function packGzip(piece: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    zlib.gzip(piece, { level: gzipLevel }, (error, packed) => {
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
    options: { readonly params: Readonly<Record<number, number>> },
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
    zstdCompress(piece, { params: { [levelParameter]: zstdLevel } }, (error, packed) => {
      if (error === null) resolve(packed);
      else reject(error);
    });
  });
}
