import { describe, expect, test } from "bun:test";
import { stepsInOrder } from "#program/encode.ts";
import type { Op } from "#program/ops.gen.ts";
import { parseRuntimeConfig } from "#spec/runtime-config.ts";
import { unknownCgroupFiles } from "../cgroup-facts.ts";
import type { HostFacts } from "../facts.ts";
import { rootUserFacts } from "../user-facts.ts";
import { compileContainer, type ContainerInput } from "./compile.ts";
import { normalizePath } from "./context.ts";
import { executableCandidates } from "./process.ts";
import { mountPointOf } from "./rootfs.ts";

const facts: HostFacts = {
  uid: 0,
  gid: 0,
  arch: "x64",
  kernel: "6.12.0",
  capabilities: { effective: 2 ** 41 - 1, bounding: 2 ** 41 - 1, last: 40 },
  namespaces: ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"],
  cgroup: { version: "none", hierarchies: [] },
  mountPoints: ["/", "/srv"],
  readLink: () => undefined,
  isDirectory: (path) => (path.startsWith("/srv/missing") ? undefined : path.startsWith("/srv")),
  findCpuset: () => undefined,
  cgroupFiles: unknownCgroupFiles,
  user: rootUserFacts,
  isSetgroupsDenied: (path) => path === "/proc/7/ns/user",
  readAppArmor: () => "off",
  isSelinuxEnabled: () => false,
  findResctrl: () => undefined,
  readSchemata: () => undefined,
};

interface Config {
  [key: string]: unknown;
}

function compile(config: Config, more: Partial<ContainerInput> = {}): { ops: Op[]; warnings: readonly string[] } {
  const whole = {
    ociVersion: "1.3.0",
    root: { path: "rootfs" },
    process: { cwd: "/", args: ["sh"] },
    linux: { namespaces: [{ type: "mount" }] },
    ...config,
  };
  const input: ContainerInput = {
    config: parseRuntimeConfig(whole),
    bundle: "/srv/b",
    id: "c",
    facts,
    supervision: { kind: "foreground" },
    ...more,
  };
  const { program, warnings } = compileContainer(input);
  return { ops: stepsInOrder(program).map(({ op }) => op), warnings };
}

function find<K extends Op["op"]>(ops: readonly Op[], name: K): Extract<Op, { op: K }>[] {
  return ops.filter((op): op is Extract<Op, { op: K }> => op.op === name);
}

function compileMount(mount: Config, more?: Partial<ContainerInput>): Op[] {
  const { ops } = compile({ mounts: [mount] }, more);
  const start = ops.findIndex(({ op }) => op === "root") + 1;
  return ops.slice(
    start,
    ops.findIndex((op) => op.op === "ensure-directory" && op.path === "/dev"),
  );
}

test("what is not implemented is refused with its JSON Pointer", () => {
  const linux = { namespaces: [{ type: "mount" }] };
  const cases: [string, Config][] = [
    ["/linux/intelRdt", { linux: { ...linux, intelRdt: {} } }],
    ["/mounts/0/options", { mounts: [{ destination: "/a", type: "proc", options: ["tmpcopyup"] }] }],
    ["/mounts/0/options", { mounts: [{ destination: "/a", source: "/srv", options: ["bind", "idmap"] }] }],
    ["/mounts/0/options", { mounts: [{ destination: "/a", source: "/srv", options: ["bind", "idmap=uids=0-1-1"] }] }],
    ["/mounts/0/destination", { mounts: [{ destination: "/proc/", type: "tmpfs" }] }],
    ["/mounts/0/uidMappings", { mounts: [{ destination: "/a", type: "bind", source: "/srv", uidMappings: [], gidMappings: [] }] }],
  ];
  for (const [at, config] of cases) {
    expect(() => compile(config)).toThrow(`cannot honour ${at}: `);
    expect(() => compile(config)).toThrow(expect.objectContaining({ code: "unsupported", details: { pointer: at } }));
  }
});

test("sections of other platforms and unknown properties are passed over", () => {
  expect(() => compile({ windows: { layerFolders: ["x"] }, solaris: {}, somethingNew: 1 })).not.toThrow();
});

test("a limit without its controller is refused, and named", () => {
  expect(() => compile({ linux: { namespaces: [{ type: "mount" }], resources: { pids: { limit: 5 } } } })).toThrow(
    "cannot honour /linux/resources/pids/limit: the pids controller is not available here",
  );
});

test("a namespace that the kernel has not is refused", () => {
  expect(() => compile({ linux: { namespaces: [{ type: "mount" }, { type: "time" }] } })).toThrow(
    "/linux/namespaces/1: this kernel has no time namespaces",
  );
});

