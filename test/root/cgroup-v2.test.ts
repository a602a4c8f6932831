/** Cgroups of a machine that has version 2 alone: every limit is held, the same with each runtime that is here and knows it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../support/images/commands.ts";
import { patient } from "../support/slowness.ts";
import { eventually, runtimePath, unable } from "./gantry-harness.ts";
import { type LiveContainer, Runtime, useOwnCgroup, type Wishes } from "./live-container.ts";

setDefaultTimeout(patient(120_000));
const top = "/sys/fs/cgroup";
const reason = unable ?? (existsSync(`${top}/cgroup.controllers`) ? undefined : "cgroup v2 is not mounted alone");
if (reason !== undefined) console.log(`skipped: ${reason}`);

const peers = ["runc", "crun"].filter((name) => installed(name));
/** Gantry and the peers, but for those that are too old for what is tested. */
const runtimes = (...tooOld: readonly string[]): (readonly [name: string, command: readonly string[]])[] => [
  ["gantry-runtime", [runtimePath]],
  ...peers.filter((name) => !tooOld.includes(name)).map((name) => [name, [name]] as const),
];

let count = 0;
const freshPath = (): string => `/gantry-v2-${process.pid}-${count++}`;
const controllers = reason === undefined ? readFileSync(`${top}/cgroup.controllers`, "utf8").trim().split(" ") : [];

/** A running container and its cgroup's directory. */
async function start(runtime: Runtime, wishes: Wishes): Promise<{ one: LiveContainer; read: (file: string) => string; cgroup: string }> {
  const path = freshPath();
  const one = await runtime.container({ ...wishes, linux: { cgroupsPath: path, ...wishes.linux } }).start();
  const cgroup = `${top}${path}`;
  return { one, cgroup, read: (file) => readFileSync(join(cgroup, file), "utf8").trim() };
}

/** The first disk, as numbers. */
function disk(): { readonly major: number; readonly minor: number } {
  const name = readdirSync("/sys/block").find((one) => /^(vd|sd|nvme)/.test(one)) ?? "";
  const [major = 0, minor = 0] = readFileSync(`/sys/block/${name}/dev`, "utf8").trim().split(":").map(Number);
  return { major, minor };
}

