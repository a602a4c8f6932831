/**
 * Builds dist/: the compiled executable, the executor under two names, and the library.
 *
 *     bun scripts/build.ts [--if-stale]
 *
 * `gantry` is one file of about 110 MB. Its entry, src/bin/main.ts, looks at the name it was called by and loads one of two
 * chunks. `gantry-runtime` is the executor under another name: it starts `gantry` as its compiler (executor/front.c).
 * Bytecode halves the time to start, and so does keeping the JIT off code that runs once; commands that run long turn it on. It is built
 * twice, the second time with the bytecode in the order in which a run of the first needed it. Nothing is read from the working directory: a stranger's .env or bunfig.toml there must not
 * change what a program that runs as root does.
 */
import { createHash } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { recordOrder } from "./bytecode-order.ts";

const root = new URL("..", import.meta.url).pathname;
const stampPath = "dist/.fingerprint";
// Made here and renamed when whole, so that a build that dies, or a second one beside it, leaves no half of a file.
const scratch = `dist/.new-${process.pid}`;
const inputs = ["src", "executor", "scripts/build.ts", "scripts/bytecode-order.ts", "package.json", "package-lock.json", "tsconfig.json"];

/** One part of dist/: made from `source`, which may not exist yet while the project grows. */
interface Product {
  readonly source: string;
  readonly outputs: readonly string[];
  readonly make: () => void;
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

function buildExecutable(): void {
  compileExecutable(`${scratch}/gantry`, []);
  const orders = recordOrder(join(root, scratch, "gantry"), {
    executor: join(root, "dist/gantry-executor"),
    directory: join(root, scratch, "order"),
  });
  if (orders.length > 0)
    compileExecutable(
      `${scratch}/gantry`,
      orders.map((order) => `--bytecode-order=${order}`),
    );
  renameSync(`${scratch}/gantry`, "dist/gantry");
}

function compileExecutable(output: string, order: readonly string[]): void {
  const compile = ["--compile", "--minify", "--bytecode", "--splitting", "--format=esm", "--target=bun", "--compile-jit-policy=1000"];
  const isolate = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  run([process.execPath, "build", ...compile, ...isolate, ...order, "src/bin/main.ts", "--outfile", output]);
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
function make(product: Product): boolean {
  const names = product.outputs.join(" and ");
  if (!existsSync(product.source)) {
    console.log(`build: skipped ${names}: ${product.source} does not exist`);
    return true;
  }
  const started = performance.now();
  try {
    product.make();
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    console.error(`build: cannot make ${names}: this failed: ${error.message}`);
    return false;
  }
  console.log(`build: ${names} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  return true;
}

function buildAll(stamp: string): void {
  mkdirSync(scratch, { recursive: true });
  rmSync(stampPath, { force: true });
  const made = products.map(make);
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
if (!process.argv.includes("--if-stale") || !isCurrent(stamp)) buildAll(stamp);
