/** System call filters in real containers, which must behave as under runc; and what only a filter loaded at the last moment can do. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type BundleConfig,
  type Ended,
  execute,
  hasRunc,
  makeBundle,
  runtimePath,
  unable,
  unableHere,
  Workbench,
  writeConfig,
} from "./gantry-harness.ts";
import { subjects } from "./subjects.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
const missing = unableHere ?? (hasRunc ? undefined : "runc is not installed: its `spec` makes the bundles");
if (missing !== undefined) console.log(`skipped: ${missing}`);

const runtimes = subjects.filter(({ name }) => name !== "crun" && !name.includes("without")).map(({ command }) => command[0] ?? "");
/** Tests of what only Gantry does. */
const own = test.skipIf(unable !== undefined);

interface FilteredConfig extends BundleConfig {
  process: BundleConfig["process"] & { noNewPrivileges: boolean };
  linux: BundleConfig["linux"] & { seccomp?: unknown };
}

interface Case {
  readonly name: string;
  readonly script: string;
  readonly profile: unknown;
  /** Whether runc can do it without noNewPrivileges: it loads the filter earlier then, and is bound by it. */
  readonly inPrivilege?: boolean;
  readonly expected: { readonly code?: number; readonly stdout?: string; readonly stderr?: string };
}

const deny = (name: string, action: string, more: object = {}): unknown => ({
  defaultAction: "SCMP_ACT_ALLOW",
  architectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  syscalls: [{ names: [name, `${name}at`, "no_such_call"], action, ...more }],
});

/** All that a static shell, and runc before it, need; not mkdir. */
const allowed =
  "read write open openat openat2 close close_range stat statx fstat newfstatat lstat poll ppoll mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn ioctl fcntl dup dup2 dup3 getpid getppid getuid geteuid getgid getegid setuid setgid setgroups setresuid setresgid capget capset prctl arch_prctl set_tid_address set_robust_list rseq prlimit64 readlink readlinkat getrandom execve execveat exit exit_group wait4 clone fork vfork futex nanosleep clock_nanosleep epoll_ctl epoll_pwait epoll_create1 eventfd2 pipe2 sigaltstack gettid tgkill getdents64 fstatfs statfs chdir fchdir getcwd umask sched_yield sched_getaffinity madvise sendmsg uname";

const cases: readonly Case[] = [
  {
    name: "getcwd fails with EPERM",
    // runc itself calls it behind the filter.
    inPrivilege: false,
    script: "/bin/busybox pwd -P; echo $?",
    profile: deny("getcwd", "SCMP_ACT_ERRNO"),
    expected: { stdout: "1\n", stderr: "Operation not permitted" },
  },
  {
    name: "mkdir fails with the errno given",
    script: "/bin/busybox mkdir /tmp/a; echo $?",
    profile: deny("mkdir", "SCMP_ACT_ERRNO", { errnoRet: 95 }),
    expected: { stdout: "1\n", stderr: "Operation not supported" },
  },
  ...["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"].map((action) => ({
    name: `${action} ends the process with SIGSYS`,
    script: "/bin/busybox mkdir /tmp/a; echo $?",
    profile: deny("mkdir", action),
    expected: { stdout: "159\n" },
  })),
  {
    name: "SCMP_ACT_TRACE without a tracer is ENOSYS",
    script: "/bin/busybox mkdir /tmp/a; echo $?",
    profile: deny("mkdir", "SCMP_ACT_TRACE"),
    expected: { stdout: "1\n", stderr: "not implemented" },
  },
  {
    name: "SCMP_ACT_LOG lets pass",
    script: "/bin/busybox mkdir /tmp/a; echo $?",
    profile: deny("mkdir", "SCMP_ACT_LOG"),
    expected: { stdout: "0\n", stderr: "" },
  },
  {
    name: "an argument decides",
    script: "cd /tmp; : > f; for mode in 600 640; do /bin/busybox chmod $mode f; echo $?; done",
    profile: deny("chmod", "SCMP_ACT_ERRNO", { args: [{ index: 1, value: 0o600, op: "SCMP_CMP_EQ" }] }),
    expected: { stdout: "1\n0\n" },
  },
  {
    name: "what a strict profile does not name is forbidden",
    inPrivilege: false,
    script: "/bin/busybox mkdir /tmp/a; echo $?",
    profile: {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [{ names: allowed.split(" "), action: "SCMP_ACT_ALLOW" }],
    },
    expected: { stdout: "1\n", stderr: "Operation not permitted" },
  },
];

