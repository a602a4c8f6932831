import { expect, test } from "bun:test";
import type { Op } from "#program/ops.gen.ts";
import { stepsInOrder } from "#program/encode.ts";
import { parseRuntimeConfig } from "#spec/runtime-config.ts";
import { unknownCgroupFiles } from "../cgroup-facts.ts";
import type { HostFacts } from "../facts.ts";
import { rootUserFacts } from "../user-facts.ts";
import { compileContainer } from "./compile.ts";
import { compileResctrlUpdate, parseSchemata } from "./resctrl.ts";
import { bitMask, compileExecAffinity } from "./scheduling.ts";

const facts: HostFacts = {
  uid: 0,
  gid: 0,
  arch: "x64",
  kernel: "6.12.0",
  capabilities: { effective: 2 ** 41 - 1, bounding: 2 ** 41 - 1, last: 40 },
  namespaces: ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"],
  cgroup: { version: "none", hierarchies: [] },
  mountPoints: ["/"],
  readLink: () => undefined,
  isDirectory: () => true,
  findCpuset: () => undefined,
  isSetgroupsDenied: () => false,
  cgroupFiles: unknownCgroupFiles,
  user: rootUserFacts,
  readAppArmor: () => "off",
  isSelinuxEnabled: () => false,
  findResctrl: () => "/sys/fs/resctrl",
  readSchemata: () => undefined,
};

interface Config {
  [key: string]: unknown;
}

function compile(
  { process = {}, linux = {}, ...more }: { process?: Config; linux?: Config } & Config,
  others: Partial<HostFacts> = {},
): { ops: Op[]; warnings: readonly string[] } {
  const config = parseRuntimeConfig({
    ociVersion: "1.3.0",
    root: { path: "rootfs" },
    process: { cwd: "/", args: ["sh"], ...process },
    linux: { namespaces: [{ type: "mount" }, { type: "network" }], ...linux },
    ...more,
  });
  const { program, warnings } = compileContainer({
    config,
    bundle: "/b",
    id: "c",
    facts: { ...facts, ...others },
    supervision: { kind: "foreground" },
  });
  return { ops: stepsInOrder(program).map(({ op }) => op), warnings };
}

function find<K extends Op["op"]>(ops: readonly Op[], name: K): Extract<Op, { op: K }>[] {
  return ops.filter((op): op is Extract<Op, { op: K }> => op.op === name);
}

test("bit masks are words of 64 bits", () => {
  expect([...bitMask([])]).toEqual([]);
  expect([...bitMask([0, 3])]).toEqual([9, 0, 0, 0, 0, 0, 0, 0]);
  expect(bitMask([64]).length).toBe(16);
  expect(bitMask([64])[8]).toBe(1);
});

test("execCPUAffinity is for exec: initial before the cgroups, final after, nothing for what is not given", () => {
  const { initial, final } = compileExecAffinity({ cwd: "/", execCPUAffinity: { initial: "1" } });
  expect(initial).toEqual([{ op: { op: "cpu-affinity", cpus: bitMask([1]) }, origin: "/process/execCPUAffinity/initial" }]);
  expect(final).toEqual([]);
  expect(find(compile({ process: { execCPUAffinity: { final: "0" } } }).ops, "cpu-affinity")).toEqual([]);
});

test("scheduling comes before the change of credentials, which would lose the right to it", () => {
  const { ops } = compile({ process: { scheduler: { policy: "SCHED_FIFO", priority: 5 }, user: { uid: 7, gid: 7 } } });
  const names = ops.map(({ op }) => op);
  expect(names.indexOf("scheduler")).toBeGreaterThan(0);
  expect(names.indexOf("scheduler")).toBeLessThan(names.indexOf("bounding"));
});

test("SCHED_ISO, which no kernel has, is refused, and a nice value without meaning is a warning", () => {
  expect(() => compile({ process: { scheduler: { policy: "SCHED_ISO" } } })).toThrow(
    "cannot honour /process/scheduler/policy: no kernel has SCHED_ISO",
  );
  expect(compile({ process: { scheduler: { policy: "SCHED_IDLE", nice: 3 } } }).warnings).toEqual([
    "ignored /process/scheduler/nice: SCHED_IDLE has no nice value",
  ]);
});

