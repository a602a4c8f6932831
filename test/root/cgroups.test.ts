/** Cgroups of real containers: what their files hold while they run, and what is left afterwards. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readHostFacts } from "#runtime/facts.ts";
import {
  type BundleConfig,
  execute,
  hasRunc,
  makeBundle,
  removeCgroup,
  notGantry,
  runtimePath,
  runtimeTested,
  unableHere,
  Workbench,
  writeConfig,
} from "./gantry-harness.ts";
import { knownTests } from "./known-differences.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
const reason = unableHere ?? (hasRunc ? undefined : "runc is not installed, which writes config.json");
const version = reason === undefined ? readHostFacts().cgroup.version : "none";
const noV1 = reason ?? (version === "v1" || version === "hybrid" ? undefined : "the controllers are not on cgroup v1");
if (noV1 !== undefined) console.log(`skipped: ${noV1}`);

/** The runtime that is asked; without RUNTIME it is Gantry, and runc beside it. */
const tested = runtimeTested ?? runtimePath;
/** Tests of what the specification leaves to a runtime, and of Gantry's words. */
const own = test.skipIf(reason !== undefined || notGantry() !== undefined);
const { one } = knownTests(
  [
    { peer: "runc", until: "1.2.0", name: /somebody else's/, why: "joins them; no section" },
    { peer: "crun", name: /somebody else's/, why: "joins them; no section" },
    { peer: "runc", name: /device rules/, why: "puts rules of its own before those of the config; config-linux.md#allowed-device-list" },
  ],
  "differs",
);

const resources = {
  memory: { limit: 67108864, swap: 134217728, reservation: 33554432, swappiness: 10 },
  cpu: { shares: 512, quota: 50000, period: 100000, cpus: "0", mems: "0" },
  pids: { limit: 42 },
  hugepageLimits: [{ pageSize: "2MB", limit: 4194304 }],
};
const files = [
  "memory/memory.limit_in_bytes",
  "memory/memory.memsw.limit_in_bytes",
  "memory/memory.soft_limit_in_bytes",
  "memory/memory.swappiness",
  "cpu/cpu.shares",
  "cpu/cpu.cfs_quota_us",
  "cpu/cpu.cfs_period_us",
  "cpuset/cpuset.cpus",
  "pids/pids.max",
  "hugetlb/hugetlb.2MB.limit_in_bytes",
];

describe.skipIf(noV1 !== undefined)("the cgroups of a container", () => {
  const bench = noV1 === undefined ? new Workbench() : (undefined as unknown as Workbench);
  const bundle = noV1 === undefined ? makeBundle(join(bench.directory, "bundle"), () => undefined) : "";
  afterAll(() => bench?.remove());

  /** Runs the bundle with this `linux` under a runtime; the container sees the host's cgroups bound at /cg. */
  const runWith = (runtime: string, script: string, linux: Record<string, unknown>) => {
    writeConfig(bundle, (config: BundleConfig) => {
      config.process.args = ["/bin/busybox", "sh", "-c", script];
      Object.assign(config.linux, linux);
      (config as unknown as { mounts: unknown[] }).mounts.push({
        destination: "/tmp/cg",
        type: "bind",
        source: "/sys/fs/cgroup",
        options: ["rbind", "ro"],
      });
    });
    mkdirSync(join(bundle, "rootfs/tmp/cg"), { recursive: true });
    return execute([runtime, "--root", join(bench.directory, "state"), "run", "-b", bundle, `cg-${process.pid}`]);
  };
  const top = `/gantry-test-${process.pid}`;
  const show = (path: string): string =>
    files
      .map((file) => file.replace("/", `${path}/`))
      .map((file) => `cat /tmp/cg/${file}`)
      .join("; ");

  one("hold the limits of the config, as with runc", async () => {
    const cgroupsPath = `${top}/a/b`;
    const ours = await runWith(tested, show(cgroupsPath), { cgroupsPath, resources });
    const theirs = await runWith("runc", show(cgroupsPath), { cgroupsPath, resources });
    expect(ours).toEqual({ code: 0, stdout: ours.stdout, stderr: "" });
    expect(ours.stdout.split("\n")).toEqual([
      "67108864",
      "134217728",
      "33554432",
      "10",
      "512",
      "50000",
      "100000",
      "0",
      "42",
      "4194304",
      "",
    ]);
    expect(ours.stdout).toBe(theirs.stdout);
    // runc leaves the parents behind.
    for (const name of ["memory", "cpu", "cpuset", "pids", "hugetlb", "devices", "freezer", "blkio", "cpuacct", "systemd", "unified"]) {
      for (const path of [`/sys/fs/cgroup/${name}${top}/a`, `/sys/fs/cgroup/${name}${top}`]) if (existsSync(path)) await removeCgroup(path);
    }
  });

  own("go with the parents that were made for them", async () => {
    const { code, stderr } = await runWith(runtimePath, "true", { cgroupsPath: `${top}/x/y`, resources });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const name of ["memory", "cpuset", "pids", "systemd"]) expect(existsSync(`/sys/fs/cgroup/${name}${top}`)).toBe(false);
  });

  own("share parents, which go with the last of them", async () => {
    const runtime = [runtimePath, "--root", join(bench.directory, "state")];
    const ids = ["one", "two"].map((name) => `cg-${process.pid}-${name}`);
    for (const id of ids) {
      writeConfig(bundle, (config: BundleConfig) => {
        config.process.args = ["/bin/busybox", "sleep", "100"];
        Object.assign(config.linux, { cgroupsPath: `${top}/s/t/${id}` });
      });
      // The container keeps what it is given.
      const stdio = ["ignore", "ignore", "ignore"] as const;
      expect(await Bun.spawn([...runtime, "run", "-d", "-b", bundle, id], { stdio: [...stdio] }).exited).toBe(0);
    }
    const parents = ["memory", "cpuset"].map((name) => `/sys/fs/cgroup/${name}${top}`);
    for (const [index, id] of ids.entries()) {
      expect((await execute([...runtime, "delete", "--force", id])).code).toBe(0);
      expect(parents.map((path) => existsSync(path))).toEqual(parents.map(() => index === 0));
    }
  });

  one("stay when their parent was there before", async () => {
    const parent = `/sys/fs/cgroup/pids${top}`;
    mkdirSync(parent);
    const { code } = await runWith(tested, "true", { cgroupsPath: `${top}/x`, resources });
    expect({ code, stays: existsSync(parent), empty: !existsSync(`${parent}/x`) }).toEqual({ code: 0, stays: true, empty: true });
    await removeCgroup(parent);
  });

  one("hold device rules as the config gives them", async () => {
    const cgroupsPath = `${top}/d`;
    const devices = [
      { allow: false, access: "rwm" },
      { allow: true, type: "c", major: 10, minor: 229, access: "rwm" },
      { allow: true, type: "b", major: 8, minor: 20, access: "rw" },
      { allow: true, type: "b", major: 10, minor: 200, access: "r" },
    ];
    const { stdout } = await runWith(tested, `cat /tmp/cg/devices${cgroupsPath}/devices.list`, {
      cgroupsPath,
      resources: { devices },
    });
    expect(stdout.split("\n").slice(0, 3)).toEqual(["c 10:229 rwm", "b 8:20 rw", "b 10:200 r"]);
  });

  one("are refused while somebody else's processes are in them, as with runc since 1.2", async () => {
    // runc looks at the devices controller alone.
    const [path = "", ...others] = ["pids", "devices"].map((controller) => `/sys/fs/cgroup/${controller}${top}-used`);
    for (const each of [path, ...others]) mkdirSync(each);
    const entering = [path, ...others].map((each) => `echo $$ > ${each}/cgroup.procs; `).join("");
    const sleeper = Bun.spawn(["sh", "-c", `${entering}echo in; exec sleep 30`], { stdout: "pipe" });
    await sleeper.stdout.getReader().read();
    const { code, stderr } = await runWith(tested, "true", { cgroupsPath: `${top}-used`, resources: {} });
    sleeper.kill();
    await sleeper.exited;
    for (const each of [path, ...others]) if (existsSync(each)) await removeCgroup(each);
    expect(code).toBe(1);
    if (notGantry() === undefined)
      expect(stderr).toMatch(/^gantry-runtime: cannot use the cgroup \S+-used: it has 1 process \(\/linux\/cgroupsPath\)\n$/);
  });

  own.each([
    ["/linux/resources/blockIO/leafWeight", { blockIO: { leafWeight: 100 } }],
    ["/linux/resources/network/classID", { network: { classID: 1048577 } }],
    ["/linux/resources/rdma/mlx5", { rdma: { mlx5: { hcaHandles: 1 } } }],
    ["/linux/resources/unified/memory.high", { unified: { "memory.high": "1000000" } }],
    ["/linux/resources/hugepageLimits/0", { hugepageLimits: [{ pageSize: "3MB", limit: 1 }] }],
  ])("cannot hold %s on this kernel, which is refused by name", async (pointer, limits) => {
    const has = readFileSync("/proc/self/cgroup", "utf8");
    const { code, stderr } = await runWith(runtimePath, "true", { cgroupsPath: `${top}/n`, resources: limits });
    if (pointer.includes("network") && has.includes("net_cls")) return;
    expect({ code, isNamed: stderr.includes(pointer) }).toEqual({ code: 1, isNamed: true });
    expect(existsSync(`/sys/fs/cgroup/memory${top}`)).toBe(false);
  });
});
