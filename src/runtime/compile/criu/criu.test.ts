import { expect, test } from "bun:test";
import { rootUserFacts } from "../../user-facts.ts";
import { stepsInOrder, type Program } from "#program/encode.ts";
import type { Op } from "#program/ops.gen.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "#spec/runtime-config.ts";
import { unknownCgroupFiles } from "../../cgroup-facts.ts";
import type { CgroupHierarchy, HostFacts } from "../../facts.ts";
import { stateFiles } from "../../state-files.ts";
import type { ContainerRecord } from "../lifecycle.ts";
import { compileDump } from "./dump.ts";
import { joinedNamespaces, outsideMounts } from "./outside.ts";
import { encodeCriuRequest } from "./request.ts";
import { compileRestore } from "./restore.ts";
import type { CriuCall } from "./talk.ts";

const hierarchy = (name: string): CgroupHierarchy => ({ controllers: [name], mountPoint: `/sys/fs/cgroup/${name}`, own: "/" });

const facts: HostFacts = {
  uid: 0,
  gid: 0,
  arch: "x64",
  kernel: "6.12.0",
  capabilities: { effective: 2 ** 41 - 1, bounding: 2 ** 41 - 1, last: 40 },
  namespaces: ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"],
  cgroup: { version: "v1", hierarchies: [hierarchy("freezer"), hierarchy("pids")] },
  mountPoints: ["/"],
  readLink: () => undefined,
  isDirectory: (path) => (path === "/data/file" ? false : path.startsWith("/sys/fs/cgroup") ? undefined : true),
  findCpuset: () => undefined,
  isSetgroupsDenied: () => false,
  cgroupFiles: unknownCgroupFiles,
  user: rootUserFacts,
  readAppArmor: () => "off",
  isSelinuxEnabled: () => false,
  findResctrl: () => undefined,
  readSchemata: () => undefined,
};

