/** The comparison itself: each field that it claims to compare is changed once, and it must say so. */
import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, linkSync, lutimesSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "./images/commands.ts";
import { scratchDirectory } from "./scratch-directory.ts";
import { compareTrees, formatDifference, readTree } from "./tree.ts";

const missing =
  process.getuid?.() !== 0
    ? "not root: owners and devices are changed"
    : installed("getfattr", "setfattr")
      ? undefined
      : "getfattr is not installed";
if (missing !== undefined) console.log(`skipped: tree comparison: ${missing}`);

function makeTree(directory: string): void {
  mkdirSync(join(directory, "d"), { recursive: true });
  writeFileSync(join(directory, "d/file"), "content");
  writeFileSync(Buffer.from(`${directory}/d/\xff`, "latin1"), "not UTF-8");
  linkSync(join(directory, "d/file"), join(directory, "d/link"));
  symlinkSync("target", join(directory, "d/symlink"));
  execFileSync("mknod", [join(directory, "d/device"), "c", "1", "3"]);
  for (const path of ["d/file", "d/\u00ff", "d/symlink", "d/device", "d", "."]) {
    const bytes = path === "d/\u00ff" ? Buffer.from(`${directory}/${path}`, "latin1") : join(directory, path);
    lutimesSync(bytes, 1000, 1000);
  }
}

const touch = (path: string): void => lutimesSync(path, 1000, 1000);

/** A change below a tree, and the differences that must be found, as `path: field`. */
const changes: readonly (readonly [name: string, change: (directory: string) => void, found: readonly string[]])[] = [
  ["nothing", () => undefined, []],
  ["a mode", (at) => chmodSync(join(at, "d"), 0o700), ["d: mode"]],
  ["a setuid bit", (at) => chmodSync(join(at, "d/file"), 0o4644), ["d/file: mode", "d/link: mode"]],
  ["an owner", (at) => chownSync(join(at, "d"), 7, 0), ["d: uid"]],
  ["a group over 2^31", (at) => chownSync(join(at, "d"), 0, 3_000_000_000), ["d: gid"]],
  ["a time by a millisecond", (at) => lutimesSync(join(at, "d"), 1000.001, 1000.001), ["d: mtimeNanos"]],
  ["an extended attribute", (at) => execFileSync("setfattr", ["-n", "user.x", "-v", "1", join(at, "d")]), ["d: xattrs"]],
  [
    "content of the same size",
    (at) => (writeFileSync(join(at, "d/file"), "CONTENT"), touch(join(at, "d/file"))),
    ["d/file: sha256", "d/link: sha256"],
  ],
  [
    "a file that is no longer a hard link",
    (at) => (rmSync(join(at, "d/link")), writeFileSync(join(at, "d/link"), "content"), touch(join(at, "d/link")), touch(join(at, "d"))),
    ["d/file: links", "d/link: links"],
  ],
  [
    "a symbolic link's target",
    (at) => (
      rmSync(join(at, "d/symlink")),
      symlinkSync("TARGET", join(at, "d/symlink")),
      touch(join(at, "d/symlink")),
      touch(join(at, "d"))
    ),
    ["d/symlink: target"],
  ],
  [
    "a device number",
    (at) => (
      rmSync(join(at, "d/device")),
      execFileSync("mknod", [join(at, "d/device"), "c", "1", "300"]),
      touch(join(at, "d/device")),
      touch(join(at, "d"))
    ),
    ["d/device: device"],
  ],
  ["a name that is not UTF-8", (at) => (rmSync(Buffer.from(`${at}/d/\xff`, "latin1")), touch(join(at, "d"))), ["d/\\xff: entry"]],
];

describe.skipIf(missing !== undefined)("compareTrees()", () => {
  for (const [name, change, found] of changes) {
    test(`finds ${name}`, () => {
      using scratch = scratchDirectory();
      const [left, right] = [join(scratch.path, "left"), join(scratch.path, "right")];
      for (const directory of [left, right]) makeTree(directory);
      change(right);
      const differences = compareTrees(readTree(left), readTree(right)).map(formatDifference);
      expect(differences.map((line) => line.split(": ").slice(0, 2).join(": "))).toEqual([...found]);
    });
  }
});
