/**
 * Who may touch the machine. General access goes through sys/, where interrupted calls, atomic renames and locks are written once;
 * time, randomness and the environment are handed in by bin/, so that everything else gives the same result twice.
 */
import { expect, test } from "bun:test";
import { filesBelow, isTest, textOf, withoutComments } from "./tree.ts";

const powers: Readonly<Record<string, RegExp>> = {
  "node:fs": /"node:fs(?:\/promises)?"/,
  "node:child_process": /"node:child_process"/,
  "node:net": /"node:(?:net|http|https|http2|tls|dgram|dns)"/,
  environment: /\bprocess\.env\b/,
  clock: /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/,
  chance: /\bMath\.random\(|\brandomBytes\b|\brandomUUID\b|\bgetRandomValues\b/,
  Bun: /\bBun\.|"bun(?::[a-z]+)?"/,
};

/** Who may use what, and why. A path that ends in a slash stands for all below it. An entry that nobody uses is a fault too. */
const doors: ReadonlyArray<{ readonly path: string; readonly power: string; readonly because: string }> = [
  { path: "src/program/launch.ts", power: "node:fs", because: "keeps the program in a file that the executor inherits" },
  { path: "src/program/spawn-node.ts", power: "node:child_process", because: "starts the executor" },
  { path: "src/image/blob/", power: "node:fs", because: "blobs are streamed through open files, which sys/ has no words for" },
  { path: "src/image/source/", power: "node:fs", because: "image archives are read at positions of open files" },
  { path: "src/image/target/", power: "node:fs", because: "archives are written as streams, and a stranger's layout is left as it was" },
  { path: "src/image/layout.ts", power: "node:fs", because: "an OCI layout is files and folders" },
  { path: "src/image/verify.ts", power: "node:fs", because: "walks the layout that it checks" },
  { path: "src/runtime/user-facts.ts", power: "node:fs", because: "asks what this user may write to, when the compiler does" },
  { path: "src/runtime/machine.ts", power: "node:fs", because: "answers what the compiler asks about files" },
  { path: "src/runtime/cache/recorder.ts", power: "node:fs", because: "names the mounts of cgroups as the kernel does" },
  { path: "src/runtime/facts.ts", power: "node:fs", because: "reads from /proc and /sys what a program is compiled against" },
];

const free = ["src/sys/", "src/bin/"];

function isCovered(path: string, file: string): boolean {
  return path.endsWith("/") ? file.startsWith(path) : file === path;
}

function powersIn(file: string, text: string): string[] {
  if (isTest(file) || free.some((path) => file.startsWith(path))) return [];
  const code = withoutComments(text);
  return Object.keys(powers).filter((power) => powers[power]?.test(code) === true);
}

function faultsIn(file: string, text: string): string[] {
  return powersIn(file, text)
    .filter((power) => !doors.some((door) => door.power === power && isCovered(door.path, file)))
    .map((power) => `${file} uses ${power}`);
}

test("only sys/, bin/ and the doors listed here touch the machine", () => {
  expect(filesBelow("src", [".ts"]).flatMap((file) => faultsIn(file, textOf(file)))).toEqual([]);
});

test("every door listed here is in use", () => {
  const used = filesBelow("src", [".ts"]).map((file) => ({ file, powers: powersIn(file, textOf(file)) }));
  const idle = doors.filter((door) => !used.some((one) => isCovered(door.path, one.file) && one.powers.includes(door.power)));
  expect(idle.map((door) => `${door.path} ${door.power}`)).toEqual([]);
});

test.each([
  ["src/engine/engine.ts", 'import { readFileSync } from "node:fs";'],
  ["src/image/layout.ts", 'import { spawn } from "node:child_process";'],
  ["src/cli/output.ts", "const colour = process.env.NO_COLOR;"],
  ["src/base/retry.ts", "const at = Date.now();"],
  ["src/base/retry.ts", "const wait = Math.random() * 10;"],
  ["src/runtime/create.ts", "await Bun.write(path, text);"],
  ["src/spec/digest.ts", 'import { connect } from "node:net";'],
])("taken power %# is found, in %s", (file, text) => {
  expect(faultsIn(file, text)).toHaveLength(1);
});

test("comments, tests and the process field of a document take no power", () => {
  expect(faultsIn("src/base/units.ts", "// Date.now() is handed in\n/** Bun.spawn takes 1 ms */\nconst a = config.process.args;")).toEqual(
    [],
  );
  expect(faultsIn("src/base/units.test.ts", "Date.now()")).toEqual([]);
  expect(faultsIn("src/sys/clock.ts", "Date.now()")).toEqual([]);
});
