import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { openLayout } from "#image/layout.ts";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";
import { Place } from "./place.ts";

test("a root in which there is only an image layout gets what else it needs", async () => {
  using scratch = scratchDirectory();
  await openLayout(join(scratch.path, "images"), (work) => work());
  const spawn = (): never => {
    throw new Error("no executor is needed to open what is there");
  };
  await new Place({ root: scratch.path, executor: { spawn, executable: "/nowhere" } }).layout();
  expect(readdirSync(scratch.path).toSorted()).toEqual(["containers", "images", "layers", "names", "tmp"]);
});
