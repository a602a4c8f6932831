/**
 * Changes as overlayfs keeps them in an upper directory: over random trees, with every kind of entry, and with what the kernel only notes
 * (redirects, copies of metadata alone). What is packed of them, applied to the lower tree, is what the overlay showed.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { packChanges, type Packing } from "#image/layer/pack.ts";
import { joinPath, type Changeset } from "#image/tree/change.ts";
import { diffTrees } from "#image/tree/diff.ts";
import { diffUpper } from "#image/tree/upper.ts";
import { installed } from "../support/images/commands.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { patient } from "../support/slowness.ts";
import { compareTrees, formatDifference, readTree } from "../support/tree.ts";
import { takeSteps, twoTrees } from "../support/trees/random.ts";
import { notRoot } from "./executor-harness.ts";
import { execute, unable, Workbench } from "./gantry-harness.ts";
import { applyArchive, placeAt } from "./layer-harness.ts";

const missing = notRoot ?? (installed("getfattr", "python3") ? undefined : "getfattr or python3 is not installed");
if (missing !== undefined) console.log(`skipped: changes in upper directories: ${missing}`);

const [lower, upper, merged] = ["lower", "upper", "merged"] as [ByteString, ByteString, ByteString];

/** The overlay of `lower`, `upper` and `work` in `directory`, at `merged` until it is disposed. */
function overlay(directory: string, options: string): Disposable {
  for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(directory, name), { recursive: true });
  const words = `lowerdir=${directory}/lower,upperdir=${directory}/upper,workdir=${directory}/work${options}`;
  // With an index, the kernel refuses directories that another overlay has. Ours of before lives on in every copy of the mount namespace
  // that somebody has made meanwhile, until they have left it.
  for (const end = performance.now() + patient(30_000); ;) {
    const { status, stderr } = spawnSync("mount", ["-t", "overlay", "-o", words, "overlay", `${directory}/merged`], { encoding: "utf8" });
    if (status === 0) break;
    if (!stderr.includes("busy") || performance.now() > end) throw new Error(`cannot mount an overlay: ${stderr}`);
    Bun.sleepSync(50);
  }
  return { [Symbol.dispose]: () => execFileSync("umount", [`${directory}/merged`]) };
}

interface Found {
  readonly archive: Buffer;
  readonly changes: Changeset;
  /** Only the whole trees could tell. */
  readonly isWhole: boolean;
}

/** What is found in the upper directory or, where the kernel has only noted something there, in the whole trees; the overlay is mounted. */
async function findChanges(directory: string): Promise<Found> {
  const place = placeAt(directory);
  const pack = async (changes: Changeset, tree: ByteString, self: Packing["directory"]): Promise<Buffer> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of packChanges({ changes, directory: self, place, nameIn: (path) => joinPath(tree, path) }))
      chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks);
  };
  try {
    const found = await diffUpper(place, { upper, lower });
    return { archive: await pack(found.changes, upper, (path) => found.upper.self(path)), changes: found.changes, isWhole: false };
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== "unsupported") throw error;
    const found = await diffTrees(place, { before: lower, after: merged });
    return { archive: await pack(found.changes, merged, (path) => found.after.self(path)), changes: found.changes, isWhole: true };
  }
}

interface RoundTrip {
  /** Options of the overlay, with a comma before each. */
  readonly options: string;
  readonly fill: (lower: string) => void;
  readonly use: (merged: string) => void;
}

