import { expect, test } from "bun:test";
import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";
import { isLeftBehind, ownerName, parseOwnerName, removeLeftBehind } from "./owner.ts";

const parts = ownerName().split("-");
const [pid = "", ticks = "", namespace = ""] = parts;

test("ownerName() names this process and never repeats", () => {
  expect(pid).toBe(String(process.pid));
  expect(new Set(Array.from({ length: 100 }, ownerName)).size).toBe(100);
  expect(parseOwnerName(`.index.json.${ownerName()}`)).toEqual({
    pid: process.pid,
    startTicks: Number(ticks),
    namespace: Number(namespace),
  });
  expect(parseOwnerName(`lease-${ownerName()}`)?.pid).toBe(process.pid);
});

test("names without an owner belong to nobody", () => {
  for (const name of ["index.json", "sha256", "1-2-3", "1-2-3-x", "a1-2-3-4", "12345678901-2-3-4"])
    expect(parseOwnerName(name)).toBeUndefined();
});

test("a file is left behind when its owner ended, even if the pid lives on in another process", () => {
  expect(isLeftBehind(ownerName(), 1e12)).toBe(false);
  expect(isLeftBehind(`${pid}-${Number(ticks) + 1}-${namespace}-0`, 0)).toBe(true);
  expect(isLeftBehind(`4194305-1-${namespace}-0`, 0)).toBe(true);
});

test("the owner in another pid namespace gets a day", () => {
  expect(isLeftBehind(`${pid}-${ticks}-1-0`, 3600_000)).toBe(false);
  expect(isLeftBehind(`${pid}-${ticks}-1-0`, 25 * 3600_000)).toBe(true);
});

test("removeLeftBehind() removes dead owners' files and nothing else", async () => {
  using scratch = scratchDirectory();
  const kept = ["index.json", ownerName(), `${pid}-${ticks}-1-0`];
  for (const name of [...kept, `4194305-1-${namespace}-7`, `.x.${pid}-${Number(ticks) + 1}-${namespace}-0`, `${pid}-${ticks}-1-1`])
    writeFileSync(join(scratch.path, name), "");
  utimesSync(join(scratch.path, `${pid}-${ticks}-1-1`), 0, 0);
  removeLeftBehind(scratch.path);
  expect(readdirSync(scratch.path).sort()).toEqual([...kept].sort());
  removeLeftBehind(join(scratch.path, "missing"));
});