test("a bind mount of a file gets a file to be mounted on, of a directory a directory", () => {
  expect(compileMount({ destination: "/f", source: "/etc/hosts", options: ["bind"] })).toEqual([
    { op: "ensure-file", path: "/f", mode: 0o755 },
    { op: "bind", source: "/etc/hosts", target: "/f", recursive: 0 },
  ]);
  expect(compileMount({ destination: "/d", source: "data", options: ["rbind"] })).toEqual([
    { op: "ensure-directory", path: "/d", mode: 0o755 },
    { op: "bind", source: "/srv/b/data", target: "/d", recursive: 1 },
  ]);
});

test("a bind mount is read-only before it has a place, which could be swapped; its propagation is changed on its own", () => {
  expect(compileMount({ destination: "/d", source: "/srv/d", options: ["rbind", "ro", "rprivate"] })).toEqual([
    { op: "ensure-directory", path: "/d", mode: 0o755 },
    { op: "open-source", slot: 255, path: "/srv/d", recursive: 1, propagation: 0 },
    { op: "slot-attributes", slot: 255, set: 1, clear: 0, recursive: 0 },
    { op: "attach", slot: 255, target: "/d", flags: 0 },
    { op: "propagation", path: "/d", flags: 0x44000 },
  ]);
});

test("a bind mount whose source is missing is refused before anything runs", () => {
  expect(() => compile({ mounts: [{ destination: "/d", source: "/srv/missing", options: ["bind"] }] })).toThrow(
    "cannot bind /srv/missing at /d: no such file or directory (/mounts/0/source)",
  );
});

test("options of a file system on a bind mount are left out with a warning", () => {
  const { warnings } = compile({ mounts: [{ destination: "/d", source: "/srv/d", options: ["bind", "size=1k"] }] });
  expect(warnings).toEqual(['ignored /mounts/0/options: a bind mount has no options of its own file system ("size=1k")']);
});

test("a relative destination is taken below / with a warning", () => {
  const { ops, warnings } = compile({ mounts: [{ destination: "a/../b", type: "tmpfs", options: ["mode=755"] }] });
  expect(find(ops, "mount").map(({ target }) => target)).toContain("/b");
  expect(warnings.length).toBe(1);
});

test("a read-only tmpfs stays writable until everything is in it", () => {
  const { ops } = compile({ mounts: [{ destination: "/dev", type: "tmpfs", options: ["ro", "nosuid"] }] });
  expect(find(ops, "new-filesystem")[0]?.attributes).toBe(2);
  const closing = ops.findIndex((op) => op.op === "mount-attributes" && op.target === "/dev" && op.set === 1);
  expect(closing).toBeGreaterThan(ops.findIndex(({ op }) => op === "make-symlink"));
});

test("a block device that is mounted read-only says so to its file system too", () => {
  const [, mount] = compileMount({ destination: "/d", type: "ext4", source: "/dev/sda1", options: ["ro", "errors=panic"] });
  expect(mount).toMatchObject({ op: "mount", options: ["ro", "errors=panic"], attributes: 1 });
});

test("lower layers that are too long for one option are given one by one, where the kernel can", () => {
  const layers = Array.from({ length: 20 }, (_, index) => `/layers/with-a-long-name/${index}`);
  const mount = { destination: "/o", type: "overlay", source: "overlay", options: [`lowerdir=${layers.join(":")}`] };
  expect(compileMount(mount)[1]).toMatchObject({ options: layers.map((layer) => `lowerdir+=${layer}`) });
  expect(() => compileMount(mount, { facts: { ...facts, kernel: "6.1.0" } })).toThrow(
    'the value of "lowerdir" has 549 bytes, and the kernel takes 255',
  );
});

test("the groups change before the user, and capabilities after it", () => {
  const { ops } = compile({ process: { cwd: "/", args: ["sh"], user: { uid: 5, gid: 6, additionalGids: [7, 70000] } } });
  const names = ops.map(({ op }) => op);
  const order = ["bounding", "keep-capabilities", "groups", "gid", "uid", "capabilities", "ambient", "exec"] as const;
  const places = order.map((name) => names.lastIndexOf(name));
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  expect([...(find(ops, "groups")[0]?.gids ?? [])]).toEqual([7, 0, 0, 0, 112, 17, 1, 0]);
});

test("a joined user namespace that denies setgroups gets no groups, and further ones are refused", () => {
  const joined = (path: string): Config => ({ linux: { namespaces: [{ type: "mount" }, { type: "user", path }] } });
  expect(find(compile(joined("/proc/8/ns/user")).ops, "groups").length).toBe(1);
  expect(find(compile(joined("/proc/7/ns/user")).ops, "groups")).toEqual([]);
  const process = { cwd: "/", args: ["sh"], user: { uid: 0, gid: 0, additionalGids: [5] } };
  expect(() => compile({ ...joined("/proc/7/ns/user"), process })).toThrow("cannot honour /process/user/additionalGids");
});

