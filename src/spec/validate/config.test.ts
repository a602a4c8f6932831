import { expect, test } from "bun:test";
import { parseRuntimeConfig } from "../runtime-config.ts";
import { configChecks, findConfigProblems, requireValidConfig } from "./config.ts";

interface Config {
  [key: string]: unknown;
}

const minimal = {
  ociVersion: "1.3.0",
  root: { path: "rootfs" },
  process: { cwd: "/", args: ["sh"] },
  linux: { namespaces: [{ type: "mount" }] },
};

function problems(config: Config): string[] {
  return findConfigProblems(parseRuntimeConfig({ ...minimal, ...config })).map(({ at, says }) => `${at}: ${says}`);
}

function linux(more: Config): string[] {
  return problems({ linux: { ...minimal.linux, ...more } });
}

function process(more: Config): string[] {
  return problems({ process: { ...minimal.process, ...more } });
}

test("a minimal config has no problems", () => {
  expect(problems({})).toEqual([]);
});

test("ociVersion must be SemVer of major version 1", () => {
  expect(problems({ ociVersion: "1.0.2-dev" })).toEqual([]);
  expect(problems({ ociVersion: "1.1.0+build" })).toEqual([]);
  expect(problems({ ociVersion: "v1.0.0" })).toEqual(['/ociVersion: "v1.0.0" is no SemVer 2.0.0 version']);
  expect(problems({ ociVersion: "1.0" })).toEqual(['/ociVersion: "1.0" is no SemVer 2.0.0 version']);
  expect(problems({ ociVersion: "2.0.0" })).toEqual(["/ociVersion: version 2.0.0 is not one of 1.x"]);
});

test("a config without root, or with an empty path, is refused", () => {
  expect(problems({ root: null })).toEqual(["/root: it is missing"]);
  expect(problems({ root: { path: "" } })).toEqual(["/root/path: it is empty"]);
});

test("process needs an absolute cwd and arguments", () => {
  expect(process({ cwd: "tmp" })).toEqual(['/process/cwd: "tmp" is no absolute path']);
  expect(process({ args: [] })).toEqual(["/process/args: at least one entry is needed"]);
  expect(process({ args: [""] })).toEqual(["/process/args/0: it is empty"]);
});

test("resource limits must be known, given once, and soft at most hard", () => {
  expect(process({ rlimits: [{ type: "RLIMIT_FUN", soft: 1, hard: 1 }] })).toEqual([
    '/process/rlimits/0/type: "RLIMIT_FUN" is no resource limit of Linux',
  ]);
  expect(process({ rlimits: [{ type: "RLIMIT_AS", soft: 2, hard: 1 }] })).toEqual(["/process/rlimits/0/soft: 2 is above the hard limit 1"]);
  const twice = { type: "RLIMIT_AS", soft: 1, hard: 1 };
  expect(process({ rlimits: [twice, twice] })).toEqual(['/process/rlimits/1/type: "RLIMIT_AS" is given twice']);
});

test("a host name needs a uts namespace", () => {
  const says = "there is no uts namespace in /linux/namespaces, so the host's name would change";
  expect(problems({ hostname: "x", domainname: "y" })).toEqual([`/hostname: ${says}`, `/domainname: ${says}`]);
  expect(problems({ hostname: "x", linux: { namespaces: [{ type: "uts" }] } })).toEqual([]);
  expect(problems({ hostname: "x".repeat(65), linux: { namespaces: [{ type: "uts" }] } })).toEqual([
    "/hostname: it is longer than 64 bytes",
  ]);
});

test("mounts need a destination, and a source or a type", () => {
  expect(problems({ mounts: [{ destination: "", type: "proc" }] })).toEqual(["/mounts/0/destination: it is empty"]);
  expect(problems({ mounts: [{ destination: "/a", options: ["bind"] }] })).toEqual(["/mounts/0/source: a bind mount needs one"]);
  expect(problems({ mounts: [{ destination: "/a" }] })).toEqual(["/mounts/0/type: a mount that is no bind mount needs one"]);
  expect(problems({ mounts: [{ destination: "/a", type: "bind", source: "/s", uidMappings: [] }] })).toEqual([
    "/mounts/0: uidMappings and gidMappings must be given together",
  ]);
});

test("namespaces must not repeat, and their paths must be absolute", () => {
  expect(linux({ namespaces: [{ type: "mount" }, { type: "mount", path: "x" }] })).toEqual([
    "/linux/namespaces/1: the mount namespace is given twice",
    '/linux/namespaces/1/path: "x" is no absolute path',
  ]);
});

