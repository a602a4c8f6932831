import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CodedError } from "#base/errors.ts";
import { ZstdFrameWalker } from "./zstd-frames.ts";

const magic = [0x28, 0xb5, 0x2f, 0xfd];
function walk(bytes: Uint8Array, cut: number = bytes.length): void {
  const walker = new ZstdFrameWalker();
  for (let from = 0; from < bytes.length; from += cut) {
    const piece = bytes.subarray(from, from + cut);
    for (let at = 0; at < piece.length;) at = walker.advance(piece, at);
  }
  walker.end();
}

describe("ZstdFrameWalker", () => {
  test("walks over what zstd writes, in pieces of any size, and over no part of it", () => {
    const input = fc.record({
      data: fc.uint8Array({ maxLength: 300 }),
      times: fc.integer({ min: 1, max: 400 }),
      cut: fc.integer({ min: 1, max: 50 }),
      where: fc.nat(),
    });
    fc.assert(
      fc.property(input, ({ data, times, cut, where }) => {
        const frame = Bun.zstdCompressSync(Buffer.concat(Array.from({ length: times }, () => data)));
        walk(Buffer.concat([frame, frame]), cut);
        const length = where % frame.length;
        expect(() => {
          walk(frame.subarray(0, length), cut);
        }).toThrow(CodedError);
      }),
    );
  });

  test("stops behind each frame, skippable ones too", () => {
    const frames = [
      Bun.zstdCompressSync("one"),
      Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]),
      Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]),
      Bun.zstdCompressSync(""),
    ];
    const bytes = Buffer.concat(frames);
    const walker = new ZstdFrameWalker();
    let at = 0;
    for (const frame of frames) {
      expect(walker.advance(bytes, at)).toBe(at + frame.length);
      at += frame.length;
    }
  });

  test.each<[string, number[], string]>([
    ["a dictionary", [...magic, 0x01, 0, 7, 1, 0, 0], "dictionary"],
    ["a reserved bit", [...magic, 0x08, 0, 1, 0, 0], "reserved bit"],
    ["a reserved block type", [...magic, 0, 0, 7, 0, 0], "type that is not defined"],
    ["a block over 128 KiB", [...magic, 0, 0, 0xff, 0xff, 0xff], "block"],
    ["a window over 128 MiB", [...magic, 0, (17 << 3) | 1, 1, 0, 0], "window of 150994944 bytes"],
    ["a single segment over 128 MiB", [...magic, 0xa0, 1, 0, 0, 8, 1, 0, 0], "window of 134217729 bytes"],
    ["a single segment of 2^56 bytes", [...magic, 0xe0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0], "window of"],
    ["bytes that are no frame", [1, 2, 3, 4], "does not begin with a frame"],
    ["nothing", [], "empty"],
  ])("refuses %s", (_, bytes, fact) => {
    expect(() => {
      walk(Uint8Array.from(bytes));
    }).toThrow(fact);
  });

  test("accepts a window of just 128 MiB", () => {
    walk(Uint8Array.from([...magic, 0, 17 << 3, 1, 0, 0]));
  });
});
