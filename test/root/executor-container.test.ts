/** Containers: namespaces, the working root, failures with their op, and what is cleaned up after them. */
import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Op } from "#program/ops.gen.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { failureOf, makeRootfs, notRoot, run } from "./executor-harness.ts";
import { hasV1 } from "./gantry-harness.ts";

const newMount = 0x20000;
const newUts = 0x4000000;
const newIpc = 0x8000000;
const newUser = 0x10000000;
const newPid = 0x20000000;
const everything = newMount + newUts + newIpc + newPid;
/** Where hybrid hosts have cgroup version 2. */
const unified = existsSync("/sys/fs/cgroup/unified/cgroup.procs") ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
const slave = 0x80000 + 0x4000;

const clone = (flags = everything): Op => ({ op: "clone", section: 2, flags, cgroup: "" });
const parent = (flags = everything): Op[] => [clone(flags), { op: "release-child" }, { op: "await-exec" }, { op: "supervise" }];
const exec = (...argv: string[]): Op => ({ op: "exec", candidates: [argv[0] ?? ""], argv, env: ["PATH=/bin"] });
const shell = (script: string): Op => exec("/bin/sh", "-c", script);

/** What makes `rootfs` the root: everything a test needs, with `extra` before the pivot. */
function enter(rootfs: string, extra: readonly Op[] = []): Op[] {
  const mount = { op: "mount", source: "x", options: [], attributes: 0 } as const;
  return [
    { op: "await-parent" },
    { op: "propagation", path: "/", flags: slave },
    { op: "bind", source: rootfs, target: rootfs, recursive: 1 },
    { op: "root", path: rootfs },
    { ...mount, fstype: "proc", target: "/proc" },
    { ...mount, fstype: "tmpfs", target: "/dev", options: ["mode=755", "size=64k"], attributes: 2 },
    { op: "make-node", path: "/dev/null", mode: 0o20666, major: 1, minor: 3, uid: 0, gid: 0 },
    ...extra,
    { op: "pivot-root" },
  ];
}

function container(
  rootfs: string,
  script: string,
  options: { before?: readonly Op[]; after?: readonly Op[] } = {},
): ReturnType<typeof run> {
  return run(parent(), [], [...enter(rootfs, options.before), ...(options.after ?? []), shell(script)]);
}