test("an I/O priority has its class above its level", () => {
  expect(find(compile({ process: { ioPriority: { class: "IOPRIO_CLASS_BE", priority: 4 } } }).ops, "io-priority")).toEqual([
    { op: "io-priority", value: 0x4004 },
  ]);
});

test("an AppArmor profile is entered by the next exec, or added to the present one without new privileges", () => {
  const write = (noNewPrivileges: boolean, state: "confined" | "unconfined"): string[] =>
    find(compile({ process: { apparmorProfile: "p", noNewPrivileges } }, { readAppArmor: () => state }).ops, "write").map(
      ({ data }) => data,
    );
  expect(write(true, "unconfined")).toEqual(["exec p"]);
  expect(write(false, "confined")).toEqual(["exec p"]);
  expect(write(true, "confined")).toEqual(["stack p"]);
});

test("security labels are written before anything of the container is mounted", () => {
  const { ops } = compile(
    { process: { apparmorProfile: "p", selinuxLabel: "l" } },
    { readAppArmor: () => "unconfined", isSelinuxEnabled: () => true },
  );
  const names = ops.map(({ op }) => op);
  expect(names.lastIndexOf("write")).toBeLessThan(names.indexOf("root"));
  expect(find(ops, "write").map(({ path }) => path)).toEqual([
    "/proc/self/attr/apparmor/exec",
    "/proc/self/attr/exec",
    "/proc/self/attr/keycreate",
  ]);
});

test("questions about security modules and resctrl are not asked for a config without them", () => {
  const never = (): never => {
    throw new Error("asked");
  };
  expect(compile({}, { readAppArmor: never, isSelinuxEnabled: never, findResctrl: never, readSchemata: never }).warnings).toEqual([]);
});

test("mounts are labelled where SELinux is, by the option that the annotation names", () => {
  const mounts = [
    { destination: "/proc", type: "proc" },
    { destination: "/t", type: "tmpfs" },
    { destination: "/q", type: "mqueue" },
    { destination: "/b", type: "bind", source: "/s" },
  ];
  const options = (isSelinux: boolean, annotations: Config = {}): (readonly string[])[] =>
    compile({ mounts, annotations, linux: { mountLabel: "a:b,c" } }, { isSelinuxEnabled: () => isSelinux }).ops.flatMap((op) =>
      op.op === "mount" || op.op === "new-filesystem" ? [op.options] : [],
    );
  expect(options(true)).toEqual([[], ["context=a:b,c"], []]);
  expect(options(true, { "run.oci.mount_context_type": "rootcontext" })).toEqual([[], ["rootcontext=a:b,c"], []]);
  expect(() => options(true, { "run.oci.mount_context_type": "x" })).toThrow("cannot honour /annotations/run.oci.mount_context_type");
  expect(options(false)).toEqual([[], [], []]);
  const { ops } = compile({ mounts, linux: { mountLabel: "l" } }, { isSelinuxEnabled: () => true });
  expect(find(ops, "label-directory")).toEqual([{ op: "label-directory", path: "/q", label: "l" }]);
});

test("the session keyring is the container's own, and searchable by those who are in it", () => {
  expect(find(compile({}).ops, "session-keyring")).toEqual([{ op: "session-keyring", name: "_ses.c", permissions: 0x80000 }]);
  const mapping = [{ containerID: 0, hostID: 1000, size: 10 }];
  const linux = { namespaces: [{ type: "mount" }, { type: "user" }], uidMappings: mapping, gidMappings: mapping };
  expect(find(compile({ linux }).ops, "session-keyring")).toEqual([{ op: "session-keyring", name: "_ses.c", permissions: 0x8_0008 }]);
});

test("moving network interfaces needs root", () => {
  const linux = { netDevices: { eth0: {} } };
  expect(() => compile({ linux }, { capabilities: { effective: 0, bounding: 0, last: 40 } })).toThrow("cannot honour /linux/netDevices");
});

