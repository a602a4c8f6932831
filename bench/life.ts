/**
 * The life of a container in gantry-runtime, crun and runc: `run` of `true`, and `create`, `start`, `state` and `delete`, with Docker's
 * default filter and all capabilities that this machine gives. Gantry has a row for each way: a program of the cache; a config that was
 * never seen, for which one must be compiled ("miss"); no cache at all; and every command through the compiler ("no front").
 *
 *     [CRUN=PATH] [RUNC=PATH] bun bench/life.ts [--rounds=30]
 *
 * The peers are those of $PATH where no others are named. As root. crun needs every cgroup v1 controller mounted that the kernel has; on
 * such a machine, before:
 * mkdir -p /sys/fs/cgroup/hugetlb && mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { capabilityNames } from "#runtime/compile/kernel.ts";
import { scratchDirectory } from "../test/support/scratch-directory.ts";
import { tool } from "../test/support/images/commands.ts";
import { median, numberOption, printTable } from "./compare.ts";

interface Config {
  ociVersion: string;
  process: { env: string[]; terminal: boolean; args: string[]; rlimits: unknown[]; capabilities: Record<string, readonly string[]> };
  linux: Record<string, unknown>;
}

interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly bundle: string;
  /** Called before each measurement, with a number of its own. */
  readonly prepare?: (number: number) => void;
}

const filterCase = resolve(import.meta.dir, "../test/testdata/programs/system-call-filter/config.json");
const built = process.env["GANTRY_RUNTIME"] ?? resolve(import.meta.dir, "../dist/gantry-runtime");

/** The peers that are there, named in the environment or else found in $PATH, each with its version in its name. */
function peers(scratchPath: string, bundle: string): Runtime[] {
  return ["crun", "runc"].flatMap((peer) => {
    const named = process.env[peer.toUpperCase()];
    const path = named ?? Bun.which(peer);
    if (path === null) return [];
    const [kind, , version] = tool([path, "--version"]).split(/\s+/);
    if (kind !== peer) throw new Error(`${path} is no ${peer}`);
    return [{ name: `${peer} ${version}`, command: [path, "--root", join(scratchPath, peer)], environment: {}, bundle }];
  });
}

/** What the kernel lets this process give away. */
function ownCapabilities(): string[] {
  const mask = BigInt(`0x${/CapBnd:\t(\w+)/.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0"}`);
  return capabilityNames.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n);
}

function makeBundle(directory: string): void {
  mkdirSync(join(directory, "rootfs/bin"), { recursive: true });
  for (const folder of ["proc", "dev", "sys"]) mkdirSync(join(directory, "rootfs", folder));
  copyFileSync(["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path)) ?? "/bin/busybox", join(directory, "rootfs/bin/true"));
  tool(["chmod", "755", join(directory, "rootfs/bin/true")]);
  tool([built, "spec", "--bundle", directory]);
  const path = join(directory, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8")) as Config;
  // What crun before 1.9 accepts as well.
  config.ociVersion = "1.0.2";
  const all = ownCapabilities();
  config.process = { ...config.process, terminal: false, args: ["/bin/true"], rlimits: [] };
  config.process.capabilities = { bounding: all, effective: all, permitted: all };
  config.linux["seccomp"] = (JSON.parse(readFileSync(filterCase, "utf8")) as Config).linux["seccomp"];
  writeFileSync(path, JSON.stringify(config));
}

/** Gives the bundle's config a meaning that it did not have before. */
function changeMeaning(directory: string, number: number): void {
  const path = join(directory, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8")) as Config;
  config.process.env = ["PATH=/bin", `ROUND=${number}`];
  writeFileSync(path, JSON.stringify(config));
}

/** Milliseconds that a call takes; undefined when it fails. Output goes nowhere: a created container keeps it open. */
function time({ command, environment, bundle }: Runtime, words: readonly string[]): number | undefined {
  const env = { ...process.env, ...environment };
  const started = performance.now();
  const { exitCode } = Bun.spawnSync([...command, ...words], { cwd: bundle, env, stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  return exitCode === 0 ? performance.now() - started : undefined;
}

function must(runtime: Runtime, words: readonly string[]): number {
  const took = time(runtime, words);
  if (took === undefined) throw new Error(`${runtime.name} ${words.join(" ")} failed`);
  return took;
}

function life(runtime: Runtime, id: string): number {
  let sum = must(runtime, ["create", id]) + must(runtime, ["start", id]) + must(runtime, ["state", id]);
  // Deleting waits for the end of the process, which is not the runtime's.
  Bun.sleepSync(5);
  for (let attempt = 0; attempt < 200; attempt++) {
    const took = time(runtime, ["delete", id]);
    if (took === undefined) continue;
    sum += took;
    break;
  }
  return sum;
}

using scratch = scratchDirectory();
const bundle = join(scratch.path, "bundle");
makeBundle(bundle);
const changing = join(scratch.path, "changing");
makeBundle(changing);
const ours = (name: string, environment: Readonly<Record<string, string>>): Runtime => ({
  name,
  command: [built, "--root", join(scratch.path, name.replaceAll(" ", "-"))],
  environment,
  bundle,
});
const runtimes: Runtime[] = [
  ours("gantry-runtime", { GANTRY_CACHE: join(scratch.path, "cache") }),
  {
    ...ours("gantry-runtime, miss", { GANTRY_CACHE: join(scratch.path, "other-cache") }),
    bundle: changing,
    prepare: (number) => {
      changeMeaning(changing, number);
    },
  },
  ours("gantry-runtime, no cache", { GANTRY_NO_CACHE: "1" }),
  ours("gantry-runtime, no front", { GANTRY_NO_FRONT: "1" }),
  ...peers(scratch.path, bundle),
];
const rounds = numberOption("rounds", 30);
let measured = 0;
const kinds: Readonly<Record<string, (runtime: Runtime, id: string) => number>> = {
  "run of true": (runtime, id) => must(runtime, ["run", id]),
  "create, start, state, delete": (runtime, id) => life(runtime, id),
};
for (const [kind, measure] of Object.entries(kinds)) {
  const samples = new Map(runtimes.map(({ name }) => [name, [] as number[]]));
  for (let round = -2; round < rounds; round++)
    for (const [index, runtime] of runtimes.entries()) {
      // What the one before has left to the kernel or to its compiler is not this one's.
      Bun.sleepSync(20);
      runtime.prepare?.(measured++);
      const took = measure(runtime, `life-${process.pid}-${index}`);
      if (round >= 0) samples.get(runtime.name)?.push(took);
    }
  const medians = runtimes.map(({ name }) => ({
    name,
    value: median(samples.get(name) ?? []),
    least: Math.min(...(samples.get(name) ?? [])),
  }));
  const against = (peer: string, value: number): string => {
    const found = medians.find(({ name }) => name.startsWith(peer));
    return found === undefined ? "-" : `${(value / found.value).toFixed(2)}x`;
  };
  console.log(`${kind}, ${rounds} rounds in turn`);
  printTable([
    ["runtime", "median ms", "min ms", "crun", "runc"],
    ...medians.map(({ name, value, least }) => [name, value.toFixed(1), least.toFixed(1), against("crun", value), against("runc", value)]),
  ]);
}
