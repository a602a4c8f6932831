/** Changing, freezing, signalling and measuring the cgroups of processes that run. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import type { Step } from "#program/encode.ts";
import { formatStats, readStats } from "#runtime/cgroup-stats.ts";
import { listCgroupProcesses } from "#runtime/cgroup-processes.ts";
import { compileFreeze, compileKillAll, isContainerFrozen } from "#runtime/compile/cgroup/freeze.ts";
import { compileUpdate } from "#runtime/compile/cgroup/update.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { failureOf, notRoot, run } from "./executor-harness.ts";

setDefaultTimeout(20_000);
const version = notRoot === undefined ? readHostFacts().cgroup.version : "none";
const reason = notRoot ?? (version === "hybrid" ? undefined : "the machine has not cgroup v1 beside v2");
if (reason !== undefined) console.log(`skipped: ${reason}`);

const perform = async (steps: readonly Step[]): Promise<void> => {
  expect(failureOf(await run(steps.map(({ op }) => op)))).toBeUndefined();
};

/** A process tree in cgroups of its own. */
async function makeCgroups(
  names: readonly string[],
): Promise<{ cgroups: string[]; child: Bun.Subprocess; [Symbol.asyncDispose]: () => Promise<void> }> {
  const cgroups = names.map((name) => `/sys/fs/cgroup/${name}/gantry-verbs-${process.pid}`);
  for (const path of cgroups) mkdirSync(path);
  const joins = cgroups.map((path) => `echo $$ > ${path}/cgroup.procs`).join(" && ");
  const child = Bun.spawn(["sh", "-c", `${joins} && (sleep 60 & sleep 60 & echo in; wait)`], { stdout: "pipe" });
  await child.stdout.getReader().read();
  return {
    cgroups,
    child,
    [Symbol.asyncDispose]: async () => {
      await run(cgroups.map((path) => ({ op: "signal-cgroup", path, signal: 9 })));
      await child.exited;
      await run(cgroups.map((path) => ({ op: "remove-cgroup", path })));
    },
  };
}

const config = { ociVersion: "1.3.0" };
const warn = (): void => undefined;

describe.skipIf(reason !== undefined)("processes in cgroups", () => {
  test("are listed, frozen, resumed and killed together", async () => {
    await using made = await makeCgroups(["freezer", "pids"]);
    const input = { cgroups: made.cgroups, facts: readHostFacts() };
    const pids = listCgroupProcesses(made.cgroups[0] ?? "");
    expect(pids.length).toBeGreaterThanOrEqual(3);
    expect(isContainerFrozen(input)).toBe(false);
    await perform(compileFreeze(input, "frozen"));
    expect(isContainerFrozen(input)).toBe(true);
    await perform(compileFreeze(input, "thawed"));
    expect(isContainerFrozen(input)).toBe(false);
    await perform(compileFreeze(input, "frozen"));
    await perform(compileKillAll(input, 9));
    await made.child.exited;
    expect(listCgroupProcesses(made.cgroups[0] ?? "")).toEqual([]);
  });

  test("are frozen and killed by v2 alone, too", async () => {
    await using made = await makeCgroups(["unified"]);
    const input = { cgroups: made.cgroups, facts: readHostFacts() };
    await perform(compileFreeze(input, "frozen"));
    expect(readFileSync(`${made.cgroups[0]}/cgroup.events`, "utf8")).toContain("frozen 1");
    expect(isContainerFrozen(input)).toBe(true);
    await perform(compileFreeze(input, "thawed"));
    const [kill] = compileKillAll(input, 9);
    expect(kill?.op).toMatchObject({ op: "write", data: "1" });
    await perform(compileKillAll(input, 9));
    await made.child.exited;
    expect(listCgroupProcesses(made.cgroups[0] ?? "")).toEqual([]);
  });

  test("have limits that grow and shrink in the order that the kernel takes", async () => {
    await using made = await makeCgroups(["memory", "cpu", "pids"]);
    const read = (file: string): string => readFileSync(`${made.cgroups[0]}/memory.${file}`, "utf8").trim();
    const update = (resources: Parameters<typeof compileUpdate>[0]["resources"]): Promise<void> =>
      perform(compileUpdate({ resources, cgroups: made.cgroups, facts: readHostFacts(), config, id: "x", warn }));
    const mib = 1 << 20;
    await update({
      memory: { limit: 64 * mib, swap: 128 * mib },
      cpu: { quota: 20000, period: 100000, burst: 10000, shares: 300 },
      pids: { limit: 50 },
    });
    expect([read("limit_in_bytes"), read("memsw.limit_in_bytes")]).toEqual([`${64 * mib}`, `${128 * mib}`]);
    await update({ memory: { limit: 256 * mib, swap: 512 * mib }, cpu: { quota: 5000, period: 10000, burst: 5000 } });
    expect([read("limit_in_bytes"), read("memsw.limit_in_bytes")]).toEqual([`${256 * mib}`, `${512 * mib}`]);
    await update({ memory: { limit: 32 * mib, swap: 40 * mib }, pids: { limit: -1 } });
    expect([read("limit_in_bytes"), read("memsw.limit_in_bytes")]).toEqual([`${32 * mib}`, `${40 * mib}`]);
    expect(readFileSync(`${made.cgroups[2]}/pids.max`, "utf8").trim()).toBe("max");
    await update({ memory: { limit: -1 } });
    expect(read("memsw.limit_in_bytes")).toBe(readFileSync("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "utf8").trim());
    await expect(async () => update({ memory: { limit: 4096, checkBeforeUpdate: true } })).toThrow("are in use");
  });

  test("are measured in the shape of runc's statistics", async () => {
    await using made = await makeCgroups(["memory", "cpu", "cpuacct", "pids", "hugetlb", "blkio"]);
    const stats = readStats(made.cgroups, readHostFacts());
    expect(stats.pids.current).toBeGreaterThanOrEqual(3n);
    const text = formatStats({ type: "stats", id: "x", data: stats });
    const { data } = JSON.parse(text) as { data: Record<string, Record<string, unknown>> };
    expect(Object.keys(data)).toEqual(["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"]);
    expect(text).toContain(`"limit":${readFileSync("/sys/fs/cgroup/memory/memory.limit_in_bytes", "utf8").trim()}`);
    expect(data["hugetlb"]?.["2MB"]).toEqual({ failcnt: 0 });
    expect(data["memory"]?.["raw"]).toHaveProperty("hierarchical_memory_limit");
  });
});

test("a cgroup that is not empty is left, and one that is empty goes", async () => {
  if (reason !== undefined) return;
  const path = `/sys/fs/cgroup/pids/gantry-verbs-${process.pid}`;
  mkdirSync(`${path}/below`, { recursive: true });
  await perform([{ op: { op: "remove-empty-cgroup", path }, origin: "test" }]);
  rmdirSync(`${path}/below`);
  await perform([{ op: { op: "remove-empty-cgroup", path }, origin: "test" }]);
  expect(() => readFileSync(`${path}/cgroup.procs`)).toThrow("ENOENT");
});
