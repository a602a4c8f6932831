/** Maps of sparse files: which bytes of a file are stored, in the four forms that GNU tar has used. */
import { blockBytes, parseNumber, type Fault } from "./header.ts";

/** How many segments one file may have: 6 MiB of map, far beyond what backups of disk images hold. */
export const sparseSegmentLimit = 1 << 18;

/** Offset and length of each stored segment, alternating. */
export type SparseMap = number[];

/** Reads up to `count` segments of an old GNU map at `start`; the rest of a full list lies in extension blocks. */
export function readOldGnuSegments(bytes: Buffer, options: { start: number; count: number; map: SparseMap }, fault: Fault): void {
  for (let index = 0; index < options.count; index++) {
    const at = options.start + index * 24;
    // A list that is not full ends at its first blank offset.
    if (bytes[at] === 0) return;
    options.map.push(parseNumber(bytes, at, 12), parseNumber(bytes, at + 12, 12));
  }
  if (options.map.length > 2 * sparseSegmentLimit) throw tooMany(fault);
}

/**
 * Collects the map that lies in front of the data in PAX format 1.0: decimal lines (a count, then offset and
 * length of each segment), padded to a whole block.
 */
export class PaxSparseMapReader {
  readonly map: SparseMap = [];
  #number = 0;
  #digits = 0;
  #count = -1;

  /** Takes the block at `at`; true when the map is complete. */
  takeBlock(bytes: Buffer, at: number, fault: Fault): boolean {
    for (let index = at; index < at + blockBytes; index++) {
      const byte = bytes[index] ?? 0;
      if (byte !== 0x0a) {
        if (byte < 0x30 || byte > 0x39 || ++this.#digits > 16) throw fault("its sparse map is malformed");
        this.#number = this.#number * 10 + byte - 0x30;
        continue;
      }
      if (this.#digits === 0) throw fault("its sparse map is malformed");
      if (this.#count < 0) {
        this.#count = this.#number;
        if (this.#count > sparseSegmentLimit) throw tooMany(fault);
      } else {
        this.map.push(this.#number);
      }
      this.#number = 0;
      this.#digits = 0;
      if (this.map.length === 2 * this.#count) return true;
    }
    return false;
  }
}

/** Checks that segments rise, do not overlap, stay within `size` and are what `storedBytes` holds. @throws what `fault` makes */
export function checkSparseMap(map: SparseMap, file: { readonly size: number; readonly storedBytes: number }, fault: Fault): void {
  if (map.length > 2 * sparseSegmentLimit) throw tooMany(fault);
  if (map.length % 2 !== 0) throw fault("its sparse map has an offset without a length");
  let end = 0;
  let stored = 0;
  for (let index = 0; index < map.length; index += 2) {
    const offset = map[index] ?? Number.NaN;
    const length = map[index + 1] ?? Number.NaN;
    // Written so that NaN fails too.
    if (!(offset >= end && length >= 0 && length <= file.size - offset)) {
      throw fault(
        `its sparse map is wrong: segment ${index / 2} (${length} bytes at ${offset}) overlaps or leaves the file of ${file.size} bytes`,
      );
    }
    end = offset + length;
    stored += length;
  }
  if (stored !== file.storedBytes) throw fault(`its sparse map tells of ${stored} bytes, but ${file.storedBytes} are stored`);
}

function tooMany(fault: Fault): Error {
  return fault(`it has more than ${sparseSegmentLimit} sparse segments`, "exhausted");
}