test("2^64-1 survives as a resource limit, though JSON numbers cannot hold it", () => {
  const rlimits = [{ type: "RLIMIT_CORE", soft: 0, hard: 2 ** 64 }];
  const { ops } = compile({ process: { cwd: "/", args: ["sh"], rlimits } });
  expect(find(ops, "rlimit")[0]).toEqual({ op: "rlimit", resource: 4, soft: 0n, hard: 2n ** 64n - 1n });
});

test("created containers wait for `start` just before they run their program, and are not supervised", () => {
  const { ops } = compile({}, { supervision: { kind: "create", failure: "/run/c/failed", fifo: "/run/c/start" } });
  expect(ops.map(({ op }) => op).slice(-2)).toEqual(["await-start", "exec"]);
  expect(find(ops, "supervise")).toEqual([]);
  expect(find(ops, "cleanup")).toEqual([]);
  expect(find(ops, "await-ready").length).toBe(1);
  const names = ops.map(({ op }) => op);
  expect(names.indexOf("open-start")).toBeLessThan(names.indexOf("pivot-root"));
});

test("executableCandidates() looks where execvp() would", () => {
  expect(executableCandidates("sh", ["A=1", "PATH=/a:/b/::c", "PATH=/d"])).toEqual(["/a/sh", "/b/sh", "./sh", "c/sh"]);
  expect(executableCandidates("sh", [])).toEqual(["/bin/sh", "/usr/bin/sh"]);
  expect(executableCandidates("./sh", ["PATH=/a"])).toEqual(["./sh"]);
});

test("mountPointOf() finds the mount that a path lies on", () => {
  const points = ["/", "/srv", "/srv/a", "/srv/ab"];
  expect(["/srv/a/x", "/srv/ab", "/srv/abc", "/etc"].map((path) => mountPointOf(points, path))).toEqual(["/srv/a", "/srv/ab", "/srv", "/"]);
});

test("normalizePath() never leads above the top", () => {
  expect(["/a//b/./c/", "a/../../b", "/..", ""].map(normalizePath)).toEqual(["/a/b/c", "/b", "/", "/"]);
});

describe("a system call filter", () => {
  const rules = (action: string, ...names: string[]): Config => ({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names, action }] });
  const withFilter = (seccomp: Config, process: Config = {}): ReturnType<typeof compile> =>
    compile({ process: { cwd: "/", args: ["sh"], ...process }, linux: { namespaces: [{ type: "mount" }], seccomp } });

  test("is kept as the last step before exec, whose right to load it lasts until then only without noNewPrivileges", () => {
    for (const noNewPrivileges of [true, false]) {
      const { ops } = withFilter(rules("SCMP_ACT_ERRNO", "getcwd"), { noNewPrivileges });
      expect(ops.slice(-2).map(({ op }) => op)).toEqual(["seccomp", "exec"]);
      expect(find(ops, "capabilities")[0]?.permitted).toBe(noNewPrivileges ? 0 : 2 ** 21);
    }
  });

  test("is absent when the profile is empty", () => {
    expect(find(withFilter({}).ops, "seccomp")).toEqual([]);
    expect(find(withFilter({ defaultAction: "" }).ops, "seccomp")).toEqual([]);
  });

  test("takes the flags as given, but for those without meaning here, and SPEC_ALLOW when none are given", () => {
    const flags = (...names: string[]): number | undefined =>
      find(withFilter({ ...rules("SCMP_ACT_ERRNO", "getcwd"), flags: names }).ops, "seccomp")[0]?.flags;
    expect(flags("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")).toBe(2);
    expect(flags()).toBe(0);
    expect(find(withFilter(rules("SCMP_ACT_ERRNO", "getcwd")).ops, "seccomp")[0]?.flags).toBe(4);
  });

  test("with a listener is connected for before the clone, and needs sendmsg", () => {
    const { ops } = withFilter({ ...rules("SCMP_ACT_NOTIFY", "mkdir"), listenerPath: "/run/agent", listenerMetadata: 'a"b' });
    expect(ops.findIndex(({ op }) => op === "open-listener")).toBeLessThan(ops.findIndex(({ op }) => op === "clone"));
    const state = JSON.parse(find(ops, "seccomp-listener")[0]?.message.join("7") ?? "") as Config;
    expect(state).toMatchObject({
      fds: ["seccompFd"],
      pid: 7,
      metadata: 'a"b',
      state: { id: "c", status: "creating", pid: 7, bundle: "/srv/b" },
    });
    expect(() => withFilter({ ...rules("SCMP_ACT_NOTIFY", "sendmsg"), listenerPath: "/run/agent" })).toThrow("sendmsg must be allowed");
  });
});
