import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CodedError } from "#base/errors.ts";
import type { Fault } from "./header.ts";
import { formatPaxRecord, formatPaxTime, parsePaxRecords, parsePaxTime } from "./pax.ts";

const fault: Fault = (fact, code = "corrupt") => new CodedError(code, fact);
const parse = (...records: (Buffer | string)[]): ReturnType<typeof parsePaxRecords> =>
  parsePaxRecords(Buffer.concat(records.map((record) => (typeof record === "string" ? Buffer.from(record, "latin1") : record))), fault);

describe("parsePaxTime()", () => {
  test.each([
    ["0", 0, 0],
    ["1.5", 1, 500_000_000],
    ["1.", 1, 0],
    ["1.0000000009", 1, 0],
    ["1700000000.123456789999", 1_700_000_000, 123_456_789],
    ["-1", -1, 0],
    ["-0.5", -1, 500_000_000],
    ["-1.25", -2, 750_000_000],
    ["-1.0000000001", -2, 999_999_999],
    ["-0", 0, 0],
  ])("reads %s rounded down", (text, seconds, nanos) => {
    expect(parsePaxTime(text)).toEqual({ seconds, nanos });
  });

  test.each(["", "-", ".5", "1e3", "0x10", "1.5.5", " 1", "99999999999999999999", "+1"])("refuses %p", (text) => {
    expect(parsePaxTime(text)).toBeUndefined();
  });

  test("is the inverse of formatPaxTime()", () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), fc.integer({ min: 0, max: 999_999_999 }), (seconds, nanos) => {
        expect(parsePaxTime(formatPaxTime(seconds, nanos))).toEqual({ seconds, nanos });
      }),
    );
  });
});

describe("parsePaxRecords()", () => {
  test("R13 reads what layers use and ignores other keys", () => {
    const fields = parse(
      formatPaxRecord("path", "a=b\nc"),
      formatPaxRecord("comment", "anything"),
      formatPaxRecord("linkpath", "l"),
      formatPaxRecord("size", "8589934592"),
      formatPaxRecord("uid", "4294967294"),
      formatPaxRecord("SCHILY.devmajor", "1"),
      formatPaxRecord("SCHILY.xattr.user.x", Buffer.from([0, 255])),
    );
    expect(fields).toEqual({
      path: "a=b\nc",
      linkPath: "l",
      size: 8_589_934_592,
      uid: 4_294_967_294,
      xattrs: new Map([["user.x", Buffer.from([0, 255])]]),
    } as never);
  });

  test("lets the later record hold, and an empty one take an earlier one back", () => {
    expect(
      parse(formatPaxRecord("path", "a"), formatPaxRecord("path", "b"), formatPaxRecord("uid", "1"), formatPaxRecord("uid", "")),
    ).toEqual({ path: "b" } as never);
  });

  test("keeps an extended attribute without a value", () => {
    expect(parse(formatPaxRecord("SCHILY.xattr.user.empty", "")).xattrs).toEqual(new Map([["user.empty", Buffer.alloc(0)]]) as never);
  });

  test("decodes libarchive's attribute names and values", () => {
    expect(parse(formatPaxRecord("LIBARCHIVE.xattr.user.a%3Db", "AAH/")).xattrs).toEqual(
      new Map([["user.a=b", Buffer.from([0, 1, 255])]]) as never,
    );
  });

  test.each([
    ["no length", " path=a\n"],
    ["a length that is too long", "99 path=a\n"],
    ["a length that is too short", "5 path=a\n"],
    ["a length of 0", "0 path=a\n"],
    ["a length of 20 digits", "00000000000000000010 p=a\n"],
    ["no line feed", "9 path=ab"],
    ["no equals sign", "8 path1\n"],
    ["an equals sign in the next record only", "8 path1\n9 path=b\n"],
    ["no key", "6 =ab\n"],
    ["a NUL in a name", "11 path=a\0b\n"],
    ["a negative size", "11 size=-1\n"],
    ["a size in hexadecimal", "12 size=0x1\n"],
    ["an absurd size", "28 size=9999999999999999999\n"],
    ["an attribute without a name", "17 SCHILY.xattr.=\n"],
    ["an attribute that is no base64", "23 LIBARCHIVE.xattr.a=*\n"],
  ])("refuses %s", (_, records) => {
    expect(() => parse(records)).toThrow(CodedError);
  });

  test("never fails in another way, whatever the bytes", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          fc.stringMatching(/^([0-9]{1,2} [a-z.S]{0,6}=?[0-9,.-]{0,6}\n){0,4}$/).map((text) => Buffer.from(text, "latin1")),
        ),
        (bytes) => {
          try {
            parsePaxRecords(Buffer.from(bytes), fault);
          } catch (error) {
            expect(error).toBeInstanceOf(CodedError);
          }
        },
      ),
    );
  });
});
