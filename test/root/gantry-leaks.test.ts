/** Nothing stays behind: not after many runs, and not after kills at any moment that the next command does not clean up. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { allCgroups, cgroupsSince, eventually, execute, machineState, processesOf, unable, Workbench } from "./gantry-harness.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
if (unable !== undefined) console.log(`skipped: ${unable}`);
const bench = unable === undefined ? new Workbench() : (undefined as unknown as Workbench);

/** Numbers from 0 to 1 that are the same in each run: a kill that finds a fault can be repeated. */
function* randomNumbers(seed: number): Generator<number, never> {
  let state = seed;
  for (;;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

/** Starts `command`, kills it after `delayMs` and waits for its end. */
async function killAfter(command: readonly string[], delayMs: number): Promise<void> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  await Bun.sleep(delayMs);
  child.kill("SIGKILL");
  await child.exited;
}

/** How long `command` takes here, in milliseconds. */
async function durationOf(command: readonly string[]): Promise<number> {
  const start = performance.now();
  const { code, stderr } = await execute(command);
  if (code !== 0) throw new Error(`${command.join(" ")} failed: ${stderr}`);
  return performance.now() - start;
}

/** The machine's state once it is as `before`, or as it still is after a while: what ended may take a moment to be gone. */
async function settled(before: Record<string, unknown>, cgroups: ReadonlySet<string>): Promise<Record<string, unknown>> {
  await eventually(() => isDeepStrictEqual(machineState(bench), before), 10_000);
  return { ...machineState(bench), cgroups: await cgroupsSince(cgroups) };
}

describe.skipIf(unable !== undefined)("nothing is left on the machine", () => {
  beforeAll(() => bench.load());
  afterAll(() => bench.remove());

  test("by thirty containers one after the other", async () => {
    await bench.shell("true");
    const before = machineState(bench);
    const cgroups = allCgroups();
    for (let index = 0; index < 30; index += 1) {
      // Good and bad ends: the command's own failure, a command that is not there, a signal.
      const words = [["sh", "-c", "exit 3"], ["true"], ["no-such-command"], ["sh", "-c", "sleep 9 & kill -9 -1"]][index % 4] ?? [];
      const { code } = await bench.gantry("run", "--rm", "--memory", "64m", "tiny", ...words);
      expect([3, 0, 127, 0][index % 4]).toBe(code);
    }
    expect(await settled(before, cgroups)).toEqual({ ...before, cgroups: [] });
  });

  test("by ten containers at once", async () => {
    await bench.shell("true");
    const before = machineState(bench);
    const cgroups = allCgroups();
    const ended = await Promise.all(Array.from({ length: 10 }, (_, index) => bench.shell(`sleep 0.2; exit ${index}`)));
    expect(ended.map(({ code }) => code)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await settled(before, cgroups)).toEqual({ ...before, cgroups: [] });
  });

  test("by processes that a container's first process leaves running", async () => {
    const before = machineState(bench);
    const cgroups = allCgroups();
    expect((await bench.shell("(sleep 30; true) & (trap '' TERM HUP INT; sleep 31; true) & exit 5")).code).toBe(5);
    expect(await settled(before, cgroups)).toEqual({ ...before, cgroups: [] });
  });

  test("by containers that stayed and are removed", async () => {
    const before = machineState(bench);
    const cgroups = allCgroups();
    const names = ["a1", "a2", "a3"];
    for (const name of names) expect((await bench.gantry("run", "--name", name, "tiny", "sh", "-c", "echo x > /file")).code).toBe(0);
    expect((await bench.gantry("rm", ...names)).code).toBe(0);
    expect(await settled(before, cgroups)).toEqual({ ...before, cgroups: [] });
  });

  test("by a run that fails before the container starts", async () => {
    const before = machineState(bench);
    const cgroups = allCgroups();
    for (const options of [
      ["-v", "/no/such/source:/x"],
      ["-u", "stranger"],
      ["-w", "/etc/passwd"],
      ["-v", "/etc/hostname:/etc"],
    ]) {
      expect([options, (await bench.gantry("run", "--rm", ...options, "tiny", "true")).code]).toEqual([options, 125]);
    }
    expect(await settled(before, cgroups)).toEqual({ ...before, cgroups: [] });
  });
});

describe.skipIf(unable !== undefined)("after kill -9 at any moment", () => {
  const killed = unable === undefined ? new Workbench() : (undefined as unknown as Workbench);
  const numbers = randomNumbers(20_240_611);
  afterAll(() => killed.remove());

  test("of load, the next load leaves a store that verify calls clean", async () => {
    const load = killed.command("load", "--quiet", killed.layout);
    const whole = await durationOf(load);
    for (let index = 0; index < 15; index += 1) {
      const delay = numbers.next().value * whole * 1.1;
      rmSync(killed.root, { recursive: true, force: true });
      await killAfter(load, delay);
      const again = await killed.gantry("load", "--quiet", killed.layout);
      expect({ delay, code: again.code, stderr: again.stderr }).toEqual({ delay, code: 0, stderr: "" });
      const verified = await killed.gantry("verify");
      expect({ delay, code: verified.code, stdout: verified.stdout }).toEqual({ delay, code: 0, stdout: "clean\n" });
      expect((await killed.shell("cat /etc/greeting")).stdout).toBe("hello\n");
    }
    expect(await eventually(() => processesOf(killed.directory).length === 0)).toBe(true);
  });

  test("of run, rm -f removes every container, and a load leaves the store clean", async () => {
    await killed.load();
    const before = machineState(killed);
    const cgroups = allCgroups();
    const run = killed.command("run", "tiny", "sleep", "20");
    const whole = await durationOf(killed.command("run", "--rm", "tiny", "true"));
    for (let index = 0; index < 15; index += 1) {
      const delay = numbers.next().value * whole * 1.5;
      await killAfter(run, delay);
      // Half of them are given time to come up or go down on their own.
      if (index % 2 === 1) await Bun.sleep(30);
      // One that was still coming up while we looked is there the next time.
      await eventually(async () => {
        const ids = (await killed.gantry("ps", "-aq", "--no-trunc")).stdout.split("\n").filter(Boolean);
        const removed = await killed.gantry("rm", "-f", ...(ids.length > 0 ? ids : ["none"]));
        expect({ delay, code: removed.code, stderr: removed.stderr }).toEqual({ delay, code: 0, stderr: "" });
        return processesOf(killed.directory).length === 0;
      });
      expect({ delay, processes: processesOf(killed.directory), cgroups: await cgroupsSince(cgroups) }).toEqual({
        delay,
        processes: [],
        cgroups: [],
      });
    }
    await killed.load();
    expect((await killed.gantry("verify")).stdout).toBe("clean\n");
    expect((await killed.gantry("ps", "-aq")).stdout).toBe("");
    expect(machineState(killed)).toEqual(before);
  });
});
