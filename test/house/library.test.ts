/** `import { ... } from "gantry"` works in Node and in Bun, from the built bundle, through the package's own "exports". */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./tree.ts";

// A package may import itself by its name, so this takes the road that a user's import takes.
const program =
  'import * as gantry from "gantry"; const names = Object.keys(gantry).sort(); if (names.length === 0) process.exit(3); console.log(names.join(" "));';

function namesIn(runtime: string, options: readonly string[]): { exitCode: number; names: string; stderr: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([runtime, ...options, program], { cwd: root, stdin: "ignore" });
  return { exitCode, names: stdout.toString(), stderr: stderr.toString() };
}

// The library's entry comes last in this project's growth; as soon as it exists it must work.
const source = join(root, "src/index.ts");

test.skipIf(!existsSync(source))("the library loads in Node and in Bun with the same exports", () => {
  const node = namesIn("node", ["--input-type=module", "--eval"]);
  const bun = namesIn(process.execPath, ["--eval"]);
  expect([node.stderr, bun.stderr]).toEqual(["", ""]);
  expect([node.exitCode, bun.exitCode]).toEqual([0, 0]);
  expect(node.names).toBe(bun.names);
  expect(node.names).not.toBe("");
});
