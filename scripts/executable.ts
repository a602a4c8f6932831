/**
 * Compiles src/bin/main.ts into one executable, twice: the second time with the bytecode in the order in which a run of the first used it, which
 * is then read from fewer pages and takes 1 to 2 ms off each command.
 *
 * Nothing is read from the working directory when it runs: a stranger's .env or bunfig.toml there must not change what a program that runs as
 * root does.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BunPlugin } from "bun";

const root = new URL("..", import.meta.url).pathname;

/** Makes the executable at `output`; `scratch` is a directory for what is made on the way. @throws AggregateError */
export async function compileExecutable(output: string, { executor, scratch }: { executor: string; scratch: string }): Promise<void> {
  await compile(output, []);
  const orders = recordOrder(output, { executor, directory: join(scratch, "order") });
  if (orders.length > 0) await compile(output, orders);
}

/** Paths are plain text: what the sources take from node:path comes from src/bin/path.ts. */
const ownPaths: BunPlugin = {
  name: "own paths",
  setup: (build) => {
    build.onResolve({ filter: /^node:path$/ }, () => ({ path: join(root, "src/bin/path.ts") }));
  },
};

async function compile(outfile: string, bytecodeOrder: string[]): Promise<void> {
  await Bun.build({
    entrypoints: [join(root, "src/bin/main.ts")],
    target: "bun",
    format: "esm",
    minify: true,
    splitting: true,
    bytecode: true,
    plugins: [ownPaths],
    // Code that runs once is not worth compiling; commands that run long set this back (src/bin/gantry.ts).
    compile: { outfile, bytecodeOrder, jitPolicy: 1000, autoloadDotenv: false, autoloadBunfig: false },
  });
}

/** Makes the image that the commands work on; run first, and learned from last. */
const first = "import layer.tar base";

/**
 * What is run, one after the other, in a directory with an empty `layer.tar`. What is common to them is laid out as the first one uses it: what
 * people wait for at a prompt stands first.
 */
const commands = ["images", "inspect base", "prune", "tag base other", "rmi other", "copy -q base oci:copy:x", "rmi base", first];

/**
 * Has `executable` write into the new directory `directory` which functions these commands run, in which order, and gives the paths of what was
 * written, the most important first. A command that cannot be run here is left out; where none can, the executable is only slower.
 */
function recordOrder(executable: string, { executor, directory }: { executor: string; directory: string }): string[] {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "layer.tar"), Buffer.alloc(1024));
  const run = (command: string, more: Record<string, string>): boolean => {
    const env = { ...process.env, GANTRY_EXECUTOR: executor, ...more };
    return Bun.spawnSync([executable, "--root", join(directory, "store"), ...command.split(" ")], { cwd: directory, env }).exitCode === 0;
  };
  run(first, {});
  const learned = commands.flatMap((command, index) => {
    const written = join(directory, `order-${index}`);
    if (run(command, { BUN_BYTECODE_ORDER_OUT: written }) && existsSync(written)) return [written];
    console.log(`build: learned nothing from gantry ${command}, which failed`);
    return [];
  });
  return [...learned, ...recordCompiler(executable, directory)];
}

/** What the runtime compiles to be learned from: it has Docker's filter, which takes the most. */
const sampleConfig = join(root, "test/testdata/programs/system-call-filter/config.json");

/** The same for the compiler of `gantry-runtime`. Asked to tell of a failure, it compiles as for `run` and makes nothing. */
function recordCompiler(executable: string, directory: string): string[] {
  const written = join(directory, "order-of-runtime");
  const words = [
    "__failed",
    "0",
    "1",
    "--root",
    join(directory, "state"),
    "run",
    "--bundle",
    directory,
    "--config",
    sampleConfig,
    "sample",
  ];
  const env = { ...process.env, BUN_BYTECODE_ORDER_OUT: written };
  const { stderr } = Bun.spawnSync([executable, ...words], { argv0: "gantry-runtime", env, stderr: "pipe" });
  if (existsSync(written) && stderr.includes("operation not permitted")) return [written];
  console.log(`build: learned nothing from gantry-runtime run, which failed: ${stderr.toString()}`);
  return [];
}
