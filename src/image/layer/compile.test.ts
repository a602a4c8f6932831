import { describe, expect, test } from "bun:test";
import { CodedError } from "#base/errors.ts";
import { RecordWriter } from "#program/record-writer.ts";
import { directory, file, hardlink, opaque, symlink, whiteout } from "../../../test/support/images/cases/case.ts";
import { decodeRecords, formatOps } from "../../../test/support/program-stream.ts";
import { tar, type TarEntry } from "../../../test/support/images/tar-writer.ts";
import { TarReader } from "../tar/read.ts";
import { LayerCompiler, type CompileOptions, type LayerLimits } from "./compile.ts";

const generous: LayerLimits = { maxBytes: 2 ** 40, maxEntries: 1000 };

function compile(entries: readonly TarEntry[], options: Partial<CompileOptions> = {}): { ops: string[]; compiler: LayerCompiler } {
  const writer = new RecordWriter({ recordLimitBytes: 128 << 10 });
  const compiler = new LayerCompiler(writer, { base: false, limits: generous, firstOp: 0, ...options });
  const reader = new TarReader(compiler);
  reader.push(tar(entries.map((entry) => ({ mtime: 0, ...entry }))));
  reader.end();
  compiler.finish();
  return { ops: formatOps(decodeRecords(writer.take(), { header: false })), compiler };
}

