/**
 * Builds dist/: the compiled executable, the executor under two names, and the library.
 *
 *     bun scripts/build.ts [--if-stale]
 *
 * `gantry` is one file of about 110 MB. Its entry, src/bin/main.ts, looks at the name it was called by and loads one of two
 * chunks. `gantry-runtime` is the executor under another name: it starts `gantry` as its compiler (executor/front.c).
 * Bytecode halves the time to start, and so does keeping the JIT off code that runs once (executable.ts).
 */
import { createHash } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileExecutable } from "./executable.ts";

const root = new URL("..", import.meta.url).pathname;
const stampPath = "dist/.fingerprint";
// Made here and renamed when whole, so that a build that dies, or a second one beside it, leaves no half of a file.
const scratch = `dist/.new-${process.pid}`;
const inputs = ["src", "executor", "scripts/build.ts", "scripts/executable.ts", "package.json", "package-lock.json", "tsconfig.json"];

/** One part of dist/: made from `source`, which may not exist yet while the project grows. */
interface Product {
  readonly source: string;
  readonly outputs: readonly string[];
  readonly make: () => void | Promise<void>;
}

const products: readonly Product[] = [
  { source: "executor/build.sh", outputs: ["dist/gantry-executor", "dist/gantry-runtime"], make: buildExecutor },
  { source: "src/bin/main.ts", outputs: ["dist/gantry"], make: buildExecutable },
  { source: "src/index.ts", outputs: ["dist/index.js"], make: buildLibrary },
];

function buildExecutor(): void {
  run(["sh", "executor/build.sh", join(root, "dist")]);
  linkSync("dist/gantry-executor", `${scratch}/gantry-runtime`);
  renameSync(`${scratch}/gantry-runtime`, "dist/gantry-runtime");
}

async function buildExecutable(): Promise<void> {
  try {
    await compileExecutable(join(root, scratch, "gantry"), { executor: join(root, "dist/gantry-executor"), scratch: join(root, scratch) });
  } catch (error) {
    if (!(error instanceof AggregateError)) throw error;
    throw new CommandFailed(error.errors.map(String).join("\n"));
  }
  renameSync(`${scratch}/gantry`, "dist/gantry");
}

/** Dependencies stay imports. `--packages=external` would not do: it takes our own `#room/file.ts` for packages too. */
function buildLibrary(): void {
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { dependencies: Record<string, string> };
  const external = Object.keys(dependencies).map((name) => `--external=${name}`);
  run([process.execPath, "build", "--target=node", "--format=esm", ...external, "src/index.ts", "--outfile", `${scratch}/index.js`]);
  renameSync(`${scratch}/index.js`, "dist/index.js");
}

class CommandFailed extends Error {}

function run(command: readonly string[]): void {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd: root });
  if (exitCode === 0) return;
  process.stderr.write(Buffer.concat([stdout, stderr]));
  throw new CommandFailed(command.join(" "));
}

/** Makes one product; the others are made even if this one fails. */
async function make(product: Product): Promise<boolean> {
  const names = product.outputs.join(" and ");
  if (!existsSync(product.source)) {
    console.log(`build: skipped ${names}: ${product.source} does not exist`);
    return true;
  }
  const started = performance.now();
  try {
    await product.make();
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    console.error(`build: cannot make ${names}: this failed: ${error.message}`);
    return false;
  }
  console.log(`build: ${names} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  return true;
}

async function buildAll(stamp: string): Promise<void> {
  mkdirSync(scratch, { recursive: true });
  rmSync(stampPath, { force: true });
  const made: boolean[] = [];
  for (const product of products) made.push(await make(product));
  rmSync(scratch, { recursive: true, force: true });
  if (made.includes(false)) process.exitCode = 1;
  else writeFileSync(stampPath, stamp);
}

/** A hash over the paths and bytes of everything that goes into dist/. Times would not do: a clone gives every file a new one. */
function fingerprint(): string {
  const hash = createHash("sha256").update(Bun.version);
  for (const path of inputs.flatMap(filesBelow)) hash.update(`\0${path}\0`).update(readFileSync(path));
  return hash.digest("hex");
}

function filesBelow(path: string): string[] {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return /(?<!\.test)\.(ts|c|h|sh|json)$/.test(path) ? [path] : [];
  return readdirSync(path)
    .toSorted()
    .flatMap((name) => filesBelow(join(path, name)));
}

function isCurrent(stamp: string): boolean {
  if (!existsSync(stampPath) || readFileSync(stampPath, "utf8") !== stamp) return false;
  return products.every((product) => !existsSync(product.source) || product.outputs.every((output) => existsSync(output)));
}

process.chdir(root);
const stamp = fingerprint();
if (!process.argv.includes("--if-stale") || !isCurrent(stamp)) await buildAll(stamp);
