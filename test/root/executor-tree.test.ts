/** What streamed programs do to a tree, and that they never leave it. */
import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { applyTree, failureOf, notRoot, run, type TreeOp } from "./executor-harness.ts";

const attributes = { uid: 7, gid: 8, seconds: 1000, nanos: 5, keepParent: 0 };
const file = (path: string, mode = 0o644): TreeOp => ({ op: "file", path, mode, ...attributes, size: 5 });
const hello: TreeOp = {
  op: "chunks",
  chunks: [
    [0, "hello"],
    [0, ""],
  ],
};
const directory = (path: string, mode = 0o755): TreeOp => ({ op: "directory", path, mode, ...attributes });

describe.skipIf(notRoot !== undefined)("trees", () => {
  test("a file gets its data, owner, mode with set-id bits, and time", async () => {
    using scratch = scratchDirectory();
    const outcome = await applyTree(scratch.path, [file("f", 0o4755), hello]);
    expect(outcome.reports.map((report) => report.kind)).toEqual(["finished"]);
    expect(outcome.exitCode).toBe(0);
    const stat = lstatSync(join(scratch.path, "f"), { bigint: true });
    expect([stat.mode & 0o7777n, stat.uid, stat.gid, stat.mtimeNs]).toEqual([0o4755n, 7n, 8n, 1_000_000_000_005n]);
    expect(readFileSync(join(scratch.path, "f"), "utf8")).toBe("hello");
  });

  test("a file keeps its holes, at the start, between and at the end", async () => {
    using scratch = scratchDirectory();
    const sparse: TreeOp = { op: "file", path: "f", mode: 0o600, ...attributes, size: 1 << 20 };
    const outcome = await applyTree(scratch.path, [
      sparse,
      {
        op: "chunks",
        chunks: [
          [65536, "a"],
          [131072, "bc"],
          [0, ""],
        ],
      },
    ]);
    expect(outcome.exitCode).toBe(0);
    const data = readFileSync(join(scratch.path, "f"));
    expect([data.length, data[65536], data[131073], data[131074]]).toEqual([1 << 20, 0x61, 0x63, 0]);
    expect(lstatSync(join(scratch.path, "f")).blocks).toBeLessThan(64);
  });

  test("a file of many chunks larger than the buffer arrives whole", async () => {
    using scratch = scratchDirectory();
    const chunk = Buffer.alloc(128 << 10, "0123456789abcde");
    const chunks = Array.from({ length: 24 }, (_, i): [number, Uint8Array] => [i * chunk.length, chunk]);
    const big: TreeOp = { op: "file", path: "f", mode: 0o600, ...attributes, size: 24 * chunk.length };
    const outcome = await applyTree(scratch.path, [big, { op: "chunks", chunks: [...chunks, [0, ""]] }, file("g"), hello]);
    expect(outcome.exitCode).toBe(0);
    expect(readFileSync(join(scratch.path, "f")).equals(Buffer.concat(Array.from({ length: 24 }, () => chunk)))).toBe(true);
    expect(readFileSync(join(scratch.path, "g"), "utf8")).toBe("hello");
  });

  test("a link in the tree never leads out of it", async () => {
    using scratch = scratchDirectory();
    const root = join(scratch.path, "root");
    mkdirSync(join(root, "inside"), { recursive: true });
    mkdirSync(join(scratch.path, "outside"));
    symlinkSync("../../../../../../../.." + scratch.path + "/outside", join(root, "relative"));
    symlinkSync(join(scratch.path, "outside"), join(root, "absolute"));
    const relative = await applyTree(root, [file("relative/f"), hello]);
    const absolute = await applyTree(root, [file("absolute/f"), hello]);
    const dots = await applyTree(root, [file("../../../f"), hello]);
    expect([failureOf(relative), failureOf(absolute)]).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(dots.exitCode).toBe(0);
    expect(readdirSync(join(scratch.path, "outside"))).toEqual([]);
    expect(readdirSync(root)).toContain("f");
  });

  test("a file replaces a link itself, not what it points to, and a directory with all below", async () => {
    using scratch = scratchDirectory();
    writeFileSync(join(scratch.path, "victim"), "kept");
    symlinkSync("victim", join(scratch.path, "link"));
    mkdirSync(join(scratch.path, "dir/a/b"), { recursive: true });
    const outcome = await applyTree(scratch.path, [file("link"), hello, file("dir"), hello]);
    expect(outcome.exitCode).toBe(0);
    expect(readFileSync(join(scratch.path, "victim"), "utf8")).toBe("kept");
    expect(lstatSync(join(scratch.path, "link")).isFile() && lstatSync(join(scratch.path, "dir")).isFile()).toBe(true);
  });

  test("a directory keeps its content, and takes the place of anything else", async () => {
    using scratch = scratchDirectory();
    mkdirSync(join(scratch.path, "old/sub"), { recursive: true });
    symlinkSync("old", join(scratch.path, "link"));
    const outcome = await applyTree(scratch.path, [directory("old", 0o1700), directory("link"), directory(".", 0o711)]);
    expect(outcome.exitCode).toBe(0);
    expect(readdirSync(join(scratch.path, "old"))).toEqual(["sub"]);
    expect(lstatSync(join(scratch.path, "old")).mode & 0o7777).toBe(0o1700);
    expect(lstatSync(join(scratch.path, "link")).isDirectory()).toBe(true);
    expect(lstatSync(scratch.path).mode & 0o7777).toBe(0o711);
  });

  test("links and nodes are made with their attributes", async () => {
    using scratch = scratchDirectory();
    const node = { op: "node", ...attributes } as const;
    const outcome = await applyTree(scratch.path, [
      { op: "symlink", path: "s", target: "/etc/caf\xe9", ...attributes },
      { ...node, path: "null", mode: 0o20666, major: 1, minor: 3 },
      { ...node, path: "wide", mode: 0o60640, major: 259, minor: 70000 },
      { ...node, path: "fifo", mode: 0o10600, major: 0, minor: 0 },
      file("f"),
      hello,
      { op: "hardlink", path: "h", target: "f", keepParent: 0 },
      { op: "hardlink", path: "f", target: "f", keepParent: 0 },
    ]);
    expect(outcome.exitCode).toBe(0);
    expect(readlinkSync(join(scratch.path, "s"), "latin1")).toBe("/etc/caf\xe9");
    expect(lstatSync(join(scratch.path, "s")).uid).toBe(7);
    const listing = execFileSync("stat", ["-c", "%n %F %t:%T %a %u", "null", "wide", "fifo"], { cwd: scratch.path, encoding: "utf8" });
    expect(listing.trim().split("\n")).toEqual([
      "null character special file 1:3 666 7",
      "wide block special file 103:11170 640 7",
      "fifo fifo 0:0 600 7",
    ]);
    expect(lstatSync(join(scratch.path, "h")).ino).toBe(lstatSync(join(scratch.path, "f")).ino);
  });

  test("the parent's times stay when they are to be kept", async () => {
    using scratch = scratchDirectory();
    utimesSync(scratch.path, 500, 600);
    const kept = { ...attributes, keepParent: 1 };
    const outcome = await applyTree(scratch.path, [
      { op: "file", path: "f", mode: 0o600, ...kept, size: 5 },
      hello,
      { op: "symlink", path: "s", target: "f", ...kept },
      { op: "remove", path: "s", keepParent: 1 },
    ]);
    expect(outcome.exitCode).toBe(0);
    expect(lstatSync(scratch.path).mtimeMs).toBe(600_000);
  });

  test("extended attributes are set and cleared", async () => {
    using scratch = scratchDirectory();
    const value = Buffer.from([1, 0, 2]);
    const set = (name: string): TreeOp => ({ op: "xattr", path: "f", name, value });
    const outcome = await applyTree(scratch.path, [file("f"), hello, set("trusted.one"), set("trusted.overlay.opaque")]);
    expect(outcome.exitCode).toBe(0);
    const dump = (): string =>
      execFileSync("python3", ["-c", "import os,sys; print(sorted(os.listxattr(sys.argv[1])))", join(scratch.path, "f")], {
        encoding: "utf8",
      }).trim();
    expect(dump()).toBe("['trusted.one', 'trusted.overlay.opaque']");
    await applyTree(scratch.path, [{ op: "clear-xattrs", path: "f" }]);
    expect(dump()).toBe("['trusted.overlay.opaque']");
  });

  test("clear keeps the named children and removes all others, also many", async () => {
    using scratch = scratchDirectory();
    for (let i = 0; i < 3000; i++) writeFileSync(join(scratch.path, `file-${i}`), "");
    mkdirSync(join(scratch.path, "deep/er/still"), { recursive: true });
    mkdirSync(join(scratch.path, "keep/me"), { recursive: true });
    const outcome = await applyTree(scratch.path, [
      { op: "clear", path: ".", keep: ["keep", "file-7"], follow: 0, keepTimes: 0 },
      { op: "clear", path: "missing", keep: [], follow: 0, keepTimes: 0 },
    ]);
    expect(outcome.exitCode).toBe(0);
    expect(readdirSync(scratch.path).toSorted()).toEqual(["file-7", "keep"]);
    expect(existsSync(join(scratch.path, "keep/me"))).toBe(true);
  });

  test("clear follows a link and keeps the directory's times when it is told to", async () => {
    using scratch = scratchDirectory();
    const real = join(scratch.path, "real");
    mkdirSync(join(real, "gone"), { recursive: true });
    symlinkSync("/real", join(scratch.path, "link"));
    utimesSync(real, 500, 600);
    const clear = (follow: number): TreeOp => ({ op: "clear", path: "link", keep: [], follow, keepTimes: 1 });
    expect((await applyTree(scratch.path, [clear(0)])).exitCode).not.toBe(0);
    expect(readdirSync(real)).toEqual(["gone"]);
    utimesSync(real, 500, 600);
    expect((await applyTree(scratch.path, [clear(1)])).exitCode).toBe(0);
    expect(readdirSync(real)).toEqual([]);
    expect(lstatSync(real).mtimeMs).toBe(600_000);
    expect(lstatSync(join(scratch.path, "link")).isSymbolicLink()).toBe(true);
  });

  test("a tree of 5,000 levels and wide directories is removed", async () => {
    using scratch = scratchDirectory();
    const script =
      "import os,sys\nos.chdir(sys.argv[1])\nos.mkdir('t')\nos.chdir('t')\nfor i in range(5000):\n  open('f','w').close()\n  os.mkdir('d')\n  os.mkdir('e')\n  os.chdir('d')";
    execFileSync("python3", ["-c", script, scratch.path]);
    writeFileSync(join(scratch.path, "beside"), "");
    const outcome = await run([
      { op: "remove-tree", path: join(scratch.path, "t") },
      { op: "remove-tree", path: join(scratch.path, "missing/t") },
    ]);
    expect(outcome.exitCode).toBe(0);
    expect(readdirSync(scratch.path)).toEqual(["beside"]);
  });

  test("removal stops at a mount and follows no link", async () => {
    using scratch = scratchDirectory();
    mkdirSync(join(scratch.path, "t/mounted"), { recursive: true });
    mkdirSync(join(scratch.path, "other"));
    writeFileSync(join(scratch.path, "other/kept"), "");
    symlinkSync("../other", join(scratch.path, "t/link"));
    execFileSync("mount", ["-t", "tmpfs", "none", join(scratch.path, "t/mounted")]);
    try {
      writeFileSync(join(scratch.path, "t/mounted/kept"), "");
      const outcome = await run([{ op: "remove-tree", path: join(scratch.path, "t") }]);
      expect(failureOf(outcome)).toEqual([0, 16]);
      expect(existsSync(join(scratch.path, "t/mounted/kept"))).toBe(true);
    } finally {
      execFileSync("umount", [join(scratch.path, "t/mounted")]);
    }
    expect(readdirSync(join(scratch.path, "other"))).toEqual(["kept"]);
  });

  test("missing parents are made, through links that stay inside", async () => {
    using scratch = scratchDirectory();
    symlinkSync("/run/elsewhere", join(scratch.path, "link"));
    utimesSync(scratch.path, 500, 600);
    const outcome = await applyTree(scratch.path, [
      { op: "parents", path: "a/b/c" },
      { op: "parents", path: "link/x" },
      { op: "parents", path: "." },
    ]);
    expect(outcome.exitCode).toBe(0);
    expect(lstatSync(join(scratch.path, "a/b/c")).mode & 0o7777).toBe(0o755);
    expect(lstatSync(join(scratch.path, "run/elsewhere/x")).isDirectory()).toBe(true);
    expect(lstatSync(scratch.path).mtimeMs).toBe(600_000);
  });

  test("a hard link replaces what is there and is not followed", async () => {
    using scratch = scratchDirectory();
    writeFileSync(join(scratch.path, "a"), "a");
    linkSync(join(scratch.path, "a"), join(scratch.path, "b"));
    symlinkSync("a", join(scratch.path, "s"));
    writeFileSync(join(scratch.path, "c"), "c");
    const link = (path: string, target: string): TreeOp => ({ op: "hardlink", path, target, keepParent: 0 });
    const outcome = await applyTree(scratch.path, [link("b", "a"), link("c", "a"), link("t", "s")]);
    expect(outcome.exitCode).toBe(0);
    expect(lstatSync(join(scratch.path, "a")).nlink).toBe(3);
    expect(readlinkSync(join(scratch.path, "t"))).toBe("a");
  });

  test("no tree op runs outside of a root", async () => {
    expect(failureOf(await run([{ op: "remove", path: "tmp/nothing", keepParent: 0 }]))).toEqual([0, 1]);
  });
});
