import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";
import { criuErrors, readDescriptors, readDumpSubject, resolveWithin } from "./criu-facts.ts";

test("paths are resolved within a tree, wherever its links point", () => {
  using scratch = scratchDirectory();
  const root = join(scratch.path, "root");
  mkdirSync(join(root, "run/lock"), { recursive: true });
  mkdirSync(join(root, "var"));
  symlinkSync("/run", join(root, "var/run"));
  symlinkSync("../../../../run/lock", join(root, "var/up"));
  symlinkSync("circle", join(root, "circle"));
  expect(resolveWithin(root, "/var/run/lock")).toBe("/run/lock");
  expect(resolveWithin(root, "/var/up/x")).toBe("/run/lock/x");
  expect(resolveWithin(root, "/not/there")).toBe("/not/there");
  expect(resolveWithin(root, "/circle/x")).toBe("/circle/x");
  expect(resolveWithin(root, "/..")).toBe("/");
});

test("the log's errors are told, but not those that stop nothing", () => {
  using scratch = scratchDirectory();
  const log = [
    "(00.000001) Running",
    "(00.000002) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self",
    "(00.000003)     45: Error (criu/files.c:2): Can't open",
  ];
  writeFileSync(join(scratch.path, "dump.log"), log.join("\n"));
  expect(criuErrors(scratch.path, "dump.log")).toBe("Error (criu/files.c:2): Can't open");
  expect(criuErrors(scratch.path, "none")).toBe("");
});

test("a list of descriptors must be one", () => {
  using scratch = scratchDirectory();
  const path = join(scratch.path, "descriptors.json");
  expect(() => readDescriptors(path)).toThrow("no image of a container");
  for (const [text, says] of [
    ["{", "no JSON"],
    ["[1]", "no list"],
    ["{}", "no list"],
  ] as const) {
    writeFileSync(path, text);
    expect(() => readDescriptors(path)).toThrow(says);
  }
  writeFileSync(path, '["/dev/null","pipe:[1]"]');
  expect(readDescriptors(path)).toEqual(["/dev/null", "pipe:[1]"]);
});

test("open files are told by their links, and namespaces by their inodes", () => {
  const subject = readDumpSubject(process.pid, { config: { ociVersion: "1.3.0" }, rootfs: "/" });
  expect(subject.descriptors.length).toBe(3);
  expect(subject.namespaceInode("/proc/self/ns/net")).toMatch(/^\d+$/);
  expect(() => subject.namespaceInode("/no/such")).toThrow("it is gone");
});
