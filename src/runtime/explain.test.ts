import { expect, test } from "bun:test";
import type { ByteString } from "#base/byte-string.ts";
import type { Program } from "#program/encode.ts";
import { opTable } from "#program/table.ts";
import type { Op } from "#program/ops.gen.ts";
import { describeFailure } from "./describe-failure.ts";
import { explainProgram, explainProgramAsData } from "./explain.ts";
import { phrase } from "./phrase.ts";

const tmpfs: Op = { op: "mount", fstype: "tmpfs", source: "tmpfs", target: "/dev/shm", options: ["mode=1777"], attributes: 0x2a };
const exec: Op = { op: "exec", candidates: ["/bin/web", "/usr/bin/web"], argv: ["web", "a b", "it's"], env: [] };
const program: Program = {
  main: [
    { op: { op: "clone", section: 2, flags: 0x60020000, cgroup: "" }, origin: "/linux/namespaces" },
    { op: { op: "supervise" }, origin: "default: the executor stays" },
  ],
  cleanup: [{ op: { op: "remove-cgroup", path: "/sys/fs/cgroup/pids/c" }, origin: "/linux/cgroupsPath" }],
  children: [
    [
      { op: tmpfs, origin: "/mounts/3" },
      { op: { op: "rlimit", resource: 7, soft: 5n, hard: 2n ** 64n - 1n }, origin: "/process/rlimits/0" },
      { op: exec, origin: "/process/args" },
    ],
  ],
};

test("explainProgram() prints the ops in their order, grouped, with their origins in a column", () => {
  expect(explainProgram(program)).toBe(`OUTSIDE: what the executor does

  namespaces
      0  clone a child into new namespaces: mount, pid, network   /linux/namespaces

  supervision
      1  pass on output and signals until the child ends          default: the executor stays

AFTERWARDS: at the end, or after a failure

  cleanup
      2  remove the cgroup /sys/fs/cgroup/pids/c   /linux/cgroupsPath

INSIDE: what the container's first process does

  mounts
      3  mount tmpfs at /dev/shm (nosuid, noexec, strictatime, mode=1777)   /mounts/3

  process
      4  limit RLIMIT_NOFILE to 5 (hard no limit)                           /process/rlimits/0
      5  run web 'a b' 'it'\\''s'                                            /process/args
`);
});

test("explainProgramAsData() holds the same as JSON, 64-bit numbers as text", () => {
  const data = explainProgramAsData(program);
  expect(data.sections.map(({ name, steps }) => [name, steps.length])).toEqual([
    ["main", 2],
    ["cleanup", 1],
    ["container", 3],
  ]);
  expect(data.sections[2]?.steps[1]).toEqual({
    index: 4,
    op: "rlimit",
    resource: 7,
    soft: "5",
    hard: "18446744073709551615",
    words: "limit RLIMIT_NOFILE to 5 (hard no limit)",
    origin: "/process/rlimits/0",
    group: "process",
  });
  expect(JSON.parse(explainProgram(program, { format: "json" }))).toEqual(JSON.parse(JSON.stringify(data)));
});

test("phrase() has words for every op of the table", () => {
  const samples = {
    u32: 1,
    u64: 1,
    i64: 1,
    limit: 1n,
    text: "x",
    name: "x" as ByteString,
    texts: ["x"],
    names: ["x" as ByteString],
    bytes: new Uint8Array(8),
  };
  for (const { name, fields } of opTable) {
    const op = Object.fromEntries([["op", name], ...Object.entries(fields).map(([key, kind]) => [key, samples[kind]])]) as unknown as Op;
    expect(phrase(op)).toMatch(/^[a-z][^\n]*[^\n.]$/);
    expect(phrase(op)).not.toContain("undefined");
  }
});

test("phrase() shows control characters of a config instead of sending them to the terminal", () => {
  expect(phrase({ op: "working-directory", path: "/a\u001b[2J\n\u202eb" })).toBe("change to the directory /a\\x1b[2J\\x0a\\u202eb");
});

test("describeFailure() names the object, the reason and the place in the config", () => {
  const error = describeFailure(program, { opIndex: 3, errno: 13 });
  expect(error.message).toBe(
    "cannot mount tmpfs at /dev/shm (nosuid, noexec, strictatime, mode=1777): permission denied (EACCES) (/mounts/3)",
  );
  expect(error.code).toBe("permission-denied");
  expect(error.details).toEqual({ opIndex: 3, errno: 13, op: "mount", origin: "/mounts/3" });
});

test("describeFailure() adds a hint where errno alone misleads", () => {
  expect(describeFailure(program, { opIndex: 4, errno: 1 }).message).toBe(
    "cannot limit RLIMIT_NOFILE to 5 (hard no limit): operation not permitted (EPERM); raising a hard limit needs CAP_SYS_RESOURCE (/process/rlimits/0)",
  );
});

test("describeFailure() tells a program that is missing (127) from one that cannot be run (126)", () => {
  const missing = describeFailure(program, { opIndex: 5, errno: 2 });
  expect(missing.message).toBe('cannot run "web": executable file not found in $PATH (/process/args)');
  expect([missing.code, missing.details["exitCode"]]).toEqual(["not-found", 127]);
  const denied = describeFailure(program, { opIndex: 5, errno: 13 });
  expect(denied.message).toBe('cannot run "web": permission denied (EACCES) (/process/args)');
  expect([denied.code, denied.details["exitCode"]]).toEqual(["permission-denied", 126]);
});

test("describeFailure() of an index beyond the program is a bug of ours", () => {
  expect(describeFailure(program, { opIndex: 99, errno: 2 }).code).toBe("internal");
});