/** How what `use` makes in an overlay, packed and applied to a copy of its lower tree, differs from what the overlay shows. */
async function roundTrip(scratch: string, { options, fill, use }: RoundTrip): Promise<Found & { readonly differences: string[] }> {
  const [below, shown, copy] = ["lower", "merged", "copy"].map((name) => join(scratch, name)) as [string, string, string];
  mkdirSync(below);
  fill(below);
  execFileSync("cp", ["-a", below, copy]);
  {
    using _ = overlay(scratch, options);
    use(shown);
  }
  // Mounted anew, so that nothing but the directories themselves can say what was done.
  using _again = overlay(scratch, options);
  const wanted = readTree(shown);
  const found = await findChanges(scratch);
  await applyArchive(found.archive, copy);
  const made = readTree(copy);
  if (!found.isWhole) {
    // The other law: what the applied layer is found to change is that layer, byte for byte.
    const again = join(scratch, "again");
    mkdirSync(again);
    execFileSync("cp", ["-a", below, join(again, "lower")]);
    using _applied = overlay(again, options);
    await applyArchive(found.archive, join(again, "merged"));
    const second = await findChanges(again);
    if (!second.isWhole) expect(kinds(second)).toEqual(kinds(found));
    if (!second.isWhole) expect(second.archive.equals(found.archive)).toBe(true);
  }
  // A socket is no part of a layer; the root's own attributes are no part of an upper directory's changes.
  const isLeftOut = ({ path }: { path: string }): boolean => path === "." || [wanted, made].some((tree) => tree.get(path)?.kind === "s");
  return { ...found, differences: compareTrees(wanted, made, isLeftOut).map(formatDifference) };
}

const layered = (tree: string): void => {
  for (const name of ["d/sub", "e"]) mkdirSync(join(tree, name), { recursive: true });
  for (const name of ["d/one", "d/sub/two", "e/three", "f"]) writeFileSync(join(tree, name), `${name}\n`.repeat(2000));
};

const missingIn = (found: readonly string[], wanted: readonly string[]): string[] => wanted.filter((one) => !found.includes(one));

const kinds = ({ changes }: Found): string[] => Array.from(changes, ({ kind, path }) => `${kind} ${path}`);

