import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { extension, header, member, padding, paxRecord, tar, type TarEntry } from "../../../test/support/images/tar-writer.ts";
import { readArchive, type ReadEntry } from "./reading.fixture.ts";
import { TarReader } from "./read.ts";
import { encodeTarHeader, tarEndBytes, tarPaddingBytes } from "./write.ts";
import type { EntryKind, TarHeader } from "./header.ts";

const paxHeader = (records: Readonly<Record<string, string>>, flag = "x"): Uint8Array[] =>
  extension({
    flag,
    name: "PaxHeaders/x",
    data: Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, Buffer.from(value, "latin1")))),
  });
const end = Buffer.alloc(1024);
const names = (archive: Uint8Array): string[] => readArchive(archive).map((entry) => entry.path);
const failure = (archive: Uint8Array): CodedError => {
  try {
    readArchive(archive);
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error("the archive was read without an error");
};

const bytesOf = (max: number): fc.Arbitrary<string> =>
  fc.array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: max }).map((codes) => String.fromCharCode(...codes));
const path = fc
  .array(
    bytesOf(40).filter((name) => !name.includes("/")),
    { minLength: 1, maxLength: 12 },
  )
  .map((parts) => parts.join("/") as ByteString);
const id = fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 2 }), fc.integer({ min: 0, max: 2000 }));
const kind = fc.constantFrom<EntryKind>("file", "hardlink", "symlink", "character", "block", "directory", "fifo");
const xattrs = fc.uniqueArray(
  fc.record({ name: bytesOf(20).map((name) => `user.${name}` as ByteString), value: fc.uint8Array({ maxLength: 300 }) }),
  {
    maxLength: 3,
    selector: (xattr) => xattr.name,
  },
);
const entryToWrite = fc
  .record({
    kind,
    path,
    linkPath: path,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: id,
    gid: id,
    seconds: fc.integer({ min: -(2 ** 36), max: 2 ** 36 }),
    nanos: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 })),
    major: fc.integer({ min: 0, max: 4095 }),
    minor: fc.integer({ min: 0, max: 2 ** 20 - 1 }),
    xattrs,
    data: fc.uint8Array({ maxLength: 1600 }),
  })
  .map(({ data, ...fields }) => {
    const isLink = fields.kind === "hardlink" || fields.kind === "symlink";
    const isDevice = fields.kind === "character" || fields.kind === "block";
    const content = fields.kind === "file" ? data : new Uint8Array(0);
    const written: TarHeader = {
      ...fields,
      path: (fields.kind === "directory" ? `${fields.path}/` : fields.path) as ByteString,
      linkPath: (isLink ? fields.linkPath : "") as ByteString,
      major: isDevice ? fields.major : 0,
      minor: isDevice ? fields.minor : 0,
      size: content.length,
    };
    return { header: written, data: content };
  });