describe.skipIf(missing !== undefined)("a filter", () => {
  const bench = missing === undefined ? new Workbench() : (undefined as unknown as Workbench);
  const bundle = missing === undefined ? join(bench.directory, "bundle") : "";
  let next = 0;
  afterAll(() => {
    if (missing === undefined) bench.remove();
  });

  function prepare(profile: unknown, args: string[], noNewPrivileges = true): void {
    writeConfig(bundle, (config) => {
      const filtered = config as FilteredConfig;
      filtered.root.readonly = false;
      filtered.process.args = args;
      filtered.process.noNewPrivileges = noNewPrivileges;
      filtered.linux.seccomp = profile;
    });
  }

  function run(runtime: string): Promise<Ended> {
    rmSync(join(bundle, "rootfs/tmp/a"), { recursive: true, force: true });
    return execute([
      runtime,
      "--root",
      join(bench.directory, `state-${runtime === runtimePath ? "own" : "peer"}`),
      "run",
      "-b",
      bundle,
      `seccomp-${process.pid}-${next++}`,
    ]);
  }

  beforeAll(() => {
    if (missing === undefined) makeBundle(bundle, () => undefined);
  });

  for (const { name, script, profile, inPrivilege = true, expected } of cases) {
    test.each(runtimes)(`${name}, with %s`, async (runtime) => {
      for (const noNewPrivileges of inPrivilege ? [true, false] : [true]) {
        prepare(profile, ["/bin/busybox", "sh", "-c", script], noNewPrivileges);
        const { stdout, stderr, code } = await run(runtime);
        expect({ code, stdout }).toEqual({ code: expected.code ?? 0, stdout: expected.stdout ?? "" });
        expect(stderr).toContain(expected.stderr ?? "");
      }
    });
  }

  own("needs to allow nothing but what the container's program does, with and without noNewPrivileges", async () => {
    for (const noNewPrivileges of [true, false]) {
      const names = [
        "execve",
        "brk",
        "arch_prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "readlinkat",
        "readlink",
        "getrandom",
        "mprotect",
        "write",
        "exit_group",
        "getuid",
        "newfstatat",
        "fstat",
        "prctl",
        "mmap",
        "munmap",
      ];
      prepare(
        { defaultAction: "SCMP_ACT_KILL_PROCESS", syscalls: [{ names, action: "SCMP_ACT_ALLOW" }] },
        ["/bin/busybox", "echo", "fine"],
        noNewPrivileges,
      );
      expect(await run(runtimePath)).toMatchObject({ code: 0, stdout: "fine\n", stderr: "" });
    }
  });

  own("leaves its process no more capabilities than asked for, though loading it needs one", async () => {
    prepare(deny("mkdir", "SCMP_ACT_ERRNO"), ["/bin/busybox", "grep", "-E", "^(Cap|Seccomp:)", "/proc/self/status"], false);
    const [own, peer] = [await run(runtimePath), await run("runc")];
    expect(own).toEqual(peer);
    expect(own.stdout).toContain("Seccomp:\t2");
  });

  own("does not hide that the program is not there", async () => {
    prepare({ defaultAction: "SCMP_ACT_KILL_PROCESS", syscalls: [{ names: ["execve"], action: "SCMP_ACT_ALLOW" }] }, ["no-such-program"]);
    const { code, stderr } = await run(runtimePath);
    expect([code, stderr]).toEqual([1, expect.stringContaining("executable file not found in $PATH") as unknown as string]);
  });

  own("of gantry run is Docker's, and --security-opt seccomp=unconfined takes none", async () => {
    await bench.load();
    const status = "grep Seccomp: /proc/self/status; unshare -U true";
    const filtered = await bench.shell(status);
    expect([filtered.code === 0, filtered.stdout, filtered.stderr]).toEqual([
      false,
      "Seccomp:\t2\n",
      expect.stringContaining("not permitted") as unknown as string,
    ]);
    expect((await bench.shell("grep Seccomp: /proc/self/status", "--security-opt", "seccomp=unconfined")).stdout).toBe("Seccomp:\t0\n");
    expect((await bench.shell("true", "--security-opt", "label=disable")).stderr).toContain("--security-opt");
  });

  own("of gantry run is that of a file in Docker's form, which podman has too", async () => {
    await bench.load();
    const path = join(bench.directory, "docker-form.json");
    const rule = (name: string, more: object): object => ({ names: [name], action: "SCMP_ACT_ERRNO", errnoRet: 13, ...more });
    const profile = {
      defaultAction: "SCMP_ACT_ALLOW",
      archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] }],
      syscalls: [
        rule("mkdir", { includes: { caps: ["CAP_CHOWN"], minKernel: "4.8" }, excludes: {} }),
        rule("rmdir", { includes: { caps: ["CAP_SYS_ADMIN"] } }),
        rule("chmod", { excludes: { caps: ["CAP_CHOWN"] } }),
        rule("symlink", { includes: { arches: ["s390x"] } }),
      ],
    };
    writeFileSync(path, JSON.stringify(profile));
    const script =
      "cd /tmp; mkdir -p ok/made || echo no; mkdir a || echo mkdir; touch f; chmod 600 f && ln -s f l && rm -r f l && echo others";
    const ended = await bench.shell(script, "--security-opt", `seccomp=${path}`);
    expect(ended.stdout).toBe("no\nmkdir\nothers\n");
    for (const installed of ["/usr/share/containers/seccomp.json"].filter((name) => existsSync(name))) {
      const { stdout, stderr, code } = await bench.shell(
        "grep Seccomp: /proc/self/status; echo fine",
        "--security-opt",
        `seccomp=${installed}`,
      );
      expect([code, stdout, stderr]).toEqual([0, "Seccomp:\t2\nfine\n", ""]);
    }
  });

  test.skipIf(Bun.which("cc") === null)("hands calls to an agent, with the state of its container, as under runc", async () => {
    const program = join(bench.directory, "supervisor");
    expect(Bun.spawnSync(["cc", "-o", program, `${import.meta.dir}/../support/seccomp/supervisor.c`]).exitCode).toBe(0);
    for (const [noNewPrivileges, names] of [
      [true, ["mkdir"]],
      [false, ["mkdir", "write"]],
    ] as const) {
      for (const runtime of noNewPrivileges ? [runtimePath, "runc"] : [runtimePath]) {
        const socket = join(bench.directory, `agent-${next}`);
        const agent = Bun.spawn([program, socket], { stdout: "pipe", timeout: patient(60_000) });
        const reader = agent.stdout.getReader();
        expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("listening\n");
        const profile = {
          defaultAction: "SCMP_ACT_ALLOW",
          listenerPath: socket,
          listenerMetadata: "some data",
          syscalls: [{ names, action: "SCMP_ACT_NOTIFY" }],
        };
        prepare(profile, ["/bin/busybox", "mkdir", "/tmp/a"], noNewPrivileges);
        const { code, stderr } = await run(runtime);
        let text = "";
        for (let part = await reader.read(); !part.done; part = await reader.read()) text += Buffer.from(part.value).toString();
        const [state = "", ...calls] = text.trim().split("\n");
        const parsed = JSON.parse(state) as { pid: number; state: { pid: number } };
        expect(parsed).toMatchObject({
          fds: ["seccompFd"],
          metadata: "some data",
          state: { id: `seccomp-${process.pid}-${next - 1}`, status: "creating", bundle },
        });
        expect([parsed.pid > 1, parsed.state.pid]).toEqual([true, parsed.pid]);
        expect(calls[0]).toBe("call 83");
        expect(code).toBe(1);
        if (noNewPrivileges) expect(stderr).toContain("Invalid cross-device link");
      }
    }
  });

  own("with an agent that is not there makes no container", async () => {
    prepare(
      { defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/dev/shm/no-agent", syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }] },
      ["/bin/busybox", "true"],
    );
    const { code, stderr } = await run(runtimePath);
    expect([code, stderr]).toEqual([1, expect.stringContaining("(/linux/seccomp/listenerPath)") as unknown as string]);
  });
});
