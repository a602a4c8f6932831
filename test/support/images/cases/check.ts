/** Compares the tree that somebody made of a layer case with what the case expects. */
import type { Tree, TreeEntry } from "../../tree.ts";
import { defaultSeconds } from "../tar-writer.ts";
import { caseDirectory, type Expected, type LayerCase } from "./case.ts";

/** Every case's directory has an entry in the first layer only, so it keeps what that says whatever happens inside. */
const ownDirectory: Expected = { kind: "d", mode: "0755", uid: 0, gid: 0, mtimeNanos: BigInt(defaultSeconds) * 1_000_000_000n };

/** One line for each expectation of `layerCase` that `tree` does not meet; empty when all are met. */
export function checkCase(layerCase: LayerCase, tree: Tree): string[] {
  const wrong: string[] = [];
  const base = caseDirectory(layerCase.name);
  for (const [path, expected] of Object.entries({ ".": ownDirectory, ...layerCase.expect })) {
    const actual = tree.get(path === "." ? base : `${base}/${path}`);
    if (expected === "absent") {
      if (actual !== undefined) wrong.push(`${path} is there (${actual.kind}) and should not be`);
      continue;
    }
    if (actual === undefined) {
      wrong.push(`${path} is missing`);
      continue;
    }
    for (const field of Object.keys(expected) as (keyof TreeEntry)[]) {
      if (actual[field] !== expected[field]) wrong.push(`${path}: ${field} is ${String(actual[field])}, not ${String(expected[field])}`);
    }
  }
  return wrong;
}
