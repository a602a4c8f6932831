/**
 * Images that mean harm: each is loaded as a user would, and afterwards nothing outside of the root may have changed, nothing
 * half-made may be left, and what is said must be one clear line without the image's own control characters.
 */
import { describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../support/images/hostile/attack.ts";
import { attacks } from "../support/images/hostile/all.ts";
import { goArchives } from "../support/images/hostile/go-testdata.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { compareTrees, formatDifference, readTree } from "../support/tree.ts";
import { gantry, imageWork, missingForAcceptance, mountMerged, namesIn, type Run } from "./gantry.ts";

const missing = missingForAcceptance();
if (missing !== undefined) console.log(`skipped: hostile images: ${missing}`);

const deadlineMs = 60_000;
const mostMemoryBytes = 512 << 20;
/** Everything but printable text and line ends, in one-byte form; UTF-8 is let pass, C1 controls (as UTF-8 or raw) are not. */
const controls = /[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]/;

/** The machine's own files that links in images aim at. */
function hostFiles(): string[] {
  return ["/etc/passwd", "/etc/group"].map((path) => {
    const { ino, nlink, mode, uid, mtimeMs } = lstatSync(path);
    return [path, ino, nlink, mode, uid, mtimeMs].join(" ");
  });
}

/** What is wrong with a refusal's text; empty when it is one clear line. */
function faultsOfError(run: Run): string[] {
  const lines = run.stderr.trimEnd().split("\n");
  const faults: string[] = [];
  if (run.status === null) faults.push(`did not end in ${deadlineMs} ms`);
  if (lines.length !== 1) faults.push(`says ${lines.length} lines: ${JSON.stringify(run.stderr.slice(0, 500))}`);
  if (!lines[0]?.includes("cannot ")) faults.push(`does not say what it cannot do: ${JSON.stringify(lines[0])}`);
  if (/\.ts:\d+|\.js:\d+|TypeError|RangeError|SyntaxError|undefined is not|broken assumption/.test(run.stderr))
    faults.push(`shows its own inside: ${JSON.stringify(run.stderr.slice(0, 500))}`);
  if (Buffer.byteLength(run.stderr) > 2000) faults.push(`says ${Buffer.byteLength(run.stderr)} bytes`);
  return [...faults, ...faultsOfText(run)];
}

function faultsOfText(run: Run): string[] {
  return [run.stdout, run.stderr]
    .filter((text) => controls.test(text))
    .map((text) => `prints control characters: ${JSON.stringify(text.slice(0, 300))}`);
}

/** What is left below `root` that should not be, after a refusal or when all images are removed. */
function faultsOfRest(root: string): string[] {
  const images = gantry(root, ["images", "--quiet"]);
  const rest = ["layers", "tmp", "containers"].flatMap((folder) => namesIn(join(root, folder)).map((name) => `leaves ${folder}/${name}`));
  return [...(images.stdout.trim() === "" ? [] : [`leaves the image ${images.stdout.trim()}`]), ...rest];
}

function faultsOfVerify(root: string): string[] {
  const verified = gantry(root, ["verify"]);
  return verified.status === 0 ? [] : [`verify fails: ${verified.stderr}${verified.stdout}`];
}

/** What is wrong after an image was loaded. */
function faultsOfLoaded(attack: Attack, place: { root: string; image: string; scratch: string }): string[] {
  const { root } = place;
  const listed = [gantry(root, ["images"]), gantry(root, ["images", "--format", "json"])];
  const ids = [...new Set(gantry(root, ["images", "--quiet", "--no-trunc"]).stdout.trim().split("\n"))].filter((id) => id !== "");
  const faults = [...listed.flatMap(faultsOfText), ...faultsOfVerify(root)];
  if (attack.forbidden !== undefined) {
    using merged = mountMerged(root, place.image, join(place.scratch, "merged"));
    const tree = readTree(merged.directory);
    faults.push(...attack.forbidden.filter((path) => tree.has(path)).map((path) => `shows ${path}`));
  }
  for (const id of ids) {
    if (attack.run === true) faults.push(...faultsOfText(gantry(root, ["run", "--rm", id], deadlineMs)));
    if (attack.expect === "refuse-run") {
      const run = gantry(root, ["run", "--rm", id], deadlineMs);
      faults.push(...(run.status === 0 ? ["runs"] : faultsOfError(run)));
    }
    const removed = gantry(root, ["rmi", "--force", id]);
    if (removed.status !== 0) faults.push(`cannot be removed: ${removed.stderr}`);
  }
  return [...faults, ...faultsOfRest(root)];
}

/** Everything that is wrong with how `attack` ended. */
function faultsOf(attack: Attack): string[] {
  using scratch = scratchDirectory();
  const [root, canary, directory, merged] = ["root", "canary", "image", "merged"].map((name) => join(scratch.path, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const path of [root, canary, directory, merged]) mkdirSync(path);
  writeFileSync(join(canary, "secret"), "the host's own\n", { mode: 0o600 });
  utimesSync(join(canary, "secret"), 1, 1);
  const image = attack.build({ directory, canary });
  const [before, hostBefore] = [readTree(scratch.path), hostFiles()];

  const load = gantry(root, ["load", "--quiet", ...(attack.load ?? []), image], deadlineMs);
  const faults = load.maxMemoryBytes > mostMemoryBytes ? [`takes ${load.maxMemoryBytes >> 20} MiB of memory`] : [];
  if (load.status === 0)
    faults.push(
      ...(attack.expect === "refuse" ? ["is loaded"] : []),
      ...faultsOfText(load),
      ...faultsOfLoaded(attack, { root, image, scratch: scratch.path }),
    );
  else faults.push(...faultsOfError(load), ...faultsOfVerify(root), ...faultsOfRest(root));

  const outside = compareTrees(before, readTree(scratch.path), ({ path }) => path === "root" || path.startsWith("root/"));
  faults.push(...outside.map((one) => `changes the host: ${formatDifference(one)}`));
  if (hostFiles().join() !== hostBefore.join()) faults.push("changes the host's account files");
  return faults;
}

const go = missing === undefined ? goArchives(imageWork()) : { attacks: [], missing };
if (go.missing !== undefined) console.log(`skipped: Go's archives: ${go.missing}`);

describe.skipIf(missing !== undefined)("hostile images", () => {
  for (const attack of [...attacks, ...go.attacks]) {
    test(`${attack.name} (${attack.expect}): ${attack.why}`, () => expect(faultsOf(attack)).toEqual([]), 4 * deadlineMs);
  }
});
