/** The floors of the house: imports run downward and respect the walls, types included. */
import { expect, test } from "bun:test";
import { posix } from "node:path";
import { filesBelow, isTest, textOf, withoutComments } from "./tree.ts";

/** Lowest first. A file may import its own room and the rooms on lower floors... */
const floors = [
  ["base"],
  ["spec", "wire", "sys"],
  ["program"],
  ["image", "runtime", "cluster", "sdk"],
  ["engine"],
  ["cli", "api", "index.ts"],
  ["bin"],
];

/** ...except through these walls. */
const walls: Readonly<Record<string, { readonly closedTo: readonly string[]; readonly because: string }>> = {
  engine: { closedTo: ["wire", "cluster", "sdk"], because: "the engine speaks our words; other spellings stop in api/" },
  api: { closedTo: ["sys", "image", "runtime", "sdk"], because: "the API asks the engine" },
  sdk: { closedTo: ["spec", "sys", "program"], because: "the SDK must be easy to cut out" },
  cli: { closedTo: ["sys", "wire", "cluster"], because: "the CLI decides nothing and touches nothing" },
};

const importPattern = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\(\s*)"([^"]+)"/g;

function roomOf(path: string): string {
  return path.split("/")[1] ?? "";
}

/** Where `specifier`, written in `file`, leads to inside the project; undefined for packages and node: modules. */
function targetOf(file: string, specifier: string): string | undefined {
  if (specifier.startsWith("#")) return `src/${specifier.slice(1)}`;
  return specifier.startsWith(".") ? posix.join(posix.dirname(file), specifier) : undefined;
}

/** What is wrong with `file` importing `specifier`; undefined when nothing is. */
function fault(file: string, specifier: string): string | undefined {
  const target = targetOf(file, specifier);
  if (target === undefined) return undefined;
  if (!target.startsWith("src/")) return isTest(file) ? undefined : "nothing in src/ may import tests, scripts or benchmarks";
  if (isTest(target) && !isTest(file)) return "production code may not import a test";
  const [from, to] = [roomOf(file), roomOf(target)];
  if (from === to) return specifier.startsWith("#") ? "inside a room the path is relative" : undefined;
  if (!specifier.startsWith("#") && from !== "index.ts") return "across rooms the path is #room/file.ts";
  if (to === "bin") return "nothing may import bin";
  const [fromFloor, toFloor] = [from, to].map((room) => floors.findIndex((rooms) => rooms.includes(room)));
  if (fromFloor === undefined || toFloor === undefined || fromFloor < 0 || toFloor < 0) return "a room that is on no floor";
  if (toFloor >= fromFloor) return `${from} is not above ${to}`;
  const wall = walls[from];
  return wall?.closedTo.includes(to) === true ? wall.because : undefined;
}

function faultsIn(file: string, text: string): string[] {
  return [...withoutComments(text).matchAll(importPattern)].flatMap(([, specifier = ""]) => {
    const why = fault(file, specifier);
    return why === undefined ? [] : [`${file} imports ${specifier}: ${why}`];
  });
}

test("imports run downward and respect the walls", () => {
  const files = filesBelow("src", [".ts"]);
  expect(files.length).toBeGreaterThan(20);
  expect(files.flatMap((file) => faultsIn(file, textOf(file)))).toEqual([]);
});

/** Files that import each other, in the order of a walk round; empty when there is no such circle. Types count: they too must be read together. */
function circleOf(imports: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]): readonly string[] => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
    if (done.has(file)) return [];
    for (const next of imports.get(file) ?? []) {
      const circle = visit(next, [...way, file]);
      if (circle.length > 0) return circle;
    }
    done.add(file);
    return [];
  };
  for (const file of imports.keys()) {
    const circle = visit(file, []);
    if (circle.length > 0) return circle;
  }
  return [];
}

test("no file imports itself by way of others", () => {
  const targets = (file: string): string[] =>
    [...withoutComments(textOf(file)).matchAll(importPattern)].flatMap(([, specifier = ""]) => targetOf(file, specifier) ?? []);
  const files = filesBelow("src", [".ts"]);
  expect(circleOf(new Map(files.map((file) => [file, targets(file)])))).toEqual([]);
});

test("a circle of imports is found", () => {
  const imports = new Map([
    ["a", ["b"]],
    ["b", ["d", "c"]],
    ["c", ["b"]],
    ["d", []],
  ]);
  expect(circleOf(imports)).toEqual(["b", "c", "b"]);
});

test.each([
  ["src/base/units.ts", 'import { parse } from "#spec/digest.ts";'],
  ["src/image/layout.ts", 'import type { Runtime } from "#runtime/runtime.ts";'],
  ["src/runtime/create.ts", 'import { type Image } from "#image/image.ts";'],
  ["src/program/encode.ts", 'export { x } from "#engine/engine.ts";'],
  ["src/engine/engine.ts", 'import type { Body } from "#wire/docker.ts";'],
  ["src/api/server.ts", 'import { read } from "#sys/fs.ts";'],
  ["src/cli/output.ts", 'import { write } from "#sys/fs.ts";'],
  ["src/cli/output.ts", 'import { main } from "#bin/main.ts";'],
  ["src/engine/engine.ts", 'const later = await import("#api/server.ts");'],
  ["src/spec/digest.ts", 'import { write } from "#sys/fs.ts";'],
  ["src/base/units.ts", 'import { tree } from "../../test/support/tree.ts";'],
  ["src/base/units.ts", 'import { sample } from "./bytes.test.ts";'],
  ["src/engine/engine.ts", 'import { CodedError } from "../base/errors.ts";'],
  ["src/base/units.ts", 'import { CodedError } from "#base/errors.ts";'],
  ["src/engine/engine.ts", 'import {\n  a,\n  b,\n} from "#cli/output.ts";'],
  ["src/attic/old.ts", 'import { CodedError } from "#base/errors.ts";'],
])("planted violation %# is found, in %s", (file, text) => {
  expect(faultsIn(file, text)).toHaveLength(1);
});

test.each([
  [
    "src/image/layout.ts",
    'import { CodedError } from "#base/errors.ts";\nimport { gzip } from "node:zlib";\nimport { x } from "./blob/store.ts";',
  ],
  ["src/cli/run.ts", 'import type { Engine } from "#engine/engine.ts";'],
  ["src/image/layout.test.ts", 'import { temporary } from "../../test/support/tree.ts";'],
  ["src/bin/main.ts", 'import { x } from "#sys/fs.ts";'],
  ["src/base/units.ts", '// see "#engine/units.ts"\n/* import { x } from "#cli/y.ts"; */'],
])("right import %# is let pass, in %s", (file, text) => {
  expect(faultsIn(file, text)).toEqual([]);
});