describe.skipIf(missing !== undefined)("changes in an upper directory", () => {
  for (const options of ["", ",redirect_dir=on", ",metacopy=on,redirect_dir=on", ",redirect_dir=on,index=on"]) {
    test(
      `W6 R5 W1 over random trees${options === "" ? "" : ` (${options.slice(1)})`}: applied to the lower tree, they give what the overlay shows`,
      async () => {
        let [runs, whole] = [0, 0];
        await fc.assert(
          fc.asyncProperty(twoTrees, async ({ first, more }) => {
            using scratch = scratchDirectory({ userAttributes: true });
            const found = await roundTrip(scratch.path, {
              options,
              fill: (tree) => takeSteps(tree, first),
              use: (tree) => {
                takeSteps(tree, more);
                // What only redirects can do: a directory of the lower tree gets another name.
                for (const name of ["a", "b"]) spawnSync("mv", ["-T", join(tree, name), join(tree, `${name}-moved`)], { stdio: "ignore" });
              },
            });
            runs++;
            if (found.isWhole) whole++;
            expect(found.differences).toEqual([]);
          }),
          { numRuns: 20, interruptAfterTimeLimit: patient(40_000) },
        );
        // Where the kernel only notes changes, some of the cases must have met that, unless time was over early.
        if (options !== "" && runs >= 20) expect(whole).toBeGreaterThan(0);
      },
      patient(150_000),
    );
  }

  test("W6 whiteouts and opaque directories become .wh. entries, and nothing of overlayfs's own attributes is packed", async () => {
    using scratch = scratchDirectory();
    const found = await roundTrip(scratch.path, {
      options: "",
      fill: layered,
      use: (tree) => {
        execFileSync("rm", ["-rf", join(tree, "d"), join(tree, "f")]);
        mkdirSync(join(tree, "d"));
        writeFileSync(join(tree, "d/one"), "anew");
      },
    });
    expect(found.differences).toEqual([]);
    expect(missingIn(kinds(found), ["deleted f", "deleted d/sub", "modified d/one"])).toEqual([]);
    const text = found.archive.toString("latin1");
    expect(text).toContain("d/.wh.sub");
    expect(text).not.toContain("trusted.overlay");
  });

  test("W6 a whiteout that is an empty file with an attribute (overlayfs since 6.7)", async () => {
    using scratch = scratchDirectory({ userAttributes: true });
    const at = (name: string): string => join(scratch.path, name);
    for (const name of ["lower/d/sub", "upper/d", "upper/e"]) mkdirSync(at(name), { recursive: true });
    for (const name of ["lower/f", "lower/d/sub/x", "upper/f", "upper/e/y"])
      writeFileSync(at(name), name.startsWith("upper/f") ? "" : name);
    mkdirSync(at("lower/e"));
    writeFileSync(at("lower/e/hidden"), "hidden");
    execFileSync("setfattr", ["-n", "trusted.overlay.whiteout", "-v", "", at("upper/f")]);
    execFileSync("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", at("upper/e")]);
    expect(missingIn(kinds(await findChanges(scratch.path)), ["deleted e/hidden", "added e/y", "deleted f"])).toEqual([]);
  });

  test("what a container sets of user.overlay.* hides nothing: the overlay goes on to show it", async () => {
    using scratch = scratchDirectory({ userAttributes: true });
    const found = await roundTrip(scratch.path, {
      options: "",
      fill: layered,
      use: (tree) => {
        writeFileSync(join(tree, "empty"), "");
        for (const [name, path] of [
          ["opaque", "d"],
          ["whiteout", "empty"],
          ["whiteout", "e/three"],
        ] as const)
          execFileSync("setfattr", ["-n", `user.overlay.${name}`, "-v", "y", join(tree, path)]);
      },
    });
    expect(kinds(found)).toEqual(["added empty"]);
  });

  test("a directory that was only given another name, and a file of which only the mode was changed", async () => {
    using scratch = scratchDirectory();
    const found = await roundTrip(scratch.path, {
      options: ",redirect_dir=on,metacopy=on",
      fill: layered,
      use: (tree) => {
        renameSync(join(tree, "d"), join(tree, "moved"));
        chmodSync(join(tree, "f"), 0o600);
      },
    });
    expect([found.isWhole, found.differences]).toEqual([true, []]);
    expect(missingIn(kinds(found), ["deleted d", "added moved/sub/two", "modified f"])).toEqual([]);
  });

  test("W3 a name that begins with .wh. is refused: in a layer it would delete something", async () => {
    using scratch = scratchDirectory();
    await expect(
      roundTrip(scratch.path, { options: "", fill: layered, use: (tree) => writeFileSync(join(tree, "d/.wh.one"), "") }),
    ).rejects.toThrow('cannot pack "d/.wh.one"');
  });
});

describe.skipIf(unable !== undefined)("commit of a container", () => {
  test(
    "in whose upper directory the kernel has noted a renamed directory",
    async () => {
      const bench = new Workbench();
      await bench.load();
      expect((await bench.gantry("run", "--name", "c", "tiny", "true")).code).toBe(0);
      const containers = join(bench.root, "containers");
      const directory = join(containers, readdirSync(containers)[0] ?? "");
      const { layers } = JSON.parse(readFileSync(join(directory, "container.json"), "utf8")) as { layers: string[] };
      const below = layers.map((id) => join(bench.root, "layers", id.replace("sha256:", ""), "fs")).reverse();
      const words = `lowerdir=${below.join(":")},upperdir=${directory}/upper,workdir=${directory}/work,redirect_dir=on`;
      const shown = join(bench.directory, "shown");
      mkdirSync(shown);
      expect((await execute(["mount", "-t", "overlay", "-o", words, "overlay", shown])).code).toBe(0);
      try {
        renameSync(join(shown, "etc"), join(shown, "settings"));
      } finally {
        await execute(["umount", shown]);
      }
      expect((await bench.gantry("commit", "c", "renamed")).stderr).toBe("");
      expect((await bench.gantry("run", "--rm", "renamed", "cat", "/settings/greeting")).stdout).toBe("hello\n");
      expect((await bench.gantry("run", "--rm", "renamed", "ls", "/etc/greeting")).code).toBe(1);
    },
    patient(60_000),
  );
});
