/**
 * Changes of trees: what is found, packed and applied again. `apply(diff(a, b), a) = b` and `diff(x, apply(d, x)) = d`, over random
 * trees with every kind of entry.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ByteString } from "#base/byte-string.ts";
import { packChanges } from "#image/layer/pack.ts";
import { diffTrees, type TreeDifference } from "#image/tree/diff.ts";
import type { Place } from "#image/tree/survey.ts";
import { installed } from "../support/images/commands.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { patient } from "../support/slowness.ts";
import { compareTrees, formatDifference, readTree } from "../support/tree.ts";
import { takeSteps, twoTrees } from "../support/trees/random.ts";
import { notRoot } from "./executor-harness.ts";
import { applyArchive, placeAt } from "./layer-harness.ts";

const missing = notRoot ?? (installed("getfattr", "python3") ? undefined : "getfattr or python3 is not installed");

async function pack(place: Place, { changes, after }: TreeDifference, tree: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const nameIn = (path: ByteString): ByteString => `${tree}/${path}` as ByteString;
  for await (const chunk of packChanges({ changes, directory: (path) => after.self(path), place, nameIn })) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

const names = (before: string, after: string): { before: ByteString; after: ByteString } => ({
  before: before as ByteString,
  after: after as ByteString,
});

describe.skipIf(missing !== undefined)("changes of trees", () => {
  test(
    "M5 W1 W2 R4 R5 R6: apply(diff(a, b), a) = b, and diff(x, apply(d, x)) = d, byte for byte",
    async () => {
      await fc.assert(
        fc.asyncProperty(twoTrees, async ({ first, more }) => {
          using scratch = scratchDirectory({ userAttributes: true });
          const [a, b, x] = ["a", "b", "x"].map((name) => join(scratch.path, name)) as [string, string, string];
          mkdirSync(a);
          takeSteps(a, first);
          execFileSync("cp", ["-a", a, b]);
          execFileSync("cp", ["-a", a, x]);
          takeSteps(b, more);
          const place = placeAt(scratch.path);
          const there = await diffTrees(place, names("a", "b"));
          const archive = await pack(place, there, "b");
          await applyArchive(archive, x);
          const [wanted, made] = [readTree(b), readTree(x)];
          // A socket is no part of a layer.
          const isSocket = ({ path }: { path: string }): boolean => [wanted, made].some((tree) => tree.get(path)?.kind === "s");
          expect(compareTrees(wanted, made, isSocket).map(formatDifference)).toEqual([]);
          const again = await pack(place, await diffTrees(place, names("a", "x")), "x");
          expect(again.equals(archive)).toBe(true);
          expect(Array.from((await diffTrees(place, names("b", "x"))).changes, ({ kind, path }) => [kind, path])).toEqual([]);
        }),
        { numRuns: 40, interruptAfterTimeLimit: patient(60_000) },
      );
    },
    patient(200_000),
  );
});