describe("TarReader", () => {
  test("reads back what encodeTarHeader() has written, however it is cut into chunks", () => {
    fc.assert(
      fc.property(
        fc.array(entryToWrite, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 8 }),
        (entries, cuts) => {
          const parts = entries.flatMap(({ header: own, data }) => [
            encodeTarHeader(own),
            data,
            Buffer.alloc(tarPaddingBytes(data.length)),
          ]);
          const archive = Buffer.concat([...parts, Buffer.alloc(tarEndBytes)]);
          const read = readArchive(archive, cuts);
          expect(read).toHaveLength(entries.length);
          for (const [index, { header: own, data }] of entries.entries()) {
            const { content, ...fields } = read[index] as ReadEntry;
            const sorted = own.xattrs
              .toSorted((a, b) => (a.name < b.name ? -1 : 1))
              .map((xattr) => ({ name: xattr.name, value: Buffer.from(xattr.value) }));
            expect(fields).toEqual({ ...own, xattrs: sorted });
            expect(content).toEqual(Buffer.from(data));
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  test("hands out views of the bytes it was given", () => {
    const archive = tar([{ name: "a", data: "x".repeat(2000) }]);
    const seen: Uint8Array[] = [];
    const reader = new TarReader({ entry: () => undefined, data: (bytes) => void seen.push(bytes), endEntry: () => undefined });
    reader.push(archive);
    reader.end();
    expect(seen).toHaveLength(1);
    expect(seen[0]?.buffer).toBe(archive.buffer);
  });

  test("reads GNU long names and link targets", () => {
    const entry: TarEntry = { name: `d/${"n".repeat(300)}`, type: "symlink", link: "t".repeat(200), longNames: "gnu" };
    expect(readArchive(tar([entry, { name: "next", data: "1" }]))).toMatchObject([
      { path: entry.name, linkPath: entry.link, kind: "symlink" },
      { path: "next" },
    ]);
  });

  test("takes an old file flag with a slash at the end of the name for a directory", () => {
    expect(
      readArchive(
        tar([
          { name: "d/", flag: "\0" },
          { name: "f", flag: "\0", data: "x" },
        ]),
      ),
    ).toMatchObject([{ kind: "directory" }, { kind: "file", size: 1 }]);
  });

  test("reads a contiguous file as a file", () => {
    expect(readArchive(tar([{ name: "f", flag: "7", data: "abc" }]))).toMatchObject([
      { kind: "file", size: 3, content: Buffer.from("abc") },
    ]);
  });

  test("gives links, directories and nodes no data, whatever their size field says", () => {
    for (const type of ["hardlink", "symlink", "directory", "fifo"] as const) {
      expect(names(tar([{ name: "a", type, link: "b", rawSize: "00000001000\0" }, { name: "next" }]))).toEqual(["a", "next"]);
    }
  });

  test("applies a global header's owner and time to all entries after it, and an entry's own header before it", () => {
    const archive = Buffer.concat([
      ...member({ name: "before", uid: 1 }),
      ...paxHeader({ uid: "7", mtime: "5.5", comment: "0123456789" }, "g"),
      ...member({ name: "a", uid: 1 }),
      ...member({ name: "b", uid: 1, pax: { uid: "9" } }),
      end,
    ]);
    expect(readArchive(archive)).toMatchObject([{ uid: 1 }, { uid: 7, seconds: 5, nanos: 500_000_000 }, { uid: 9, seconds: 5 }]);
  });

  test("refuses a global header that names all entries the same", () => {
    for (const record of [{ path: "x" }, { size: "5" }, { "SCHILY.xattr.user.a": "b" }]) {
      expect(failure(Buffer.concat([...paxHeader(record, "g"), ...member({ name: "a" }), end])).code).toBe("unsupported");
    }
  });

  test("reads on to the end of the bytes after the archive's end", () => {
    expect(names(Buffer.concat([tar([{ name: "a" }]), Buffer.alloc(10_240, 0x55)]))).toEqual(["a"]);
  });

  test("reads an archive without the two zero blocks, as peers do", () => {
    expect(names(Buffer.concat(member({ name: "a", data: "1" })))).toEqual(["a"]);
  });
});

describe("TarReader and PAX headers", () => {
  test("never applies a PAX size to another meta header, only to the entry", () => {
    // Whoever applied size=512 to the long name header would read its payload's second block as a header.
    const longName = extension({ flag: "L", name: "././@LongLink", data: Buffer.from(`${"n".repeat(150)}\0`) });
    const archive = Buffer.concat([
      ...paxHeader({ size: "3" }),
      ...longName,
      header({ name: "short" }, { seconds: 0, nanos: 0 }, 0),
      Buffer.from("abc"),
      padding(3),
      ...member({ name: "next" }),
      end,
    ]);
    expect(readArchive(archive)).toMatchObject([{ path: "n".repeat(150), size: 3, content: Buffer.from("abc") }, { path: "next" }]);
  });

  test("forgets a PAX header after its entry", () => {
    expect(names(Buffer.concat([...paxHeader({ path: "p" }), ...member({ name: "a" }), ...member({ name: "b" }), end]))).toEqual([
      "p",
      "b",
    ]);
  });

  test("lets the later of two PAX headers hold", () => {
    expect(names(Buffer.concat([...paxHeader({ path: "p" }), ...paxHeader({ uid: "1" }), ...member({ name: "a" }), end]))).toEqual(["a"]);
  });

  test("reads a PAX size beyond the header's field", () => {
    const reader = new TarReader({ entry: (entry) => expect(entry.size).toBe(2 ** 40), data: () => undefined, endEntry: () => undefined });
    reader.push(Buffer.concat(member({ name: "big", pax: { size: String(2 ** 40) } })));
    expect(() => reader.end()).toThrow('cannot read tar entry "big": the archive is cut off here');
  });
});

describe("TarReader refuses", () => {
  test("an archive that is cut off within an entry, naming the entry", () => {
    const archive = Buffer.concat([
      ...member({ name: "one", data: "1".repeat(700) }),
      ...member({ name: "t".repeat(120), data: "2".repeat(700), xattrs: { "user.a": "b" } }),
      ...member({ name: "sym", type: "symlink", link: "x" }),
    ]);
    const whole = new Set([1536, archive.length - 512, archive.length]);
    for (let length = 0; length <= archive.length; length += 256) {
      if (length === 0 || whole.has(length)) {
        expect(names(archive.subarray(0, length)).length).toBe(length === 0 ? 0 : length === 1536 ? 1 : length === archive.length ? 3 : 2);
      } else {
        const error = failure(archive.subarray(0, length));
        expect(error.code).toBe("corrupt");
        expect(error.message).toContain("cut off");
        if (length > 512 && length < 1536) expect(error.message).toContain('"one"');
        if (length > 3584 && length < archive.length - 512) expect(error.message).toContain(`"${"t".repeat(120)}"`);
      }
    }
  });

  test.each<[string, TarEntry, string]>([
    ["a wrong checksum", { name: "a", badChecksum: true }, "checksum"],
    ["a size that is no number", { name: "a", rawSize: "12x45678901\0" }, "size"],
    ["a negative size", { name: "a", rawSize: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" }, "size is -1"],
    ["an absurd size", { name: "a", rawSize: "\x80\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff" }, "size"],
    ["a negative PAX size", { name: "a", pax: { size: "-5" } }, "size"],
    ["an absurd PAX size", { name: "a", pax: { size: "99999999999999999999" } }, "size"],
    ["a NUL in a PAX name", { name: "a", pax: { path: "a\0b" } }, "NUL"],
    ["a NUL in a PAX link target", { name: "a", type: "symlink", link: "x", pax: { linkpath: "a\0b" } }, "NUL"],
    ["an owner of 2^32-1", { name: "a", uid: 2 ** 32 - 1 }, "owner"],
    ["a negative owner", { name: "a", uid: -2 }, "owner"],
    ["a name of 5000 bytes", { name: "n".repeat(5000) }, "5000 bytes"],
    ["a link target of 5000 bytes", { name: "n", type: "symlink", link: "n".repeat(5000) }, "5000 bytes"],
    ["an entry without a name", { name: "" }, "no name"],
    ["a type that is not known", { name: "a", flag: "V" }, 'type "V"'],
    ["a device number that Linux does not have", { name: "a", type: "char", major: 4096 }, "4096:0"],
    [
      "a sparse format that is not known",
      { name: "a", pax: { "GNU.sparse.major": "2", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5" } },
      "sparse format 2.0",
    ],
    ["a sparse file without a size", { name: "a", pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0" } }, "real size"],
    [
      "a sparse map that is longer than the file",
      { name: "a", data: "abc", pax: { "GNU.sparse.size": "2", "GNU.sparse.map": "0,3" } },
      "sparse map",
    ],
    ["a sparse map that goes back", { name: "a", data: "abc", pax: { "GNU.sparse.size": "9", "GNU.sparse.map": "5,2,1,1" } }, "sparse map"],
    [
      "a sparse map of other than the stored bytes",
      { name: "a", data: "abc", pax: { "GNU.sparse.size": "9", "GNU.sparse.map": "5,2" } },
      "3 are stored",
    ],
    [
      "a sparse map in the data that claims millions of segments",
      {
        name: "a",
        data: "9999999\n".padEnd(512, "1\n"),
        pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" },
      },
      "segments",
    ],
    [
      "a sparse map in the data that is no number",
      { name: "a", data: "1\nx\n".padEnd(512), pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" } },
      "malformed",
    ],
  ])("%s", (_, entry, fact) => {
    expect(failure(tar([entry])).message).toContain(fact);
  });

  test("extended headers over their limits before reading them", () => {
    for (const [flag, rawSize] of [
      ["x", "00004000001\0"],
      ["g", "00004000001\0"],
      ["L", "00000200001\0"],
      ["K", "77777777777\0"],
    ] as const) {
      const error = failure(header({ name: "m", flag, rawSize }, { seconds: 0, nanos: 0 }, 0));
      expect(error.code).toBe("exhausted");
    }
  });

  test("an entry after a block of zeros", () => {
    expect(failure(Buffer.concat([Buffer.alloc(512), ...member({ name: "a" }), end])).message).toContain("block of zeros");
  });

  test("an extended header with nothing after it", () => {
    expect(failure(Buffer.concat([...paxHeader({ path: "p" }), end])).message).toContain("extended header");
    expect(failure(Buffer.concat(paxHeader({ path: "p" }))).message).toContain("cut off");
  });

  test("nothing in another way than by an error of its own, whatever is damaged", () => {
    const archive = tar([
      { name: "a", data: "1".repeat(600), xattrs: { "user.a": "b" } },
      { name: "n".repeat(300), longNames: "gnu" },
      { name: "s", data: "abc", pax: { "GNU.sparse.size": "9", "GNU.sparse.map": "5,3" } },
    ]);
    fc.assert(
      fc.property(
        fc.array(fc.record({ at: fc.integer({ min: 0, max: archive.length - 1 }), to: fc.integer({ min: 0, max: 255 }) }), {
          minLength: 1,
          maxLength: 4,
        }),
        (changes) => {
          const damaged = Buffer.from(archive);
          for (const { at, to } of changes) damaged[at] = to;
          for (let block = 0; block < damaged.length; block += 512)
            if (damaged.toString("latin1", block + 257, block + 262) === "ustar") resealed(damaged.subarray(block, block + 512));
          try {
            readArchive(damaged);
          } catch (error) {
            expect(error).toBeInstanceOf(CodedError);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

function resealed(block: Buffer): void {
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
