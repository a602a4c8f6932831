import { expect, test } from "bun:test";
import { parseRuntimeConfig } from "../runtime-config.ts";
import { findConfigProblems } from "./config.ts";

interface Config {
  [key: string]: unknown;
}

function problems(process: Config, linux: Config = {}): string[] {
  const config = {
    ociVersion: "1.3.0",
    root: { path: "rootfs" },
    process: { cwd: "/", args: ["sh"], ...process },
    linux: { namespaces: [{ type: "mount" }], ...linux },
  };
  return findConfigProblems(parseRuntimeConfig(config)).map(({ at, says }) => `${at}: ${says}`);
}

function scheduler(value: Config): string[] {
  return problems({ scheduler: value }).map((line) => line.replace("/process/scheduler/", ""));
}

test("a scheduler has a known policy and flags", () => {
  expect(scheduler({ policy: "SCHED_OTHER", nice: -20, flags: ["SCHED_FLAG_RESET_ON_FORK"] })).toEqual([]);
  expect(scheduler({ policy: "SCHED_FAIR", flags: ["toString"] })).toEqual([
    'policy: "SCHED_FAIR" is none of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE',
    expect.stringContaining('flags/0: "toString" is none of SCHED_FLAG_RESET_ON_FORK, ') as string,
  ]);
});

test("values of a scheduler belong to its policy", () => {
  expect(scheduler({ policy: "SCHED_BATCH", nice: 20 })).toEqual(["nice: 20 is not from -20 to 19"]);
  expect(scheduler({ policy: "SCHED_OTHER", priority: 1 })).toEqual(["priority: only SCHED_FIFO and SCHED_RR have one"]);
  expect(scheduler({ policy: "SCHED_RR" })).toEqual(["priority: SCHED_RR needs one from 1 to 99, and this is 0"]);
  expect(scheduler({ policy: "SCHED_FIFO", priority: 99 })).toEqual([]);
  expect(scheduler({ policy: "SCHED_IDLE", runtime: 1, period: 1 })).toEqual([
    "runtime: only SCHED_DEADLINE has one",
    "period: only SCHED_DEADLINE has one",
  ]);
});

test("a deadline lies between runtime and period", () => {
  const deadline = (runtime: number, deadline: number, period?: number): string[] =>
    scheduler({ policy: "SCHED_DEADLINE", runtime, deadline, ...(period === undefined ? {} : { period }) });
  expect(deadline(2000, 3000)).toEqual([]);
  expect(deadline(2000, 3000, 4000)).toEqual([]);
  expect(deadline(3000, 2000, 4000)).toEqual(["runtime: 3000 is above the deadline 2000"]);
  expect(deadline(2000, 5000, 4000)).toEqual(["deadline: 5000 is above the period 4000"]);
  expect(deadline(1023, 3000)).toEqual(["runtime: SCHED_DEADLINE needs one of at least 1024 ns, and this is 1023"]);
});

test("an I/O priority has a known class and a level from 0 to 7", () => {
  expect(problems({ ioPriority: { class: "IOPRIO_CLASS_IDLE", priority: 7 } })).toEqual([]);
  expect(problems({ ioPriority: { class: "IOPRIO_CLASS_NONE", priority: 8 } })).toEqual([
    '/process/ioPriority/class: "IOPRIO_CLASS_NONE" is none of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE',
    "/process/ioPriority/priority: 8 is not from 0 to 7",
  ]);
});

test("CPUs are lists of numbers", () => {
  expect(problems({ execCPUAffinity: { initial: "0", final: "0-3,7" } })).toEqual([]);
  expect(problems({ execCPUAffinity: { final: "3-0" } })).toEqual(['/process/execCPUAffinity/final: "3-0" is no list such as 0-3,7']);
});

test("a memory policy has the nodes that its mode needs", () => {
  const policy = (value: Config): string[] => problems({}, { memoryPolicy: value }).map((line) => line.replace("/linux/memoryPolicy/", ""));
  expect(policy({ mode: "MPOL_BIND", nodes: "0-1" })).toEqual([]);
  expect(policy({ mode: "MPOL_PREFERRED" })).toEqual([]);
  expect(policy({ mode: "MPOL_BIND" })).toEqual(["nodes: MPOL_BIND needs at least one node"]);
  expect(policy({ mode: "MPOL_DEFAULT", nodes: "0" })).toEqual(["nodes: MPOL_DEFAULT takes no nodes"]);
  expect(policy({ mode: "MPOL_BIND", nodes: "1024" })).toEqual(['nodes: "1024" is no list such as 0-3,7']);
  expect(policy({ mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"] })).toEqual([
    "flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other",
  ]);
  expect(policy({ mode: "MPOL_X", flags: ["X"] }).length).toBe(2);
});

test("a personality has a known domain, and no flags yet", () => {
  expect(problems({}, { personality: { domain: "LINUX32", flags: [] } })).toEqual([]);
  expect(problems({}, { personality: { domain: "BSD", flags: ["ADDR_NO_RANDOMIZE"] } })).toEqual([
    '/linux/personality/domain: "BSD" is none of LINUX, LINUX32',
    "/linux/personality/flags: the specification has no flags yet",
  ]);
});

test("network devices need a network namespace and names that the kernel takes", () => {
  const namespaces = [{ type: "mount" }, { type: "network" }];
  const devices = (netDevices: unknown): string[] => problems({}, { namespaces, netDevices });
  expect(devices({ eth0: {}, eth1: { name: "net%d" }, eth2: { name: "net%d" } })).toEqual([]);
  expect(problems({}, { netDevices: { eth0: {} } })).toEqual([
    "/linux/netDevices: there is no network namespace in /linux/namespaces to move them to",
  ]);
  for (const name of ["", "..", "a b", "a:b", "averyveryverylong", "eth%d"]) {
    expect(devices({ [name]: {} })).toEqual([`/linux/netDevices/${name}: it is no name of a network interface`]);
  }
  expect(devices({ "a/b": {} })).toEqual(["/linux/netDevices/a~1b: it is no name of a network interface"]);
  for (const name of ["%s", "a%d%d", "x%", "a/b"]) {
    expect(devices({ eth0: { name } })).toEqual([`/linux/netDevices/eth0/name: "${name}" is no name of a network interface`]);
  }
  expect(devices({ eth0: { name: "x" }, eth1: { name: "x" } })).toEqual(["/linux/netDevices/eth1: two interfaces would be x"]);
});

test("intelRdt names one directory, and schemata are lines", () => {
  const resctrl = (value: Config): string[] => problems({}, { intelRdt: value }).map((line) => line.replace("/linux/intelRdt/", ""));
  expect(resctrl({ closID: "/", schemata: ["L3:0=f"], memBwSchema: "MB:0=20", enableMonitoring: true })).toEqual([]);
  for (const closID of ["a/b", "..", ".", "/a"]) expect(resctrl({ closID })).toEqual([`closID: "${closID}" is no name of a directory`]);
  expect(resctrl({ memBwSchema: "L3:0=f", schemata: ["a\nb"] })).toEqual([
    'memBwSchema: it does not start with "MB:"',
    "schemata/0: it has more than one line",
  ]);
});
