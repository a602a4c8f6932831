import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";
import { listStates, nameOfUser, parseStored, readState, statusOf } from "./state.ts";

const record = {
  id: "a",
  bundle: "/b",
  rootfs: "/b/rootfs",
  config: { ociVersion: "1.2.0", annotations: { a: "b" } },
  cgroups: [],
  cleanup: [],
};

/** This process's line of /proc, with another start time. */
function statWithStart(ticks: number): string {
  const stat = readFileSync("/proc/self/stat", "latin1");
  const at = stat.lastIndexOf(")") + 2;
  return stat.slice(0, at) + stat.slice(at).split(" ").with(19, String(ticks)).join(" ");
}

/** A state directory as `create` leaves it, with this process as the container's first. */
function writeState(root: string, id: string, files: Readonly<Record<string, string>>): void {
  const all = { "container.json": JSON.stringify(record), child: readFileSync("/proc/self/stat", "latin1"), created: "", ...files };
  mkdirSync(join(root, id), { recursive: true });
  for (const [name, text] of Object.entries(all)) writeFileSync(join(root, id, name), text);
}

test("the state of a container follows from its files and its process", () => {
  using scratch = scratchDirectory();
  writeState(scratch.path, "runs", {});
  const { state } = readState(scratch.path, "runs");
  expect(state).toMatchObject({ ociVersion: "1.2.0", id: "runs", pid: process.pid, status: "running", bundle: "/b", rootfs: "/b/rootfs" });
  expect(state.annotations).toEqual({ a: "b" });
  expect(Math.abs(Date.parse(state.created) - Date.now())).toBeLessThan(60_000);
  writeState(scratch.path, "waits", { start: "" });
  expect(readState(scratch.path, "waits").state.status).toBe("created");
  // A pid that lives on in another process is not the container's.
  writeState(scratch.path, "ended", { child: statWithStart(1) });
  expect(readState(scratch.path, "ended").state).toMatchObject({ status: "stopped", pid: 0 });
});

test("a frozen container is paused", () => {
  using scratch = scratchDirectory();
  const freezer = join(scratch.path, "freezer.state");
  writeState(scratch.path, "a", { "container.json": JSON.stringify({ ...record, freezer }) });
  writeFileSync(freezer, "FROZEN\n");
  expect(readState(scratch.path, "a").state.status).toBe("paused");
  writeFileSync(freezer, "THAWED\n");
  expect(readState(scratch.path, "a").state.status).toBe("running");
});

test.each([
  [{ isCreated: false, waits: true, isAlive: true }, "creating"],
  [{ isCreated: false, waits: true, isAlive: false }, "stopped"],
  [{ isCreated: true, waits: true, isAlive: true, freezer: "0\n" }, "created"],
  [{ isCreated: true, waits: false, isAlive: true, freezer: "1\n" }, "paused"],
  [{ isCreated: true, waits: false, isAlive: true, freezer: "FREEZING\n" }, "paused"],
] as const)("status of %p is %s", (signs, status) => {
  expect(statusOf(signs)).toBe(status);
});

test("a container that is not there is named in the words that engines look for", () => {
  for (const id of ["nope", "..", "", "a/b"])
    expect(() => readState("/nonexistent", id)).toThrow(`container ${JSON.stringify(id)} does not exist`);
});

test("the list has every container and nothing else, and tells what it cannot read", () => {
  using scratch = scratchDirectory();
  writeState(scratch.path, "b", {});
  writeState(scratch.path, "a", {});
  mkdirSync(join(scratch.path, "no-container"));
  writeFileSync(join(scratch.path, "file"), "");
  writeState(scratch.path, "broken", { "container.json": "{" });
  const warnings: string[] = [];
  expect(listStates(scratch.path, (sentence) => warnings.push(sentence)).map(({ state }) => state.id)).toEqual(["a", "b"]);
  expect(warnings).toEqual([`cannot read ${join(scratch.path, "broken", "container.json")}: it is no JSON`]);
  expect(listStates(join(scratch.path, "missing"), () => undefined)).toEqual([]);
});

test("a record that is none is refused", () => {
  for (const text of ["null", "{}", '{"bundle":"/b"}'])
    expect(() => parseStored(text, "/x")).toThrow("cannot read /x: it is no record of a container");
});

test("owners go by their name where they have one", () => {
  expect(nameOfUser(0, "root:x:0:0::/root:/bin/sh\n")).toBe("root");
  expect(nameOfUser(7, "root:x:0:0::/root:/bin/sh\n")).toBe("#7");
});
