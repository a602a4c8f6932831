/**
 * Compressing layers: pieces of a fixed length, each a gzip member or zstd frame of its own, a few at a time on the runtime's thread pool.
 *
 * Both formats are defined as any number of members in a row (RFC 1952 section 2.2, RFC 8878 section 3), so all processors can work on one layer.
 * Equal bytes give equal bytes with the same version of the runtime's libraries. The pieces' memory is used again and again: what is
 * thrown away is freed late, and a layer of any size is to fit into the same memory.
 */
import type { Transform } from "node:stream";
import zlib from "node:zlib";
import { CodedError } from "#base/errors.ts";
import type { LayerCompression } from "#spec/media-type.ts";

/** How pieces become members. */
interface Packer {
  /** Gzip looks back 32 KiB only. Zstd would look back 2 MiB: programs become 2% longer than in pieces of 4 MiB, which took 60 MB more. */
  readonly pieceBytes: number;
  /** The runtimes' pools have four threads at most. Two of zstd's are as fast as the hashing of what goes in and comes out. */
  readonly piecesAtOnce: number;
  /** What packs one piece. */
  readonly engine: (piece: Uint8Array) => Transform;
  /** Changes what the member begins with. */
  readonly finish?: (beginning: Uint8Array) => void;
}

const packers: Readonly<Record<Exclude<LayerCompression, "none">, Packer>> = {
  gzip: { pieceBytes: 1 << 20, piecesAtOnce: 4, engine: gzipEngine, finish: hideSystem },
  zstd: { pieceBytes: 1 << 20, piecesAtOnce: 2, engine: zstdEngine },
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
  const packer = packers[compression];
  const free: Buffer[] = [];
  const underway: Promise<readonly Uint8Array[]>[] = [];
  for await (const { buffer, length } of pieces(chunks, () => free.pop() ?? Buffer.allocUnsafeSlow(packer.pieceBytes))) {
    const packed = pack(packer, buffer.subarray(0, length)).then((member) => {
      free.push(buffer);
      return member;
    });
    // Its failure is seen when its turn comes, or never, when an earlier one failed.
    packed.catch(() => undefined);
    underway.push(packed);
    if (underway.length === packer.piecesAtOnce) yield* handOut(await (underway.shift() as Promise<readonly Uint8Array[]>));
  }
  for (const packed of underway) yield* handOut(await packed);
}

/** Its memory goes when what follows it is asked for, not when the runtime finds it unused: by then there would be many. */
function* handOut(member: readonly Uint8Array[]): Generator<Uint8Array, void, undefined> {
  yield* member;
  for (const { buffer } of member) {
    // The types are those of the oldest Node. A small one may share its memory with others.
    const memory = buffer as ArrayBuffer & { transfer?: (bytes: number) => unknown };
    if (memory.byteLength >= smallestOwnBytes) memory.transfer?.(0);
  }
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

/**
 * All of `piece` as one member, in parts. The engine's memory goes at once: that of the functions which pack a buffer whole is freed when the
 * runtime finds it unused, and a dozen of zstd's are 40 MB.
 */
function pack({ engine: make, finish }: Packer, piece: Uint8Array): Promise<readonly Uint8Array[]> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    const engine = make(piece);
    engine.on("data", (part: Uint8Array) => parts.push(part));
    engine.on("error", reject).on("end", () => {
      engine.destroy();
      if (parts[0] !== undefined) finish?.(parts[0]);
      resolve(parts);
    });
    engine.end(piece);
  });
}

function gzipEngine(piece: Uint8Array): Transform {
  return zlib.createGzip({ level: gzipLevel, chunkSize: outputBytes(piece) });
}

/** RFC 1952: byte 9 tells the operating system; 255, "unknown", is the same everywhere. */
function hideSystem(beginning: Uint8Array): void {
  beginning[9] = 255;
}

/** The types are those of the oldest Node. */
interface ZstdPacker {
  readonly createZstdCompress?: (options: {
    readonly params: Readonly<Record<number, number>>;
    readonly chunkSize: number;
    readonly pledgedSrcSize?: number;
  }) => Transform;
}

/** RFC 8878 section 5: ZSTD_c_compressionLevel in the library's interface. */
const levelParameter = 100;

function zstdEngine(piece: Uint8Array): Transform {
  const { createZstdCompress } = zlib as ZstdPacker;
  if (createZstdCompress === undefined)
    throw new CodedError("unsupported", "cannot compress a layer with zstd: this version of Node cannot; gzip and none work");
  // A frame tells how long its content is, but not that there is none.
  const size = piece.length > 0 ? { pledgedSrcSize: piece.length } : {};
  return createZstdCompress({ params: { [levelParameter]: zstdLevel }, chunkSize: outputBytes(piece), ...size });
}
