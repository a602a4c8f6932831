/** Files over 8 GiB with holes: in every form that GNU tar writes, and as plain zeros; none may take its full size on the disk. */
import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { buildImage } from "../support/images/build.ts";
import { largeBytes, sparsePieces } from "../support/images/sparse.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { gantry, imageWork, missingForAcceptance, mountMerged, type MergedTree } from "./gantry.ts";

const missing = missingForAcceptance();
if (missing !== undefined) console.log(`skipped: sparse files: ${missing}`);
const minutes = 60_000;
const mostAllocatedBytes = 1 << 20;

/** What a few bytes of `path` say, at each of `offsets`. */
function readAt(path: string, offsets: readonly number[]): string[] {
  const descriptor = openSync(path, "r");
  try {
    return offsets.map((offset) => {
      const bytes = Buffer.alloc(32);
      readSync(descriptor, bytes, { position: offset });
      return bytes.toString("latin1").replace(/[.\0]*$/, "");
    });
  } finally {
    closeSync(descriptor);
  }
}

function loadImage(scratch: string, name: string): MergedTree {
  const layout = buildImage(imageWork(), name);
  const loaded = gantry(join(scratch, "root"), ["load", "--quiet", layout], 2 * minutes);
  expect({ stderr: loaded.stderr, status: loaded.status }).toEqual({ stderr: "", status: 0 });
  return mountMerged(join(scratch, "root"), layout, join(scratch, "merged"));
}

describe.skipIf(missing !== undefined)("sparse files", () => {
  test(
    "every sparse format of GNU tar gives the file with its data in place and its holes kept",
    () => {
      using scratch = scratchDirectory();
      using merged = loadImage(scratch.path, "sparse");
      for (const format of ["gnu-old", "pax-0.0", "pax-0.1", "pax-1.0"]) {
        const path = join(merged.directory, `sparse-${format}`);
        const { size, blocks, mtimeMs } = statSync(path);
        expect({ format, size, mtimeMs }).toEqual({ format, size: largeBytes, mtimeMs: 1_700_000_000_000 });
        expect(blocks * 512).toBeLessThan(mostAllocatedBytes);
        expect(readAt(path, [0, ...sparsePieces, largeBytes - 32])).toEqual(["", ...sparsePieces.map((offset) => `data at ${offset}`), ""]);
        expect(readFileSync(join(merged.directory, `after-${format}`), "utf8")).toBe("after\n");
      }
    },
    2 * minutes,
  );

  test(
    "zeros that are stored as such become a hole",
    () => {
      using scratch = scratchDirectory();
      using merged = loadImage(scratch.path, "zeros");
      const { size, blocks } = statSync(join(merged.directory, "zeros"));
      expect(size).toBe(largeBytes);
      expect(blocks * 512).toBeLessThan(mostAllocatedBytes);
    },
    4 * minutes,
  );
});
