/** Files made from the op table are what the generator makes today. */
import { expect, test } from "bun:test";
import { root, filesBelow, textOf } from "./tree.ts";

test("every generated file is current", () => {
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, "scripts/generate.ts", "--check"], { cwd: root });
  expect(stderr.toString()).toBe("");
  expect(exitCode).toBe(0);
});

test("files called generated say so in their first lines, so that nobody edits them", () => {
  const generated = filesBelow(".", [".gen.ts", ".gen.h"]);
  expect(generated.length).toBeGreaterThan(0);
  expect(generated.filter((path) => !/generated/i.test(textOf(path).slice(0, 400)))).toEqual([]);
});