describe.skipIf(notRoot !== undefined)("containers", () => {
  test("a process runs in its own root and namespaces, and its exit code comes back", async () => {
    using scratch = scratchDirectory();
    makeRootfs(scratch.path);
    const after: Op[] = [
      { op: "hostname", name: "box" },
      { op: "working-directory", path: "/tmp" },
    ];
    const outcome = await container(scratch.path, "echo $$ $(cat /proc/sys/kernel/hostname) $PWD; ls /; exit 42", { after });
    expect(outcome.stderr).toBe("");
    expect(outcome.stdout).toBe("1 box /tmp\nbin\ndev\nproc\ntmp\n");
    expect(outcome.exitCode).toBe(42);
    expect(outcome.reports.map(({ kind, value }) => [kind, kind === "exited" ? value : 0])).toEqual([
      ["started", 0],
      ["exited", 42 << 8],
    ]);
    expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(scratch.path);
  });

  test("a process that a signal ended gives 128 and its number", async () => {
    using scratch = scratchDirectory();
    const main: Op[] = [...parent(0), { op: "record-exit", path: join(scratch.path, "exit") }];
    const outcome = await run(main, [], [{ op: "await-parent" }, shell("kill -TERM $$")]);
    expect(outcome.exitCode).toBe(143);
    expect(readFileSync(join(scratch.path, "exit"), "utf8")).toBe("signaled 15");
  });

  test("the container finds no descriptor but its three, default signals and the umask of the program", async () => {
    using scratch = scratchDirectory();
    makeRootfs(scratch.path);
    const after: Op[] = [{ op: "umask", mask: 0o27 }];
    // The shell would ignore signals of its own, so it is not asked.
    const listing = await container(scratch.path, "ls /proc/$$/fd; :");
    const outcome = await run(parent(), [], [...enter(scratch.path), ...after, exec("/bin/cat", "/proc/self/status")]);
    const status = Object.fromEntries(
      outcome.stdout.split("\n").map((line): [string, string] => [line.split(":")[0] ?? "", line.split("\t")[1] ?? ""]),
    );
    expect(listing.stdout).toBe("0\n1\n2\n");
    expect([status["SigBlk"], status["SigIgn"], status["Umask"]]).toEqual(["0000000000000000", "0000000000000000", "0027"]);
  });

  test("the executor runs from a sealed memfd, unreachable for others", async () => {
    const script = "readlink /proc/$PPID/exe; stat -c %u:%a /proc/$PPID/fd";
    const outcome = await run(parent(0), [], [{ op: "await-parent" }, shell(script)]);
    expect(outcome.stdout).toBe("/memfd:gantry-executor (deleted)\n0:500\n");
  });

  test.each([
    ["ENOENT is 2", ["/bin/none", "/none/none"], 2],
    ["EACCES of one candidate outweighs ENOENT of the last", ["/etc/passwd", "/bin/none"], 13],
    ["a path through a file is passed over", ["/etc/passwd/x"], 20],
  ])("a program that cannot be executed fails at exec: %s", async (_, candidates, errno) => {
    const outcome = await run(parent(0), [], [{ op: "await-parent" }, { op: "exec", candidates, argv: ["x"], env: [] }]);
    expect(failureOf(outcome)).toEqual([5, errno]);
    expect(outcome.exitCode).toBe(125);
  });

  test("a failure in the child names the child's op, runs the cleanup and leaves no child", async () => {
    using scratch = scratchDirectory();
    const cleanup: Op[] = [
      { op: "remove-tree", path: "/proc/1/no" },
      { op: "make-cgroup", path: join(scratch.path, "cleaned") },
      { op: "write", path: join(scratch.path, "missing"), data: "", fsMagic: 0 },
    ];
    const child: Op[] = [{ op: "await-parent" }, { op: "hostname", name: "x".repeat(65) }, exec("/bin/true")];
    const outcome = await run(parent(), cleanup, child);
    expect(failureOf(outcome)).toEqual([4 + 3 + 1, 22]);
    expect(existsSync(join(scratch.path, "cleaned"))).toBe(true);
    expect(outcome.reports.filter((report) => report.kind === "warned").map((report) => [report.opIndex, report.value])).toEqual([[6, 2]]);
  });

  test("a failure outside kills the child and keeps its own op", async () => {
    using scratch = scratchDirectory();
    const main: Op[] = [
      clone(),
      { op: "child-pid", path: join(scratch.path, "pid"), create: 1 },
      { op: "write", path: "/none", data: "", fsMagic: 0 },
    ];
    const outcome = await run(main, [], [{ op: "await-parent" }, exec("/bin/true")]);
    expect(failureOf(outcome)).toEqual([2, 2]);
    expect(existsSync(`/proc/${readFileSync(join(scratch.path, "pid"), "utf8")}/stat`)).toBe(false);
  });

  test("a child that ends without executing has not started", async () => {
    const outcome = await run(parent(0), [], [{ op: "await-parent" }, { op: "umask", mask: 0 }]);
    expect(failureOf(outcome)).toEqual([2, 3]);
    expect(outcome.reports.map((report) => report.kind)).toEqual(["failed"]);
  });

  test("links in the root file system lead nowhere else", async () => {
    using scratch = scratchDirectory();
    const rootfs = join(scratch.path, "rootfs");
    makeRootfs(rootfs);
    mkdirSync(join(scratch.path, "outside"));
    writeFileSync(join(scratch.path, "outside/file"), "host");
    symlinkSync(join(scratch.path, "outside"), join(rootfs, "absolute"));
    symlinkSync("../../../../../../.." + join(scratch.path, "outside"), join(rootfs, "relative"));
    symlinkSync("/run/made", join(rootfs, "dangling"));
    const before: Op[] = [
      { op: "ensure-directory", path: "/absolute/a", mode: 0o755 },
      { op: "ensure-file", path: "/relative/b", mode: 0o600 },
      { op: "ensure-file", path: "/dangling", mode: 0o644 },
      { op: "bind", source: join(scratch.path, "outside/file"), target: "/dangling", recursive: 0 },
      { op: "make-symlink", path: "/absolute/s", target: "x" },
    ];
    const outcome = await container(rootfs, "cat /run/made; ls /absolute/", { before });
    expect(outcome.stderr).toBe("");
    expect(outcome.stdout).toBe("hosta\nb\ns\n");
    expect(readdirSync(join(scratch.path, "outside"))).toEqual(["file"]);
  });

  test("paths are masked and made read-only; missing ones are left", async () => {
    using scratch = scratchDirectory();
    makeRootfs(scratch.path);
    mkdirSync(join(scratch.path, "secret"));
    mkdirSync(join(scratch.path, "secret2"));
    for (const name of ["secret/x", "secret2/x", "file"]) writeFileSync(join(scratch.path, name), "secret");
    const after: Op[] = [
      ...["/secret", "/secret2", "/file", "/none", "/file/none"].map((path): Op => ({ op: "mask", path })),
      { op: "read-only", path: "/tmp" },
      { op: "read-only", path: "/none" },
    ];
    const outcome = await container(
      scratch.path,
      "ls /secret /secret2; cat /file; echo x > /tmp/x; echo y > /secret/y; echo z > /bin/z && echo ok",
      { after },
    );
    expect(outcome.stdout).toBe("/secret:\n\n/secret2:\nok\n");
    expect(outcome.stderr.match(/Read-only file system/g)).toHaveLength(2);
  });

  test("a /dev/null that is none is not bound over a masked file", async () => {
    using scratch = scratchDirectory();
    makeRootfs(scratch.path);
    writeFileSync(join(scratch.path, "file"), "");
    const after: Op[] = [
      { op: "unmount", target: "/dev", flags: 2 },
      { op: "ensure-file", path: "/dev/null", mode: 0o666 },
      { op: "mask", path: "/file" },
    ];
    expect(failureOf(await container(scratch.path, "true", { after }))).toEqual([4 + 8 + 2, 19]);
  });

  test("a mount over the root is the root from then on", async () => {
    using scratch = scratchDirectory();
    makeRootfs(join(scratch.path, "upper"));
    mkdirSync(join(scratch.path, "lower"));
    const child: Op[] = [
      { op: "await-parent" },
      { op: "propagation", path: "/", flags: slave },
      { op: "bind", source: join(scratch.path, "lower"), target: join(scratch.path, "lower"), recursive: 0 },
      { op: "root", path: join(scratch.path, "lower") },
      { op: "bind", source: join(scratch.path, "upper"), target: "/", recursive: 0 },
      { op: "ensure-directory", path: "/made", mode: 0o755 },
      { op: "pivot-root" },
      { op: "rootfs-attributes", set: 1 },
      shell("ls /; echo x > /x"),
    ];
    const outcome = await run(parent(), [], child);
    expect(outcome.stdout).toBe("bin\ndev\nmade\nproc\ntmp\n");
    expect(outcome.stderr).toContain("Read-only");
    expect(readdirSync(join(scratch.path, "lower"))).toEqual([]);
  });

  test("a user namespace is mapped while the child waits; ids and capabilities are what was asked for", async () => {
    using scratch = scratchDirectory();
    makeRootfs(scratch.path);
    execFileSync("chmod", ["755", scratch.path]);
    const main: Op[] = [
      clone(everything + newUser),
      { op: "child-file", file: "uid_map", data: "0 100000 1000" },
      { op: "child-file", file: "gid_map", data: "0 100000 1000" },
      { op: "release-child" },
      { op: "await-exec" },
      { op: "supervise" },
    ];
    const gids = Buffer.from(new Uint32Array([3, 4]).buffer);
    const drop: Op[] = [
      { op: "gid", gid: 0 },
      { op: "uid", uid: 0 },
      { op: "oom-score", value: "500" },
      { op: "write", path: "/proc/self/attr/none", data: "", fsMagic: 0x9fa0 },
    ];
    const credentials: Op[] = [
      { op: "bounding", keep: 0x21 },
      { op: "groups", gids },
      { op: "gid", gid: 7 },
      { op: "keep-capabilities" },
      { op: "uid", uid: 5 },
      { op: "capabilities", effective: 0x20, permitted: 0x21, inheritable: 0x20 },
      { op: "ambient", mask: 0x20 },
      { op: "no-new-privileges" },
      shell("cat /proc/self/status; cat /proc/self/oom_score_adj"),
    ];
    const body = enter(scratch.path).filter((op) => op.op !== "make-node");
    const outcome = await run(main, [], [...body.slice(0, 1), ...drop.slice(0, 3), ...body.slice(1), ...credentials]);
    expect(failureOf(outcome)).toBeUndefined();
    const line = (name: string): string =>
      new RegExp(`^${name}:\\s*(.*?)\\s*$`, "m").exec(outcome.stdout)?.[1]?.replaceAll("\t", " ") ?? "";
    expect(["Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd", "NoNewPrivs"].map(line)).toEqual([
      "5 5 5 5",
      "7 7 7 7",
      "3 4",
      "0000000000000020",
      "0000000000000020",
      "0000000000000020",
      "0000000000000020",
      "0000000000000021",
      "1",
    ]);
    expect(outcome.stdout.trimEnd().endsWith("\n500")).toBe(true);
  });

  test("regular files are copied; what is missing, none or over 1 MiB is left", async () => {
    using scratch = scratchDirectory();
    const at = (name: string): string => join(scratch.path, name);
    writeFileSync(at("source"), "x".repeat(100_000));
    writeFileSync(at("largest"), Buffer.alloc(1 << 20));
    writeFileSync(at("larger"), Buffer.alloc((1 << 20) + 1));
    execFileSync("mkfifo", [at("fifo")]);
    const copies = ["source", "largest", "larger", "fifo", "missing"].map((name): Op => ({
      op: "copy-file",
      source: at(name),
      target: at(`${name}-copy`),
    }));
    expect(failureOf(await run(copies))).toBeUndefined();
    expect(readFileSync(at("source-copy"), "utf8").length).toBe(100_000);
    expect(lstatSync(at("largest-copy")).size).toBe(1 << 20);
    expect(readdirSync(scratch.path).toSorted()).toEqual(["fifo", "larger", "largest", "largest-copy", "source", "source-copy"]);
  });

  test("a file that is not on the wanted file system is not written", async () => {
    using scratch = scratchDirectory();
    const path = join(scratch.path, "attr");
    writeFileSync(path, "old");
    symlinkSync("attr", join(scratch.path, "link"));
    expect(failureOf(await run([{ op: "write", path, data: "new", fsMagic: 0x9fa0 }]))).toEqual([0, 18]);
    expect(failureOf(await run([{ op: "write", path: join(scratch.path, "link"), data: "new", fsMagic: 0 }]))).toEqual([0, 40]);
    expect(failureOf(await run([{ op: "write", path: "/proc/self/comm", data: "new", fsMagic: 0x9fa0 }]))).toBeUndefined();
    expect(readFileSync(path, "utf8")).toBe("old");
  });

  test("a seccomp filter is in force after exec", async () => {
    // Allow all but mkdir (83) and mkdirat (258), which fail with EACCES: x86-64 numbers.
    const words: [number, number, number, number][] = [
      [0x20, 0, 0, 0],
      [0x15, 2, 0, 83],
      [0x15, 1, 0, 258],
      [0x06, 0, 0, 0x7fff0000],
      [0x06, 0, 0, 0x50000 + 13],
    ];
    const filter = Buffer.alloc(words.length * 8);
    for (const [i, [code, yes, no, k]] of words.entries()) {
      filter.writeUInt16LE(code, i * 8);
      filter.writeUInt8(yes, i * 8 + 2);
      filter.writeUInt8(no, i * 8 + 3);
      filter.writeUInt32LE(k, i * 8 + 4);
    }
    const outcome = await run(parent(0), [], [{ op: "await-parent" }, { op: "seccomp", flags: 0, filter }, shell("mkdir /dev/shm/never")]);
    expect(outcome.stderr).toContain("Permission denied");
  });

  test("a working directory outside of the root is refused", async () => {
    using scratch = scratchDirectory();
    makeRootfs(scratch.path);
    symlinkSync("/proc/self/fd/3", join(scratch.path, "leak"));
    const outcome = await container(scratch.path, "true", { after: [{ op: "working-directory", path: "/leak" }] });
    expect(failureOf(outcome)?.[0]).toBe(4 + 8);
  });

  test.skipIf(!existsSync(`${unified}/cgroup.procs`))("a child starts in a cgroup of version 2, whose device filter holds", async () => {
    const path = `${unified}/executor-test-${process.pid}`;
    // r0 = (major == 1 && minor == 5): only /dev/zero may be used.
    const program = Buffer.from(
      "6112040000000000" +
        "6113080000000000" +
        "b700000000000000" +
        "5502020001000000" +
        "5503010005000000" +
        "b700000001000000" +
        "9500000000000000",
      "hex",
    );
    const main: Op[] = [
      { op: "make-cgroup", path },
      { op: "device-filter", path, program },
      { op: "clone", section: 2, flags: 0, cgroup: path },
      ...parent(0).slice(1),
      { op: "remove-cgroup", path },
    ];
    const outcome = await run(
      main,
      [],
      [{ op: "await-parent" }, shell("grep ^0: /proc/self/cgroup; head -c 1 /dev/zero | wc -c; head -c 1 /dev/urandom")],
    );
    expect(failureOf(outcome)).toBeUndefined();
    expect(outcome.stdout).toBe(`0::/executor-test-${process.pid}\n1\n`);
    expect(outcome.stderr).toContain("Operation not permitted");
    expect(existsSync(path)).toBe(false);
  });

  test("control groups are made, removed with those below, and missing ones are fine", async () => {
    const path = `/sys/fs/cgroup/${hasV1 ? "pids/" : ""}executor-test-${process.pid}`;
    const main: Op[] = [
      { op: "make-cgroup", path: `${path}/a/b` },
      clone(0),
      { op: "child-pid", path: `${path}/a/b/cgroup.procs`, create: 0 },
      ...parent(0).slice(1),
      { op: "remove-cgroup", path },
      { op: "remove-cgroup", path },
    ];
    const outcome = await run(main, [], [{ op: "await-parent" }, shell("cat /proc/self/cgroup")]);
    expect(failureOf(outcome)).toBeUndefined();
    expect(outcome.stdout).toContain(`executor-test-${process.pid}/a/b`);
    expect(existsSync(path)).toBe(false);
  });
});