const opsOf = (...entries: TarEntry[]): string[] => compile(entries).ops;
const failure = (...entries: TarEntry[]): CodedError => {
  try {
    compile(entries);
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error("the layer was compiled without an error");
};

describe("LayerCompiler makes", () => {
  test("R3 an op of each kind of entry", () => {
    expect(
      compile(
        [
          directory(".", { mode: 0o755, mtime: 9 }),
          file("f", "data", { mode: 0o4755, uid: 1, gid: 2, mtime: { seconds: -1, nanos: 5 } }),
          symlink("s", "../../f"),
          hardlink("h", "./f"),
          { name: "c", type: "char", mode: 0o600, major: 5, minor: 1 },
          { name: "b", type: "block", mode: 0o600, major: 8, minor: 0 },
          { name: "p", type: "fifo", mode: 0o600 },
        ],
        { base: true },
      ).ops,
    ).toEqual([
      "directory . 0755 @9",
      "file f 4755 1:2 @-1.000000005 4 [0+4]",
      "symlink s ../../f",
      "hardlink h f",
      "node c 20600 5 1",
      "node b 60600 8 0",
      "node p 10600 0 0",
      "times . @9",
    ]);
  });

  test("R11 parents that the layer does not have, once, and keeps the times of directories without an entry", () => {
    expect(opsOf(file("a/b/1", "x"), file("a/b/2", "y"), file("a/3", "z"), directory("a/b", { mtime: 5 }), file("a/b/4", ""))).toEqual([
      "parents a/b",
      "file a/b/1 0644 1 [0+1] keep-parent",
      "file a/b/2 0644 1 [0+1] keep-parent",
      "file a/3 0644 1 [0+1] keep-parent",
      "directory a/b 0755 @5 keep-parent",
      "clear-xattrs a/b",
      "file a/b/4 0644 0 []",
      "times a/b @5",
    ]);
  });

  test("times at the end for those directories only in which something was made", () => {
    expect(
      compile([directory("a", { mtime: 1 }), directory("a/b", { mtime: 2 }), directory("c", { mtime: 3 })], { base: true }).ops,
    ).toEqual(["directory a 0755 @1 keep-parent", "directory a/b 0755 @2", "directory c 0755 @3 keep-parent", "times a @1"]);
  });

  test("R2 the time of the later entry where a directory has two, and no attribute of the first", () => {
    expect(
      compile([directory("a", { mtime: 1, xattrs: { "user.old": "1" } }), file("a/f", ""), directory("a", { mtime: 2 }), file("a/g", "")], {
        base: true,
      }).ops,
    ).toEqual([
      "directory a 0755 @1 keep-parent",
      "xattr a user.old =1",
      "file a/f 0644 0 []",
      "directory a 0755 @2 keep-parent",
      "clear-xattrs a",
      "file a/g 0644 0 []",
      "times a @2",
    ]);
  });

  test("a touched parent's times when a missing directory is implied in it", () => {
    expect(compile([directory("a", { mtime: 7 }), file("a/b/c", "")], { base: true }).ops).toEqual([
      "directory a 0755 @7 keep-parent",
      "parents a/b",
      "file a/b/c 0644 0 [] keep-parent",
      "times a @7",
    ]);
  });

  test("extended attributes after the data, without those that are the host's or overlayfs's", () => {
    const xattrs = {
      "user.a": "1",
      "trusted.overlay.opaque": "y",
      "user.overlay.redirect": "/etc",
      "security.selinux": "x",
      "system.nfs4_acl": "x",
      "security.capability": "\x01\x00",
    };
    expect(opsOf(file("f", "x", { xattrs }))).toEqual([
      "file f 0644 1 [0+1] keep-parent",
      "xattr f user.a =1",
      "xattr f security.capability =\x01\x00",
    ]);
  });

  test("clears the attributes of directories that may be a lower layer's", () => {
    expect(opsOf(directory("d", { xattrs: { "user.a": "1" } }))).toEqual([
      "directory d 0755 keep-parent",
      "clear-xattrs d",
      "xattr d user.a =1",
    ]);
  });

  test("nothing of a hard link to itself, which GNU tar writes for a file named twice", () => {
    expect(opsOf(file("a", ""), hardlink("a", "./a"))).toEqual(["file a 0644 0 [] keep-parent"]);
  });

  test("chunks of at most 128 KiB", () => {
    expect(opsOf(file("f", "x".repeat(300_000)))).toEqual(["file f 0644 300000 [0+131072 131072+131072 262144+37856] keep-parent"]);
  });

  test("holes of zeros in large files, whatever the pieces they come in", () => {
    const data = Buffer.alloc(3 << 20);
    data.fill(1, 100_000, 100_010);
    data.fill(2, (2 << 20) - 1, (2 << 20) + 1);
    const archive = tar([file("f", data.toString("latin1"))]);
    for (const cut of [archive.length, 1 << 18, 100_001]) {
      const writer = new RecordWriter();
      const reader = new TarReader(new LayerCompiler(writer, { base: true, limits: generous, firstOp: 0 }));
      for (let at = 0; at < archive.length; at += cut) reader.push(archive.subarray(at, at + cut));
      const [op] = decodeRecords(writer.take(), { header: false });
      const written = Buffer.alloc(data.length);
      let stored = 0;
      for (const chunk of op?.chunks ?? []) {
        chunk.data.copy(written, chunk.offset);
        stored += chunk.data.length;
      }
      expect(written.equals(data)).toBe(true);
      expect(stored).toBeLessThanOrEqual(3 * 65536);
    }
  });

  test("no holes in small files", () => {
    expect(opsOf(file("f", "\0".repeat(100_000)))).toEqual(["file f 0644 100000 [0+100000] keep-parent"]);
  });

  test("R12 holes of a sparse file", () => {
    expect(opsOf({ name: "s", data: "abcde", pax: { "GNU.sparse.size": "1000", "GNU.sparse.map": "10,3,500,2" } })).toEqual([
      "file s 0644 1000 [10+3 500+2] keep-parent",
    ]);
  });
});

describe("LayerCompiler hides", () => {
  test("a lower name by a whiteout, and makes nothing of its name", () => {
    expect(opsOf(whiteout("a"), directory("d"), whiteout("d/b"))).toEqual([
      "remove a keep-parent",
      "directory d 0755 keep-parent",
      "clear-xattrs d",
      "remove d/b",
      "times d",
    ]);
  });

  test("nothing in a base layer", () => {
    expect(compile([whiteout("a"), opaque("d"), file("d/x", "")], { base: true }).ops).toEqual([
      "parents d",
      "file d/x 0644 0 [] keep-parent",
    ]);
  });

  test("R6 nothing that this layer has made, whatever the order", () => {
    expect(opsOf(file("a", ""), whiteout("a"), whiteout("b"), file("b", ""))).toEqual([
      "file a 0644 0 [] keep-parent",
      "remove b keep-parent",
      "file b 0644 0 [] keep-parent",
    ]);
  });

  test("lower content of a directory that this layer also made, keeping its own", () => {
    expect(opsOf(directory("d"), file("d/new", ""), directory("d/s"), file("d/s/new", ""), whiteout("d"))).toEqual([
      "directory d 0755 keep-parent",
      "clear-xattrs d",
      "file d/new 0644 0 []",
      "directory d/s 0755",
      "clear-xattrs d/s",
      "file d/s/new 0644 0 []",
      "clear d {new s}",
      "clear d/s {new}",
      "times d",
      "times d/s",
    ]);
  });

  test("R8 all lower content of an opaque directory, before or after its entries", () => {
    const cleared = (what: string): string => `clear ${what} follow keep-times`;
    expect(opsOf(opaque("d"), file("d/a", ""))).toEqual([cleared("d {}"), "parents d", "file d/a 0644 0 [] keep-parent"]);
    expect(opsOf(file("d/a", ""), opaque("d"))).toEqual(["parents d", "file d/a 0644 0 [] keep-parent", cleared("d {a}")]);
    expect(opsOf(file("a", ""), opaque("."))).toEqual(["file a 0644 0 [] keep-parent", cleared(". {a}")]);
    expect(opsOf(directory("d"), opaque("d"))).toEqual(["directory d 0755 keep-parent", "clear-xattrs d", "clear d {} follow", "times d"]);
  });

  test("a directory once, however often it is marked", () => {
    expect(opsOf(directory("d/s"), opaque("d"), opaque("d"), whiteout("d"), opaque("d/s"), whiteout("d/x"))).toEqual([
      "parents d",
      "directory d/s 0755 keep-parent",
      "clear-xattrs d/s",
      "clear d {s} follow keep-times",
      "clear d/s {}",
      "times d/s",
    ]);
  });

  test("nothing below a name that this layer has made something other than a directory", () => {
    expect(opsOf(symlink("l", "etc"), opaque("l"), whiteout("l/passwd"), whiteout("l"))).toEqual(["symlink l etc keep-parent"]);
  });

  test("nothing of a directory that lies beyond a symbolic link of the layer, whose time each of its files keeps", () => {
    expect(opsOf(symlink("l", "etc"), directory("l/d"), file("l/d/f", ""), file("l/d/g/h", ""), opaque("l/d"))).toEqual([
      "symlink l etc keep-parent",
      "parents l",
      "directory l/d 0755 keep-parent",
      "clear-xattrs l/d",
      "file l/d/f 0644 0 [] keep-parent",
      "parents l/d/g",
      "file l/d/g/h 0644 0 [] keep-parent",
    ]);
  });

  test("nothing of what an entry has made through a symbolic link of the layer", () => {
    expect(opsOf(directory("etc"), symlink("l", "etc"), file("l/f", ""), opaque("l"))).toEqual([
      "directory etc 0755 keep-parent",
      "clear-xattrs etc",
      "symlink l etc keep-parent",
      "parents l",
      "file l/f 0644 0 [] keep-parent",
    ]);
  });

  test("after a name was replaced, what it was before", () => {
    expect(opsOf(directory("d"), file("d/x", ""), file("d", ""), directory("d"), opaque("d"))).toEqual([
      "directory d 0755 keep-parent",
      "clear-xattrs d",
      "file d/x 0644 0 []",
      "file d 0644 0 [] keep-parent",
      "directory d 0755 keep-parent",
      "clear-xattrs d",
    ]);
  });

  test("names of old storage drivers by skipping them", () => {
    expect(opsOf(directory(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", "x"), file(".wh..wh.aufs", ""))).toEqual([]);
  });
});

describe("LayerCompiler refuses", () => {
  test.each<[string, TarEntry, string]>([
    ["an absolute name", file("/etc/passwd", ""), 'entry "/etc/passwd": its name is absolute'],
    ["a name that leads upward", file("a/../../b", ""), 'entry "a/../../b": its name contains ".."'],
    ["a whiteout of the parent", file("d/.wh...", ""), 'entry "d/.wh...": it is a whiteout that names nothing'],
    ["a whiteout of nothing", file(".wh.", ""), 'entry ".wh.": it is a whiteout that names nothing'],
    ["an absolute hard link", hardlink("h", "/etc/passwd"), 'entry "h": it is a hard link to "/etc/passwd": that name is absolute'],
    ["a hard link that leads upward", hardlink("h", "../x"), 'entry "h": it is a hard link to "../x": that name contains ".."'],
    ["a hard link to the root", hardlink("h", "."), 'entry "h": it is a hard link to the root'],
    ["a hard link to itself that is nothing yet", hardlink("h", "h"), 'entry "h": it is a hard link to itself'],
    ["a symbolic link without a target", symlink("s", ""), 'entry "s": it is a symbolic link without a target'],
    ["a root that is a symbolic link", symlink("./", "/"), 'entry "./": the root of a layer is a directory, not a symlink'],
    [
      "an overlayfs whiteout in disguise",
      { name: "w", type: "char" },
      'entry "w": it is a character device 0:0, which overlayfs takes for a whiteout',
    ],
    [
      "an attribute that the kernel cannot hold",
      file("x", "", { xattrs: { "user.a": "1".repeat(65537) } }),
      'entry "x": its extended attribute user.a has 65537 bytes, more than 65536',
    ],
  ])("%s", (_, entry, message) => {
    const error = failure(entry);
    expect(error.message).toBe(message);
    expect(error.code).toBe("invalid-spec");
  });

  test("more entries than the limit", () => {
    expect(() => compile([file("a", ""), file("b", "")], { limits: { maxBytes: 1e9, maxEntries: 1 } })).toThrow(
      'entry "b": the layer has more than 1 entries',
    );
  });

  test("directories that only names imply count as entries: one name can ask for two thousand", () => {
    const limits = { maxBytes: 1e9, maxEntries: 4 };
    expect(compile([file("a/b/c/d", "")], { limits }).ops).toHaveLength(2);
    expect(() => compile([file("a/b/c/d/e", "")], { limits })).toThrow('entry "a/b/c/d/e": the layer has more than 4 entries');
  });

  test("more metadata than the limit", () => {
    expect(() =>
      compile([file("a".repeat(100), ""), file("b", "", { xattrs: { "user.a": "1".repeat(100) } })], {
        limits: { maxBytes: 1e9, maxEntries: 9, maxMetadataBytes: 150 },
      }),
    ).toThrow('entry "b": the layer\'s names and attributes have more than 150 bytes');
  });

  test("an opaque mark after more names than one op can keep", () => {
    const entries = Array.from({ length: 10_000 }, (_, index) => file(`d/${index}`, ""));
    expect(() => compile([...entries, opaque("d")], { limits: { maxBytes: 1e9, maxEntries: 20_000 } })).toThrow(
      'entry "d": it is hidden after 10000 names were made in it',
    );
  });
});

describe("LayerCompiler.describeOp()", () => {
  test("names the entry of each op, also of those at the end", () => {
    const { compiler, ops } = compile([directory("d", { mtime: 1 }), file("d/f", "", { xattrs: { "user.a": "1" } })], {
      firstOp: 3,
      base: true,
    });
    expect(ops).toEqual(["directory d 0755 @1 keep-parent", "file d/f 0644 0 []", "xattr d/f user.a =1", "times d @1"]);
    expect([2, 3, 4, 5, 6, 7].map((index) => compiler.describeOp(index))).toEqual([
      undefined,
      'entry "d"',
      'entry "d/f"',
      'entry "d/f"',
      'entry "d"',
      undefined,
    ]);
    expect(compiler.entries).toBe(2);
    expect(compiler.ops).toBe(4);
  });
});
