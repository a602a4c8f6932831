/**
 * Stress: many containers in a row, then many at once while the runtime is killed at random moments; afterwards nothing may be left.
 *
 *     bun scripts/stress.ts [--cycles=N] [--seconds=S] [--workers=N] [--runtime=PATH] [--seed=N]
 *
 * Any runtime with runc's command line can be measured. The last line counts what held and what did not.
 */
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync, readFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { makeRootfs } from "../test/support/rootfs.ts";
import { makeRandom } from "./stress/calls.ts";
import { runCycles, runParallel, waitForEnd, type Outcome, type Stage } from "./stress/lives.ts";
import { cgroupTops, findLeaks, measureMachine, processesOf, type Mark } from "./stress/machine.ts";

interface Wish {
  readonly cycles: number;
  readonly seconds: number;
  readonly workers: number;
  readonly seed: number;
  readonly runtime: string;
}

/** How many failures and leaks are shown in full. */
const shown = 8;
let [passed, failed] = [0, 0];

function readWish(): Wish {
  const { values } = parseArgs({
    options: {
      cycles: { type: "string", default: "1000" },
      seconds: { type: "string", default: "300" },
      workers: { type: "string", default: "8" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
      runtime: { type: "string", default: new URL("../dist/gantry-runtime", import.meta.url).pathname },
    },
  });
  const number = (name: "cycles" | "seconds" | "workers" | "seed"): number => {
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} takes a number, not ${values[name]}`);
    return value;
  };
  const runtime = Bun.which(values.runtime);
  if (runtime === null) throw new Error(`there is no runtime ${values.runtime}`);
  return { cycles: number("cycles"), seconds: number("seconds"), workers: number("workers"), seed: number("seed"), runtime };
}

function makeStage(runtime: string): Stage {
  const token = `gantry-stress-${process.pid}`;
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", `${token}-`));
  Bun.spawnSync(["chmod", "755", directory]);
  const mark: Mark = { token, directory };
  const inside = (name: string): string => {
    mkdirSync(join(directory, name));
    return join(directory, name);
  };
  const environment = {
    PATH: process.env["PATH"] ?? "/usr/bin:/bin",
    GANTRY_STRESS: token,
    TMPDIR: inside("temporary"),
    HOME: inside("home"),
    XDG_RUNTIME_DIR: inside("user"),
  };
  for (const top of cgroupTops()) makeParent(top, token);
  const subject = { path: runtime, stateRoot: inside("state"), scratch: inside("output"), environment };
  return { subject, mark, rootfs: makeRootfs(directory) };
}

/** The cgroup that engines make for their containers. */
function makeParent(top: string, token: string): void {
  mkdirSync(join(top, token));
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (existsSync(join(top, token, file)) && !existsSync(join(top, "cgroup.controllers")))
      writeFileSync(join(top, token, file), readFileSync(join(top, file)));
  }
}

/** What a runtime may keep below its state root when all containers are gone, and what is this program's own. */
function isKept({ mark, subject, rootfs }: Stage): (path: string) => boolean {
  return (path) => [rootfs, subject.scratch].some((own) => path === own || path.startsWith(`${own}/`)) || path === mark.directory;
}

/** Runs one part, shows what went wrong in it, and counts. */
async function part(title: string, stage: Stage, run: () => Promise<Outcome>): Promise<void> {
  const measure = (): ReturnType<typeof measureMachine> => measureMachine(stage.mark, isKept(stage));
  const before = measure();
  const started = performance.now();
  const { lives, kills, failures } = await run();
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  // Cgroups of the dead go when the kernel has reaped them.
  await waitForEnd(stage.mark);
  let after = measure();
  // The kernel takes apart what is not used any more in its own time: only what stays is a leak.
  const patience = performance.now() + 30_000;
  for (; findLeaks(before, after, lives).length > 0 && performance.now() < patience; after = measure()) await Bun.sleep(500);
  const leaks = findLeaks(before, after, lives);
  console.log(`${title}: ${lives} containers, ${kills} kills, ${seconds} s; ${failures.length} failures, ${leaks.length} kinds of leaks`);
  for (const { id, why, calls } of failures.slice(0, shown))
    console.log(`  ${id}: ${why}\n${calls.map((line) => `    ${line}`).join("\n")}`);
  for (const { kind, what } of leaks) {
    console.log(`  left behind: ${what.length} ${kind}`);
    for (const thing of what.slice(0, shown)) console.log(`    ${thing}`);
  }
  const kinds = new Set([...Object.keys(after.named), ...Object.keys(after.counted)]).size;
  passed += lives - new Set(failures.map(({ id }) => id)).size + kinds - leaks.length;
  failed += new Set(failures.map(({ id }) => id)).size + leaks.length;
}

/** Ends and removes what is ours, so that a runtime that leaks does not spoil the machine. */
async function cleanUp({ mark }: Stage): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    thawAll(mark);
    const pids = processesOf(mark);
    for (const pid of pids) Bun.spawnSync(["kill", "-9", String(pid)], { stderr: "ignore" });
    if (pids.length === 0) break;
    await Bun.sleep(50);
  }
  const cgroups = measureMachine(mark, () => true).named["cgroups"] ?? [];
  for (const path of cgroups.toReversed()) {
    try {
      rmdirSync(path);
    } catch (error) {
      console.log(`cannot remove ${path}: ${String(error)}`);
    }
  }
  rmSync(mark.directory, { recursive: true, force: true });
}

function thawAll(mark: Mark): void {
  for (const path of measureMachine(mark, () => true).named["cgroups"] ?? []) {
    const file = join(path, "freezer.state");
    if (existsSync(file)) writeFileSync(file, "THAWED");
    if (existsSync(join(path, "cgroup.freeze"))) writeFileSync(join(path, "cgroup.freeze"), "0");
  }
}

async function main(): Promise<void> {
  const wish = readWish();
  if (process.getuid?.() !== 0) {
    console.log("skipped: it makes containers as root; run it with sudo\n0 passed, 0 failed, 1 skipped");
    return;
  }
  const stage = makeStage(wish.runtime);
  console.log(`runtime ${wish.runtime}, seed ${wish.seed}`);
  try {
    if (wish.cycles > 0) {
      await part("one after the other", stage, () => runCycles(stage, wish.cycles, (done) => console.error(`${done} cycles`)));
    }
    if (wish.seconds > 0) {
      const chance = makeRandom(wish.seed + 1);
      const how = { workers: wish.workers, seconds: wish.seconds, chance, first: wish.cycles };
      await part(`${wish.workers} at once, with kills`, stage, () => runParallel(stage, how));
    }
  } finally {
    await cleanUp(stage);
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
