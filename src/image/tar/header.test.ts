import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CodedError } from "#base/errors.ts";
import { defaultSeconds, header } from "../../../test/support/images/tar-writer.ts";
import { parseHeaderBlock, parseNumber, type Fault } from "./header.ts";

const fault: Fault = (fact, code = "corrupt") => new CodedError(code, fact);
const numberIn = (bytes: string | readonly number[]): number => {
  const buffer = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
  return parseNumber(buffer, 0, buffer.length);
};

describe("parseNumber()", () => {
  test.each([
    ["0000644\0", 0o644],
    ["   644 \0", 0o644],
    ["644     ", 0o644],
    ["77777777", 0o77777777],
    ["\0\0\0\0\0\0\0\0", 0],
    ["        ", 0],
    ["644\0junk", 0o644],
  ])("reads octal %p", (text, value) => {
    expect(numberIn(text)).toBe(value);
  });

  test.each(["0000648\0", "-0000001", "0x10\0\0\0\0", "64 4\0\0\0\0"])("refuses %p", (text) => {
    expect(numberIn(text)).toBeNaN();
  });

  test("reads base-256 of either sign", () => {
    expect(numberIn([0x80, 0, 0, 0, 0, 0, 1, 0])).toBe(256);
    expect(numberIn([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])).toBe(-1);
    expect(numberIn([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00])).toBe(-256);
  });

  test("refuses base-256 beyond a safe integer", () => {
    expect(numberIn([0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255])).toBeNaN();
    expect(numberIn([0xbf, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255])).toBeNaN();
  });
});

describe("parseHeaderBlock()", () => {
  const block = (): Buffer => header({ name: "a/b", uid: 3, mode: 0o640 }, { seconds: defaultSeconds, nanos: 0 }, 7);
  const reseal = (bytes: Buffer, sumOf: (byte: number) => number): Buffer => {
    bytes.fill(" ", 148, 156);
    const sum = bytes.reduce((total, byte) => total + sumOf(byte), 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return bytes;
  };

  test("reads the fields", () => {
    expect(parseHeaderBlock(block(), 0, fault)).toMatchObject({
      path: "a/b",
      uid: 3,
      mode: 0o640,
      size: 7,
      seconds: defaultSeconds,
      flag: 0x30,
    });
  });

  test("joins the ustar prefix with the name", () => {
    expect(parseHeaderBlock(header({ name: "b", prefix: "x/y" }, { seconds: 0, nanos: 0 }, 0), 0, fault)?.path).toBe("x/y/b" as never);
  });

  test("gives undefined for a block of zeros", () => {
    expect(parseHeaderBlock(Buffer.alloc(512), 0, fault)).toBeUndefined();
  });

  test("accepts a checksum of signed bytes, as old tar programs made", () => {
    const bytes = block();
    bytes.write("\xe4\xf6", 0, "latin1");
    expect(
      parseHeaderBlock(
        reseal(bytes, (byte) => (byte << 24) >> 24),
        0,
        fault,
      )?.path,
    ).toBe("\xe4\xf6b" as never);
  });

  test("takes no prefix from GNU's format, where times lie there", () => {
    const bytes = block();
    bytes.write("ustar  \0", 257, "latin1");
    bytes.write("14524770142\0", 345, "latin1");
    bytes.write("14524770142\0", 357, "latin1");
    expect(
      parseHeaderBlock(
        reseal(bytes, (byte) => byte),
        0,
        fault,
      )?.path,
    ).toBe("a/b" as never);
  });

  test("takes a prefix from GNU's format where Go before 1.8 put one", () => {
    const bytes = block();
    bytes.write("ustar  \0", 257, "latin1");
    bytes.write("some/directory", 345, "latin1");
    expect(
      parseHeaderBlock(
        reseal(bytes, (byte) => byte),
        0,
        fault,
      )?.path,
    ).toBe("some/directory/a/b" as never);
  });

  test("refuses a block of which any single byte was changed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 511 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = block();
        // The last byte of the checksum field is blank and not looked at.
        fc.pre(at < 148 || at > 155);
        bytes[at] = (bytes[at] ?? 0) ^ change;
        expect(() => parseHeaderBlock(bytes, 0, fault)).toThrow("checksum");
      }),
    );
  });
});
