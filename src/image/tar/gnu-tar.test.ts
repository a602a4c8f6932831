/** Archives of real GNU tar, in all its formats. */
import { afterAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
  ftruncateSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readArchive } from "./reading.fixture.ts";
import { encodeTarHeader, tarEndBytes } from "./write.ts";
import type { ByteString } from "#base/byte-string.ts";

const hasGnuTar = (() => {
  try {
    return execFileSync("tar", ["--version"], { encoding: "utf8" }).includes("GNU tar");
  } catch {
    return false;
  }
})();
if (!hasGnuTar) console.log("skipped: there is no GNU tar here");

const scratch = mkdtempSync(join(tmpdir(), "gantry-tar-"));
afterAll(() => {
  rmSync(scratch, { recursive: true });
});

const longName = `${"d".repeat(90)}/${"e".repeat(90)}/${"f".repeat(90)}`;
const pack = (args: readonly string[], names: readonly string[]): Buffer =>
  execFileSync("tar", ["-cf", "-", "-C", scratch, "--sort=name", ...args, ...names], { maxBuffer: 1 << 26 });

function makeTree(): void {
  mkdirSync(join(scratch, "tree", "sub"), { recursive: true });
  writeFileSync(join(scratch, "tree", "file"), "content\n", { mode: 0o640 });
  writeFileSync(join(scratch, "tree", "sub", "\u00e9"), "");
  linkSync(join(scratch, "tree", "file"), join(scratch, "tree", "hard"));
  symlinkSync("../else/where", join(scratch, "tree", "sym"));
  utimesSync(join(scratch, "tree", "file"), 0, 1_234_567_890.5);
}

function makeSparse(segments: number): Buffer {
  mkdirSync(join(scratch, "sparse"), { recursive: true });
  const path = join(scratch, "sparse", `s${segments}`);
  const fd = openSync(path, "w");
  const content = Buffer.alloc(segments * 65536 * 2 + 12345);
  for (let index = 0; index < segments; index++) {
    const piece = Buffer.alloc(4096, index + 1);
    piece.copy(content, index * 131072 + 65536);
    writeSync(fd, piece, 0, piece.length, index * 131072 + 65536);
  }
  ftruncateSync(fd, content.length);
  closeSync(fd);
  return content;
}

describe.skipIf(!hasGnuTar)("TarReader reads what GNU tar writes", () => {
  if (hasGnuTar) makeTree();

  test.each(["v7", "oldgnu", "gnu", "ustar", "posix"])("as --format=%s", (format) => {
    const entries = readArchive(pack([`--format=${format}`, "--owner=:1234", "--group=:4321"], ["tree"]), [777]);
    expect(entries.map((entry) => [entry.kind, entry.path])).toEqual([
      ["directory", "tree/"],
      ["file", "tree/file"],
      ["hardlink", "tree/hard"],
      ["directory", "tree/sub/"],
      ["file", "tree/sub/\xc3\xa9"],
      ["symlink", "tree/sym"],
    ] as never);
    const [, file, hard, , , sym] = entries;
    expect(file).toMatchObject({ mode: 0o640, uid: 1234, gid: 4321, size: 8, seconds: 1_234_567_890, content: Buffer.from("content\n") });
    expect(file?.nanos).toBe(format === "posix" ? 500_000_000 : 0);
    expect(hard).toMatchObject({ linkPath: "tree/file", size: 0 });
    expect(sym).toMatchObject({ linkPath: "../else/where" });
  });

  test.each(["gnu", "oldgnu", "ustar", "posix"])("with long names, as --format=%s", (format) => {
    const long = join(scratch, "long");
    const name = format === "ustar" ? `${"d".repeat(90)}/${"f".repeat(90)}` : longName;
    mkdirSync(join(long, format, name, ".."), { recursive: true });
    writeFileSync(join(long, format, name), "x");
    const entries = readArchive(pack([`--format=${format}`], [`long/${format}`]));
    expect(entries.at(-1)).toMatchObject({ path: `long/${format}/${name}`, size: 1 });
  });

  test.each(["gnu", "posix"])("with large owners and times before 1970, as --format=%s", (format) => {
    const [entry] = readArchive(pack([`--format=${format}`, "--owner=:4000000000", "--group=:3000000", "--mtime=@-1.5"], ["tree/file"]));
    expect(entry).toMatchObject({ uid: 4_000_000_000, gid: 3_000_000, seconds: -2, nanos: format === "posix" ? 500_000_000 : 0 });
  });

  test.each([
    ["gnu", []],
    ["oldgnu", []],
    ["posix", ["--sparse-version=0.0"]],
    ["posix", ["--sparse-version=0.1"]],
    ["posix", ["--sparse-version=1.0"]],
  ])("with sparse files, as --format=%s %p", (format, options) => {
    for (const segments of [0, 1, 3, 5, 30, 100]) {
      const content = makeSparse(segments);
      const archive = pack([`--format=${format}`, "--sparse", "--hole-detection=raw", ...options], [`sparse/s${segments}`, "tree/file"]);
      expect(archive.length).toBeLessThan(content.length);
      const [sparse, next] = readArchive(archive, [1000, 3]);
      expect(sparse).toMatchObject({ path: `sparse/s${segments}`, size: content.length });
      expect(sparse?.content.equals(content)).toBe(true);
      expect(next?.path).toBe("tree/file" as never);
    }
  });
});

describe.skipIf(!hasGnuTar)("encodeTarHeader() writes what GNU tar reads", () => {
  test("with long and odd names, large owners and times before 1970", () => {
    const fields = { mode: 0o755, uid: 4_000_000_000, gid: 7, size: 0, seconds: -2, nanos: 0, major: 0, minor: 0, xattrs: [] };
    const archive = Buffer.concat([
      encodeTarHeader({ ...fields, kind: "directory", path: longName as ByteString, linkPath: "" as ByteString }),
      encodeTarHeader({
        ...fields,
        kind: "symlink",
        path: "\xff" as ByteString,
        linkPath: longName as ByteString,
        uid: 5,
        seconds: 1,
        nanos: 0,
      }),
      Buffer.alloc(tarEndBytes),
    ]);
    const lines = execFileSync("tar", ["-tvf", "-", "--numeric-owner", "--full-time", "--utc", "--quoting-style=escape"], {
      input: archive,
      encoding: "utf8",
    }).split("\n");
    expect(lines[0]).toBe(`drwxr-xr-x 4000000000/7      0 1969-12-31 23:59:58 ${longName}/`);
    expect(lines[1]).toBe(`lrwxr-xr-x 5/7               0 1970-01-01 00:00:01 \\377 -> ${longName}`);
  });
});