test("schemata are compared without blanks, case and leading zeros", () => {
  expect([...parseSchemata([" L3:0=0F; 1=1f ", "MB:0= 020"])]).toEqual([
    ["L3:0", "f"],
    ["L3:1", "1f"],
    ["MB:0", "20"],
  ]);
});

test("update writes other schemata to the group that the container has, and nothing elsewhere", () => {
  const change = (linux: Config, present: string | undefined, schemata: Config): unknown =>
    compileResctrlUpdate({ linux, id: "c", facts: { ...facts, readSchemata: () => present } }, schemata).map(({ op }) => op);
  const write = { op: "write", path: "/sys/fs/resctrl/c/schemata", data: "L3:0=3\nMB:0=20\n", fsMagic: 0x7655821 };
  expect(change({ intelRdt: {} }, "L3:0=f\n", { l3CacheSchema: "L3:0=3", memBwSchema: "MB:0=20" })).toEqual([write]);
  expect(change({ intelRdt: { closID: "gold" } }, "L3:0=f\n", { l3CacheSchema: "L3:0=3" })).toEqual([
    { ...write, path: "/sys/fs/resctrl/gold/schemata", data: "L3:0=3\n" },
  ]);
  expect(change({}, undefined, { l3CacheSchema: "", memBwSchema: "" })).toEqual([]);
  expect(() => change({}, undefined, { memBwSchema: "MB:0=20" })).toThrow("the container was made without shares of caches");
});

test("intelRdt with a closID joins a directory that agrees, makes one with schemata, and refuses the rest", () => {
  const resctrl = (intelRdt: Config, present?: string): Op[] => compile({ linux: { intelRdt } }, { readSchemata: () => present }).ops;
  const joined = resctrl({ closID: "gold" }, "L3:0=f\n");
  expect(find(joined, "child-pid").map(({ path }) => path)).toEqual(["/sys/fs/resctrl/gold/tasks"]);
  expect(find(joined, "remove-directory")).toEqual([]);
  expect(() => resctrl({ closID: "gold" })).toThrow("cannot join /sys/fs/resctrl/gold: there is no such directory");
  expect(() => resctrl({ closID: "gold", l3CacheSchema: "L3:0=3" }, "L3:0=f\n")).toThrow("its schemata have f for L3:0, not 3");
  const made = resctrl({ closID: "gold", l3CacheSchema: "L3:0=3" });
  expect(find(made, "write")).toEqual([{ op: "write", path: "/sys/fs/resctrl/gold/schemata", data: "L3:0=3\n", fsMagic: 0x7655821 }]);
  expect(find(made, "remove-directory")).toEqual([]);
  expect(find(resctrl({ closID: "/" }, ""), "child-pid").map(({ path }) => path)).toEqual(["/sys/fs/resctrl/tasks"]);
});

test("intelRdt without a closID makes a directory of the container's id and removes it, unless it was there", () => {
  const resctrl = (present?: string): Op[] => compile({ linux: { intelRdt: {} } }, { readSchemata: () => present }).ops;
  expect(find(resctrl(), "remove-directory")).toEqual([{ op: "remove-directory", path: "/sys/fs/resctrl/c" }]);
  expect(find(resctrl("L3:0=f\n"), "remove-directory")).toEqual([]);
  expect(() => compile({ linux: { intelRdt: {} } }, { findResctrl: () => undefined })).toThrow(
    "cannot honour /linux/intelRdt: the resctrl file system is not mounted",
  );
});

test("sections of other platforms are passed over with a warning, and a virtual machine is refused", () => {
  expect(compile({ windows: {}, zos: {} }).warnings).toEqual([
    "ignored /windows: it is for another platform",
    "ignored /zos: it is for another platform",
  ]);
  expect(() => compile({ vm: { kernel: { path: "/k" } } })).toThrow("cannot honour /vm: ");
});

test("kept groups leave those of the config out, with a warning", () => {
  const annotations = { "run.oci.keep_original_groups": "1" };
  const { ops, warnings } = compile({ annotations, process: { user: { uid: 0, gid: 0, additionalGids: [5] } } });
  expect(find(ops, "groups")).toEqual([]);
  expect(warnings).toEqual(["ignored /process/user/additionalGids: /annotations/run.oci.keep_original_groups keeps the caller's groups"]);
});