describe.skipIf(reason !== undefined).each(runtimes())("under %s", (name, command) => {
  test("memory, CPU time, CPUs and processes are limited", async () => {
    using runtime = new Runtime(command);
    const resources = {
      memory: { limit: 67_108_864, reservation: 33_554_432, swap: 100_663_296 },
      cpu: { quota: 50_000, period: 200_000, cpus: "0", mems: "0" },
      pids: { limit: 42 },
    };
    const { read } = await start(runtime, { linux: { resources } });
    const files = ["memory.max", "memory.low", "memory.swap.max", "cpu.max", "cpuset.cpus", "cpuset.mems", "pids.max"];
    expect(files.map(read)).toEqual(["67108864", "33554432", "33554432", "50000 200000", "0", "0", "42"]);
  });

  test("no limit is no limit", async () => {
    using runtime = new Runtime(command);
    const resources = { memory: { limit: -1, swap: -1 }, cpu: { quota: -1 }, pids: { limit: -1 } };
    const { read } = await start(runtime, { linux: { resources } });
    expect(["memory.max", "memory.swap.max", "cpu.max", "pids.max"].map(read)).toEqual(["max", "max", "max 100000", "max"]);
  });

  test("shares become a weight, with both ends where they were", async () => {
    using runtime = new Runtime(command);
    const weights = await Promise.all(
      [2, 262_144].map(async (shares) => (await start(runtime, { linux: { resources: { cpu: { shares } } } })).read("cpu.weight")),
    );
    expect(weights).toEqual(["1", "10000"]);
  });

  test("a map of files is written as it is", async () => {
    using runtime = new Runtime(command);
    const unified = {
      "memory.high": "50331648",
      "memory.swap.max": "10485760",
      "memory.low": "8388608",
      "cpu.weight": "50",
      "pids.max": "31",
      "cpu.max": "30000 100000",
    };
    const { read } = await start(runtime, { linux: { resources: { unified } } });
    expect(Object.keys(unified).map(read)).toEqual(Object.values(unified));
  });

  test("a file that the kernel has not is refused, and nothing is left", async () => {
    using runtime = new Runtime(command);
    const path = freshPath();
    const one = runtime.container({ linux: { cgroupsPath: path, resources: { unified: { "memory.no-such-file": "1" } } } });
    expect((await one.create()).code).not.toBe(0);
    // crun 1.8 leaves it.
    expect(existsSync(`${top}${path}`)).toBe(name === "crun");
  });

  test("a disk is slowed down", async () => {
    using runtime = new Runtime(command);
    const { major, minor } = disk();
    const blockIO = {
      throttleReadBpsDevice: [{ major, minor, rate: 1_048_576 }],
      throttleWriteIOPSDevice: [{ major, minor, rate: 100 }],
    };
    const { read } = await start(runtime, { linux: { resources: { blockIO } } });
    expect(read("io.max")).toBe(`${major}:${minor} rbps=1048576 wbps=max riops=max wiops=100`);
  });

  test("more processes than allowed cannot be made", async () => {
    using runtime = new Runtime(command);
    const { one, read } = await start(runtime, { linux: { resources: { pids: { limit: 30 } } } });
    // runc itself has a dozen threads there for a moment.
    const { errors } = await one.exec("i=0; while [ $i -lt 40 ]; do i=$((i+1)); /bin/busybox sleep 5 & done");
    expect(errors).toContain("can't fork");
    expect(Number(/max (\d+)/.exec(read("pids.events"))?.[1])).toBeGreaterThan(0);
  });

  test("more memory than allowed ends a process", async () => {
    using runtime = new Runtime(command);
    const { one, read } = await start(runtime, { linux: { resources: { memory: { limit: 33_554_432, swap: 33_554_432 } } } });
    expect((await one.exec("exec /bin/busybox tail /dev/zero")).code).toBe(137);
    expect(Number(/oom_kill (\d+)/.exec(read("memory.events"))?.[1])).toBe(1);
  });

  test.skipIf(!controllers.includes("hugetlb"))("huge pages are limited", async () => {
    using runtime = new Runtime(command);
    const { read } = await start(runtime, { linux: { resources: { hugepageLimits: [{ pageSize: "2MB", limit: 4_194_304 }] } } });
    expect(read("hugetlb.2MB.max")).toBe("4194304");
  });

  test("device rules hold, the later one first", async () => {
    using runtime = new Runtime(command);
    const kmsg = { type: "c", major: 1, minor: 11 };
    const script = "(: >/dev/kmsg) 2>&1; (: </dev/mem) 2>&1; (: </dev/null) && echo null; (: </dev/port) 2>&1; echo done";
    const devices = [
      { path: "/dev/kmsg", ...kmsg, fileMode: 438 },
      { path: "/dev/mem", type: "c", major: 1, minor: 1, fileMode: 438 },
      { path: "/dev/port", type: "c", major: 1, minor: 4, fileMode: 438 },
    ];
    const denied = (path: string, verb: string): string => `sh: can't ${verb} ${path}: Operation not permitted`;
    const look = async (rules: readonly object[]): Promise<string[]> => {
      const { one } = await start(runtime, { linux: { resources: { devices: rules }, devices } });
      return (await one.exec(script)).output.trim().split("\n");
    };
    const all = { allow: false, access: "rwm" };
    const port = denied("/dev/port", "open");
    expect(await look([all, { allow: true, ...kmsg, access: "w" }])).toEqual([denied("/dev/mem", "open"), "null", port, "done"]);
    expect(await look([all, { allow: true, ...kmsg, access: "r" }])).toEqual([
      denied("/dev/kmsg", "create"),
      denied("/dev/mem", "open"),
      "null",
      port,
      "done",
    ]);
    // A part of what was allowed, taken away again.
    const result = await look([all, { allow: true, ...kmsg, access: "rwm" }, { allow: false, ...kmsg, access: "w" }]);
    expect(result).toEqual([denied("/dev/kmsg", "create"), denied("/dev/mem", "open"), "null", port, "done"]);
  });

  test("a paused container stands still, waits for what is run in it, and can be removed", async () => {
    using runtime = new Runtime(command);
    const script = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; done";
    const { one, read, cgroup } = await start(runtime, { script });
    const count = join(runtime.directory, "rootfs/tmp/count");
    const countSoFar = (): string => readFileSync(count, "utf8");
    expect(await eventually(() => existsSync(count))).toBe(true);
    expect((await one.call("pause")).code).toBe(0);
    expect([(await one.state()).status, read("cgroup.events")]).toEqual(["paused", "populated 1\nfrozen 1"]);
    const then = countSoFar();
    await Bun.sleep(300);
    expect(countSoFar()).toBe(then);
    expect((await one.exec("true")).code).not.toBe(0);
    expect((await one.call("resume")).code).toBe(0);
    expect(await eventually(() => countSoFar() !== then)).toBe(true);
    await one.call("pause");
    expect((await one.call("delete --force")).code).toBe(0);
    expect(existsSync(cgroup)).toBe(false);
  });

  test("every process of a container without a pid namespace is killed", async () => {
    using runtime = new Runtime(command);
    const script = "/bin/busybox sleep 1000 & /bin/busybox sleep 1000 & exec /bin/busybox sleep 1000";
    const { one, read, cgroup } = await start(runtime, { script, namespaces: [] });
    expect(await eventually(() => read("cgroup.procs").split("\n").length === 3)).toBe(true);
    expect((await one.call("kill --all", "KILL")).code).toBe(0);
    expect(await eventually(() => read("cgroup.procs") === "")).toBe(true);
    // The kernel takes a process out of its cgroup some time before it is dead.
    expect(await eventually(async () => (await one.state()).status === "stopped")).toBe(true);
    expect((await one.call("delete")).code).toBe(0);
    expect(existsSync(cgroup)).toBe(false);
  });

  test("a cgroup namespace has the container's cgroup as its root, read-only or not as the mount says", async () => {
    using runtime = new Runtime(command);
    const mount = { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup" };
    const script =
      "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids.max; grep -c . /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/sub 2>&1 && echo made; rmdir /sys/fs/cgroup/sub 2>/dev/null; true";
    const see = async (options: readonly string[]): Promise<string[]> => {
      const { one } = await start(runtime, {
        namespaces: ["pid", "cgroup"],
        mounts: [
          { destination: "/sys", type: "sysfs", source: "sysfs", options: ["ro"] },
          { ...mount, options },
        ],
        linux: { resources: { pids: { limit: 77 } } },
      });
      return (await one.exec(script)).output.trim().split("\n");
    };
    expect(await see(["ro", "nosuid"])).toEqual([
      "0::/",
      "77",
      "3",
      "mkdir: can't create directory '/sys/fs/cgroup/sub': Read-only file system",
    ]);
    expect(await see(["nosuid"])).toEqual(["0::/", "77", "3", "made"]);
  });

  test("what is run in a container that has divided its cgroup gets to its first process", async () => {
    using runtime = new Runtime(command);
    const script =
      "mkdir /sys/fs/cgroup/init; echo 1 > /sys/fs/cgroup/init/cgroup.procs; echo +pids > /sys/fs/cgroup/cgroup.subtree_control; exec /bin/busybox sleep 1000";
    const mounts = [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid"] }];
    const { one, read } = await start(runtime, { script, namespaces: ["pid", "cgroup"], mounts });
    expect(await eventually(() => read("cgroup.subtree_control").includes("pids"))).toBe(true);
    expect(await one.exec("cat /proc/self/cgroup")).toMatchObject({ code: 0, output: "0::/init\n" });
    expect((await one.call("delete --force")).code).toBe(0);
  });

  test("statistics are printed", async () => {
    using runtime = new Runtime(command);
    const { one } = await start(runtime, { linux: { resources: { pids: { limit: 42 }, memory: { limit: 67_108_864 } } } });
    await one.exec("i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done");
    // crun has none for a machine.
    if (name === "crun") return;
    const { data, type, id } = JSON.parse((await one.call("events --stats")).output) as {
      type: string;
      id: string;
      data: {
        cpu: { usage: { total: number; user: number; kernel: number } };
        memory: { usage: { limit: number; usage: number }; raw: Record<string, number> };
        pids: { current: number; limit: number };
      };
    };
    expect({ type, id }).toEqual({ type: "stats", id: one.id });
    expect(data.pids).toMatchObject({ current: 1, limit: 42 });
    expect(data.memory.usage.limit).toBe(67_108_864);
    expect(data.memory.usage.usage).toBeGreaterThan(0);
    expect(data.memory.raw["anon"]).toBeGreaterThan(0);
    expect(data.cpu.usage.total).toBeGreaterThan(1_000_000);
    expect(Math.abs(data.cpu.usage.user + data.cpu.usage.kernel - data.cpu.usage.total)).toBeLessThan(data.cpu.usage.total / 10);
  });

  test("limits are changed, and what is not named stays", async () => {
    using runtime = new Runtime(command);
    const resources = { memory: { limit: 67_108_864, swap: 100_663_296 }, cpu: { quota: 50_000, period: 100_000 }, pids: { limit: 42 } };
    const { one, read } = await start(runtime, { linux: { resources } });
    const files = ["memory.max", "memory.swap.max", "cpu.max", "pids.max"];
    expect((await one.call("update --pids-limit=50")).code).toBe(0);
    expect(files.map(read)).toEqual(["67108864", "33554432", "50000 100000", "50"]);
    expect((await one.call("update --memory=83886080 --memory-swap=125829120 --cpu-quota=20000")).code).toBe(0);
    expect(files.map(read)).toEqual(["83886080", "41943040", "20000 100000", "50"]);
    writeFileSync(join(one.bundle, "resources.json"), JSON.stringify({ memory: { limit: 67_108_864, swap: -1 }, cpu: { cpus: "0" } }));
    expect((await one.call(`update --resources=${one.bundle}/resources.json`)).code).toBe(0);
    expect([...files, "cpuset.cpus"].map(read)).toEqual(["67108864", "max", "20000 100000", "50", "0"]);
  });
});

// runc 1.1 does it with systemd alone (systemd-cgroup.test.ts).
describe.skipIf(reason !== undefined).each(runtimes("runc"))("under %s", (_, command) => {
  test("the root of a user namespace gets the cgroup, and its limits it does not get", async () => {
    using runtime = new Runtime(command);
    const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    const { one, read } = await start(runtime, {
      namespaces: ["pid", "cgroup", "user"],
      mounts: [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid"] }],
      linux: { resources: { pids: { limit: 77 } }, uidMappings: mapping, gidMappings: mapping },
    });
    const { output, errors } = await one.exec(useOwnCgroup);
    expect({ output, errors }).toMatchObject({ output: "max\n" });
    expect(errors).toContain("can't create pids.max: Permission denied");
    expect(read("pids.max")).toBe("77");
  });
});

describe.skipIf(reason !== undefined).each(runtimes("runc", "crun"))("under %s, as under peers of today", (_, command) => {
  test("a container may be idle, or get more for a while", async () => {
    using runtime = new Runtime(command);
    const idle = await start(runtime, { linux: { resources: { cpu: { idle: 1 } } } });
    expect(idle.read("cpu.idle")).toBe("1");
    const burst = await start(runtime, { linux: { resources: { cpu: { quota: 50_000, period: 100_000, burst: 20_000 } } } });
    expect(burst.read("cpu.max.burst")).toBe("20000");
    expect((await burst.one.call("update --cpu-burst=0 --cpu-quota=10000")).code).toBe(0);
    expect([burst.read("cpu.max.burst"), burst.read("cpu.max")]).toEqual(["0", "10000 100000"]);
  });

  test("parents that were made for a container go with it", async () => {
    using runtime = new Runtime(command);
    const parent = freshPath();
    const { one } = await start(runtime, { linux: { cgroupsPath: `${parent}/a/b`, resources: { pids: { limit: 10 } } } });
    expect(readFileSync(`${top}${parent}/a/b/pids.max`, "utf8")).toBe("10\n");
    expect((await one.call("delete --force")).code).toBe(0);
    expect(existsSync(`${top}${parent}`)).toBe(false);
  });

  test.each([
    ["/linux/resources/cpu/realtimeRuntime", { cpu: { realtimeRuntime: 1000 } }],
    ["/linux/resources/network/classID", { network: { classID: 1 } }],
    ["/linux/resources/hugepageLimits/0", { hugepageLimits: [{ pageSize: "3MB", limit: 1 }] }],
  ])("%s is refused by name", async (pointer, resources) => {
    using runtime = new Runtime(command);
    const { code, errors } = await runtime.container({ linux: { cgroupsPath: freshPath(), resources } }).create();
    expect({ code, isNamed: errors.includes(pointer) }).toEqual({ code: 1, isNamed: true });
  });
});