const config: RuntimeConfig = parseRuntimeConfig({
  ociVersion: "1.3.0",
  root: { path: "rootfs" },
  process: { cwd: "/", args: ["sh"] },
  mounts: [
    { destination: "/run", type: "tmpfs", source: "tmpfs" },
    { destination: "/run/inner", type: "bind", source: "/data", options: ["bind"] },
    { destination: "/etc/file", source: "/data/file", options: ["rbind"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup" },
  ],
  linux: { namespaces: [{ type: "mount" }, { type: "pid" }, { type: "network", path: "/run/netns/a" }], maskedPaths: ["/proc/keys"] },
});

const call: CriuCall = { program: "/usr/sbin/criu", environment: ["PATH=/bin"], imagePath: "/img", workPath: "/work" };
const files = stateFiles("/run/gantry/c");
const record: ContainerRecord = {
  id: "c",
  bundle: "/b",
  rootfs: "/b/rootfs",
  config,
  cgroups: ["/sys/fs/cgroup/freezer/c", "/sys/fs/cgroup/pids/c"],
  freezer: "/sys/fs/cgroup/freezer/c/freezer.state",
  cleanup: [],
};

function dump(how: { preDump?: boolean; leaveRunning?: boolean } = {}): Program {
  const subject = {
    pid: 300,
    descriptors: ["file[1a:2b]", "pipe:[7]", "pipe:[7]"],
    maskedFiles: ["/proc/keys"],
    resolve: (path: string) => path,
    namespaceInode: () => "4026",
  };
  return compileDump({ call, record, files, facts, subject, preDump: false, leaveRunning: false, options: { tcpEstablished: 1 }, ...how });
}

function restore(change: Partial<RuntimeConfig> = {}): Program {
  return compileRestore({
    call,
    config: { ...config, ...change },
    bundle: "/b",
    id: "c",
    facts,
    supervision: { kind: "detached", recordChild: files.child, created: files.created },
    cgroupManager: "cgroupfs",
    begin: () => [],
    mountPoint: "/run/gantry/c/criu-root",
    descriptors: ["/dev/null", "pipe:[7]", "file[1a:2b]"],
    resolve: (path) => path,
    options: {},
    warn: () => undefined,
  });
}

function opsOf(program: Program): Op[] {
  return stepsInOrder(program).map(({ op }) => op);
}

/** The texts in a request, which are what is worth looking at. */
function requestOf(program: Program): string {
  const found = opsOf(program).find((op) => op.op === "request-criu");
  return found === undefined ? "" : Buffer.from(found.request).toString("latin1");
}

test("requests are protocol buffers", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  // type: DUMP, opts { images_dir_fd: 4, pid: 300, root: "/a", external: ["x", "y"] }
  expect(hex(encodeCriuRequest("dump", { imagesDirectoryFd: 4, pid: 300, root: "/a", external: ["x", "y"] }))).toBe(
    "08011211080410ac026a022f61aa020178aa020179",
  );
  // type: RESTORE, opts { cg_root: [{ ctrl: "", path: "/c" }], empty_ns: 0x40000000 }
  expect(hex(encodeCriuRequest("restore", { cgroupRoots: [["", "/c"]], emptyNamespaces: 0x40000000 }))).toBe(
    "08021210ca01060a0012022f63b0028080808004",
  );
  // type: PRE_DUMP, opts { ps { address: "h", port: 9 } }
  expect(hex(encodeCriuRequest("pre-dump", { pageServer: ["h", 9] }))).toBe("080412075a050a01681009");
});

test("a dump tells criu what is not the container's own", () => {
  const request = requestOf(dump());
  for (const text of ["mnt[/run/inner]:/run/inner", "mnt[/etc/file]:/etc/file", "mnt[/sys/fs/cgroup/pids]:/sys/fs/cgroup/pids"])
    expect(request).toContain(text);
  for (const text of ["mnt[/proc/keys]:/dev/null", "net[4026]:extRootNetNS", "file[1a:2b]", "/sys/fs/cgroup/freezer/c", "dump.log"])
    expect(request).toContain(text);
  expect(request).not.toContain("pipe:");
});

test("what is left of a container is removed after a dump, unless it goes on", () => {
  const names = (program: Program): string[] => opsOf(program).map(({ op }) => op);
  expect(names(dump())).toContainValues(["end-criu", "require-ended", "remove-tree"]);
  for (const program of [dump({ leaveRunning: true }), dump({ preDump: true })]) {
    expect(names(program)).not.toContain("require-ended");
    expect(program.cleanup).toEqual([]);
  }
  expect(names(dump({ preDump: true }))).not.toContain("create-file");
});

test("a restore hands criu what was left out, in the container's new cgroups", () => {
  const request = requestOf(restore());
  for (const text of ["mnt[/run/inner]:/data", "mnt[/etc/file]:/data/file", "mnt[/sys/fs/cgroup/pids]:/sys/fs/cgroup/pids/c"])
    expect(request).toContain(text);
  for (const text of ["mnt[/dev/null]:/dev/null", "extRootNetNS", "pipe:[7]", "file[1a:2b]", "/run/gantry/c/criu-root"])
    expect(request).toContain(text);
});

test("mount points are made where they may be missing, but not on a tmpfs, and nothing stays mounted on the way", () => {
  const child = (restore().children[0] ?? []).map(({ op }) => op);
  const places = child.filter((op) => op.op === "ensure-file" || op.op === "ensure-directory").map(({ path }) => path);
  expect(places).toEqual(["/run/gantry/c/criu-root", "/run", "/etc/file"]);
  const targets = (kind: "bind" | "unmount"): string[] => child.flatMap((op) => (op.op === kind ? [op.target] : []));
  expect(targets("bind")).toEqual(["/run/gantry/c/criu-root", "/etc/file"]);
  expect(targets("unmount")).toEqual(["/etc/file"]);
  expect(child.filter((op) => op.op === "keep-descriptor").map(({ path, fd }) => `${fd} ${path}`)).toEqual([
    "4 /img",
    "5 /work",
    "6 /run/netns/a",
  ]);
});

test("hooks wait for the namespaces", () => {
  const ops = opsOf(restore({ hooks: { createRuntime: [{ path: "/bin/hook" }] } })).map((op) =>
    op.op === "await-criu" ? `await ${op.notice}` : op.op,
  );
  expect(ops.slice(ops.indexOf("request-criu"), ops.indexOf("record-child"))).toEqual([
    "request-criu",
    "await setup-namespaces",
    "hook",
    "await ",
    "end-criu",
  ]);
});

test("namespaces that are joined are criu's to join, and a cgroup namespace is refused", () => {
  const linux = { namespaces: [{ type: "ipc" as const, path: "/i" }, { type: "pid" as const, path: "/p" }, { type: "uts" as const }] };
  expect(joinedNamespaces({ ...config, linux })).toEqual([["ipc", "/i"]]);
  expect(() => joinedNamespaces({ ...config, linux: { namespaces: [{ type: "cgroup", path: "/c" }] } })).toThrow("/linux/namespaces/0");
});

test("in a user namespace the devices are the host's, and cgroups with their namespace are mounted anew", () => {
  const linux = { namespaces: [{ type: "user" as const }, { type: "cgroup" as const }] };
  const input = {
    bundle: "/b",
    cgroups: [{ hierarchy: hierarchy("pids"), path: "/x" }],
    isUnified: false,
    resolve: (path: string) => path,
  };
  const inside = outsideMounts({ ...input, config: { ...config, linux } }).map((mount) => mount.inside);
  expect(inside).toContain("/dev/null");
  expect(inside).not.toContain("/sys/fs/cgroup/pids");
});