test("id mappings need a user namespace, and a new user namespace needs id mappings that hold the process's ids", () => {
  const mappings = [{ containerID: 0, hostID: 1000, size: 10 }];
  expect(linux({ uidMappings: mappings })).toEqual(["/linux/uidMappings: there is no user namespace in /linux/namespaces"]);
  const namespaces = [{ type: "user" }];
  expect(linux({ namespaces, uidMappings: mappings })).toEqual(["/linux/gidMappings: a new user namespace needs at least one mapping"]);
  expect(linux({ namespaces, uidMappings: mappings, gidMappings: [{ containerID: 1, hostID: 1, size: 1 }] })).toEqual([
    "/process/user/gid: /linux/gidMappings does not map 0",
  ]);
  expect(linux({ namespaces: [{ type: "user", path: "/proc/1/ns/user" }] })).toEqual([]);
});

test("time offsets need a new time namespace and a clock that has them", () => {
  expect(linux({ timeOffsets: { monotonic: {} } })).toEqual(["/linux/timeOffsets: there is no time namespace in /linux/namespaces"]);
  expect(linux({ namespaces: [{ type: "time" }], timeOffsets: { realtime: {} } })).toEqual([
    '/linux/timeOffsets/realtime: "realtime" is neither monotonic nor boottime',
  ]);
});

test("kernel parameters must belong to a namespace that the container has", () => {
  const says = "it needs a network namespace, or it would change the host";
  expect(linux({ sysctl: { "net.ipv4.ip_forward": "1" } })).toEqual([`/linux/sysctl/net.ipv4.ip_forward: ${says}`]);
  expect(linux({ sysctl: { "net/ipv4/ip_forward": "1" } })).toEqual([`/linux/sysctl/net~1ipv4~1ip_forward: ${says}`]);
  expect(
    linux({
      namespaces: [{ type: "network" }, { type: "ipc" }],
      sysctl: { "net.ipv4.ip_forward": "1", "kernel.sem": "1", "fs.mqueue.msg_max": "2" },
    }),
  ).toEqual([]);
  expect(linux({ sysctl: { "vm.swappiness": "1" } })).toEqual([
    "/linux/sysctl/vm.swappiness: no namespace holds it, so it would change the host",
  ]);
});

test("a kernel parameter cannot name a file elsewhere", () => {
  for (const key of ["net/../../etc/passwd", "net..x", "net./../x", "net", "net.ipv4/../../x", ".net.x"]) {
    expect(linux({ namespaces: [{ type: "network" }], sysctl: { [key]: "1" } })).toEqual([
      `/linux/sysctl/${key.replaceAll("/", "~1")}: it is no name of a kernel parameter`,
    ]);
  }
});

test("devices need a known type, an absolute path and numbers", () => {
  expect(linux({ devices: [{ type: "x", path: "dev/a" }] })).toEqual([
    '/linux/devices/0/type: "x" is none of c, b, u, p',
    '/linux/devices/0/path: "dev/a" is no absolute path',
    "/linux/devices/0/major: a number from 0 to 4095 is needed",
    "/linux/devices/0/minor: a number from 0 to 1048575 is needed",
  ]);
  expect(linux({ devices: [{ type: "p", path: "/fifo", major: 0, minor: 0 }] })).toEqual([]);
});

test("limits must make sense", () => {
  expect(linux({ resources: { memory: { limit: 10, swap: 5 } } })).toEqual([
    "/linux/resources/memory/swap: 5 is below the memory limit 10, which it includes",
  ]);
  expect(linux({ resources: { pids: { limit: -2 } } })).toEqual(["/linux/resources/pids/limit: -2 is negative"]);
  expect(linux({ resources: { cpu: { cpus: "0-1;rm" } } })).toEqual(['/linux/resources/cpu/cpus: "0-1;rm" is no list such as 0-3,7']);
  expect(linux({ resources: { unified: { "../x": "1" } } })).toEqual(["/linux/resources/unified/..~1x: it is no name of a cgroup file"]);
  expect(linux({ resources: { devices: [{ allow: true, type: "x", access: "q", major: -2 }] } }).length).toBe(3);
});

test("paths that are masked or read-only must be absolute, and rootfsPropagation known", () => {
  expect(linux({ maskedPaths: ["proc"], readonlyPaths: ["sys"], rootfsPropagation: "wild" }).length).toBe(3);
});

test("requireValidConfig() throws the first problem with its pointer and counts the others", () => {
  const config = parseRuntimeConfig({ ...minimal, ociVersion: "x", root: { path: "" } });
  expect(() => requireValidConfig(config)).toThrow(
    expect.objectContaining({
      code: "invalid-spec",
      message: 'cannot use /ociVersion: "x" is no SemVer 2.0.0 version (and 1 more problem)',
      details: { pointer: "/ociVersion", problems: 2 },
    }),
  );
});

test("every check has a name of its own", () => {
  expect(new Set(configChecks.map(({ name }) => name)).size).toBe(configChecks.length);
});
