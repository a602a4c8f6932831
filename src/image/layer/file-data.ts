/** A file's data as chunks of its `file` op, with long runs of zeros left out as holes. */
import type { RecordWriter } from "#program/record-writer.ts";

/** The most that one chunk holds (docs/program-format.md), in bytes. */
export const chunkLimitBytes: number = 128 << 10;

/**
 * From this size on zeros become holes. A disk image of 9 GiB, mostly zeros, then takes neither disk nor time; for
 * small files looking costs more than it saves.
 */
const sparseFromBytes = 1 << 20;
const pieceBytes = 64 << 10;
const zeros = Buffer.alloc(pieceBytes);

/** Writes `bytes`, which lie at `offset` of a file of `fileSize` bytes. */
export function writeFileData(
  writer: RecordWriter,
  bytes: Uint8Array,
  place: { readonly offset: number; readonly fileSize: number },
): void {
  if (place.fileSize < sparseFromBytes) return writeChunks(writer, bytes, place.offset);
  // Pieces end at multiples of their size in the file, so that holes match the file system's blocks. A piece that is
  // cut short by `bytes` is looked at as it is: what is zero here need not be written whatever its neighbour holds.
  let from = 0;
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(at + pieceBytes - ((place.offset + at) % pieceBytes), bytes.length);
    if (isZero(bytes, at, end)) {
      if (at > from) writeChunks(writer, bytes.subarray(from, at), place.offset + from);
      from = end;
    }
    at = end;
  }
  if (from < bytes.length) writeChunks(writer, bytes.subarray(from), place.offset + from);
}

function writeChunks(writer: RecordWriter, bytes: Uint8Array, offset: number): void {
  for (let at = 0; at < bytes.length; at += chunkLimitBytes) {
    const whole = at === 0 && bytes.length <= chunkLimitBytes;
    writer.chunk(offset + at, whole ? bytes : bytes.subarray(at, at + chunkLimitBytes));
  }
}

/** The ends are looked at first: few pieces with data pass that. */
function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  return bytes[start] === 0 && bytes[end - 1] === 0 && zeros.compare(bytes, start, end, 0, end - start) === 0;
}
