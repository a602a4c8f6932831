/** Terminals and passed descriptors as users meet them: in a real terminal, beside the reference runtime where it can do the same. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Op } from "#program/ops.gen.ts";
import { installed } from "../support/images/commands.ts";
import { patient } from "../support/slowness.ts";
import { drive } from "../support/terminal.ts";
import { failureOf, notRoot, run } from "./executor-harness.ts";
import { knownTests } from "./known-differences.ts";
import { subjects } from "./subjects.ts";
import { type BundleConfig, hasRunc, makeBundle, runtimePath, unable, unableHere, Workbench, writeConfig } from "./gantry-harness.ts";

const helper = new URL("../support/terminal.py", import.meta.url).pathname;
const missing =
  unableHere ?? (hasRunc ? undefined : "runc is not installed") ?? (installed("python3") ? undefined : "python3 is not installed");
const runtimes = subjects
  .filter(({ name }) => name !== "crun" && !name.includes("without"))
  .map(({ command }) => [command[0] ?? ""] as const);
const { each } = knownTests(
  [
    { peer: "crun", name: /of the caller's size/, why: "gives no size but consoleSize, and that of the next change; config.md#process" },
    { peer: "crun", until: "1.8.7", name: /a change of the window/, why: "does not pass it on; no section" },
  ],
  "differs",
);
/** Tests of what only Gantry does. */
const own = test.skipIf(unable !== undefined);

/** The part of config.json that only these tests edit. */
interface TerminalConfig extends BundleConfig {
  process: BundleConfig["process"] & { consoleSize?: { height: number; width: number } };
  mounts: { destination: string }[];
}

describe.skipIf(missing !== undefined)("a terminal", () => {
  let bench: Workbench;
  let bundle: string;
  let count = 0;
  beforeAll(async () => {
    bench = new Workbench();
    await bench.load();
    bundle = makeBundle(join(bench.directory, "bundle"), () => undefined);
  });
  afterAll(() => {
    bench.remove();
  });

  function configure(script: string, change: (config: TerminalConfig) => void = () => undefined): void {
    writeConfig(bundle, (config) => {
      config.process.terminal = true;
      config.process.args = ["/bin/busybox", "sh", "-c", script];
      config.root.readonly = false;
      change(config as TerminalConfig);
    });
  }
  const command = (runtime: string, ...options: string[]): string[] => [
    runtime,
    "--root",
    join(bench.directory, "state"),
    "run",
    "-b",
    bundle,
    ...options,
    `terminal-${process.pid}-${count++}`,
  ];

  each(runtimes)("%s gives the process a terminal of the caller's size, which is /dev/console and its own", async (runtime) => {
    configure(
      "busybox tty; for i in $(busybox seq 200); do test \"$(busybox stty size 2>/dev/null)\" = '24 80' && break; busybox sleep 0.05; done; busybox stty size; echo console >/dev/console; echo tty >/dev/tty; busybox id -u; exit 7",
      (config) => {
        config.process.user = { uid: 1000, gid: 1000 };
      },
    );
    const ended = await drive([], command(runtime));
    expect(ended).toEqual({ text: "/dev/pts/0\r\n24 80\r\nconsole\r\ntty\r\n1000\r\n", code: 7, restored: true });
  });

  own("the size is there before the program looks", async () => {
    configure("busybox stty size");
    expect((await drive([], command(runtimePath))).text).toBe("24 80\r\n");
  });

  each(runtimes)("%s passes keys on: Ctrl-C interrupts in the container, and settings come back", async (runtime) => {
    configure("trap 'echo caught; exit 5' INT; echo ready; while true; do busybox sleep 0.05; done");
    const ended = await drive([["ready", "send", "\u0003"]], command(runtime));
    expect(ended.text).toContain("caught\r\n");
    expect([ended.code, ended.restored]).toEqual([5, true]);
  });

  each(runtimes)("%s passes a change of the window on", async (runtime) => {
    configure(
      // The first change may be that from nothing to the caller's size.
      `look() { busybox stty size; test "$(busybox stty size)" != '50 132' || exit 0; }; trap look WINCH; echo ready; while true; do busybox sleep 0.05; done`,
    );
    expect((await drive([["ready", "resize", [50, 132]]], command(runtime))).text).toContain("50 132\r\n");
  });

  own("megabytes of output arrive to the last byte", async () => {
    configure("busybox head -c 2000000 /dev/zero | busybox tr '\\0' x; echo end");
    const { text, code } = await drive([], command(runtimePath));
    expect([text.length, text.endsWith("xend\r\n"), code]).toEqual([2_000_005, true, 0]);
  });

  own("settings come back after a signal and when the program cannot run", async () => {
    configure("echo ready; trap 'exit 9' TERM; while true; do busybox sleep 0.05; done");
    expect(await drive([["ready", "kill", 15]], command(runtimePath))).toMatchObject({ code: 9, restored: true });
    configure("", (config) => {
      config.process.args = ["/none"];
    });
    expect(await drive([], command(runtimePath))).toMatchObject({ code: 1, restored: true });
  });

  own("without a terminal outside, output comes through a pipe, and consoleSize counts", async () => {
    configure("busybox stty size", (config) => {
      config.process.consoleSize = { height: 11, width: 22 };
    });
    const child = Bun.spawn(command(runtimePath), { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    expect(await new Response(child.stdout).text()).toBe("11 22\r\n");
  });

  own("an image cannot aim the mount of /dev/console: a link there is refused", async () => {
    const withoutDev = (config: TerminalConfig): void => {
      config.mounts = config.mounts.filter(({ destination }) => destination === "/proc");
      config.mounts.push({ destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"] } as never);
    };
    mkdirSync(join(bundle, "rootfs/dev"), { recursive: true });
    const path = join(bundle, "rootfs/dev/console");
    symlinkSync("/etc/target", path);
    try {
      configure("echo ran", withoutDev);
      const ended = await drive([], command(runtimePath));
      expect(ended.text).toContain("/dev/console is a symbolic link (/process/terminal)");
      expect([ended.text.includes("ran"), ended.code]).toEqual([false, 1]);
    } finally {
      rmSync(path);
    }
  });

  own("an image cannot bring a terminal of its own: /dev/pts must be a devpts", async () => {
    configure("echo ran", (config) => {
      config.mounts = config.mounts.filter(({ destination }) => destination === "/proc");
    });
    mkdirSync(join(bundle, "rootfs/dev/pts"), { recursive: true });
    writeFileSync(join(bundle, "rootfs/dev/pts/ptmx"), "");
    expect((await drive([], command(runtimePath))).text).toContain("there is no devpts at /dev/pts (/process/terminal)");
  });

  own("a console socket for a container in the foreground is refused", async () => {
    configure("true");
    expect((await drive([], command(runtimePath, "--console-socket", "/x"))).text).toContain("cannot use console socket");
  });

  own("gantry run -it gives a terminal with TERM=xterm; -i without a terminal outside is refused", async () => {
    const words = ["tiny", "/bin/busybox", "sh", "-c", "busybox tty; echo $TERM; busybox stty size; read x; echo got $x; exit 3"];
    const ended = await drive([["24 80\r\n", "send", "line\r"]], bench.command("run", "--rm", "-it", ...words));
    expect(ended.text).toBe("/dev/pts/0\r\nxterm\r\n24 80\r\nline\r\ngot line\r\n");
    expect([ended.code, ended.restored]).toEqual([3, true]);
    const refused = await bench.gantry("run", "--rm", "-it", ...words);
    expect([refused.stderr.includes("the input device is not a TTY"), refused.code]).toEqual([true, 125]);
    const alone = await bench.gantry("run", "--rm", "-t", "tiny", "/bin/busybox", "tty");
    expect([alone.stdout, alone.code]).toEqual(["/dev/pts/0\r\n", 0]);
  });

  each(runtimes)("%s passes on the descriptors asked for and no others", async (runtime) => {
    const path = join(bench.directory, "passed");
    writeFileSync(path, "passed");
    configure(
      "busybox cat <&3; for fd in /proc/self/fd/*; do echo ${fd##*/}; done | busybox grep -v '^[012]$' | busybox sort -n | busybox tr '\\n' ' '",
      (config) => {
        config.process.terminal = false;
      },
    );
    const inner = command(runtime, "--preserve-fds", "2")
      .map((word) => `'${word}'`)
      .join(" ");
    const script = `exec 3<${path} 4</dev/null 5</etc/passwd 10</etc/hosts 251</etc/hosts; exec ${inner}`;
    const child = Bun.spawn(["bash", "-c", script], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const text = await new Response(child.stdout).text();
    // The shell has the directory that it lists open as 5 and, as a part of a pipe, perhaps more; 10 is its own script's.
    expect([text.slice(0, 6), / 251 /.test(text), / 4 /.test(text)]).toEqual(["passed", false, true]);
  });

  own("what a container gets of its caller's descriptors is exact", async () => {
    configure("", (config) => {
      config.process.terminal = false;
      config.process.args = ["/bin/busybox", "ls", "-l", "/proc/self/fd"];
    });
    const listed = async (options: string[], environment: string): Promise<string[]> => {
      const inner = command(runtimePath, ...options)
        .map((word) => `'${word}'`)
        .join(" ");
      const script = `exec 3</etc/hostname 4</dev/null 5</etc/passwd 6</etc/hosts 251</etc/hosts; ${environment} exec ${inner}`;
      const child = Bun.spawn(["bash", "-c", script], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      const lines = (await new Response(child.stdout).text()).split("\n").filter((line) => line.startsWith("l"));
      const fds = lines.map((line) => / (\d+)(?: ->.*)?$/.exec(line)?.[1] ?? line).sort((a, b) => Number(a) - Number(b));
      // The last is the directory that ls reads itself.
      return fds.slice(3, -1);
    };
    expect(await listed([], "")).toEqual([]);
    expect(await listed(["--preserve-fds", "1"], "")).toEqual(["3"]);
    expect(await listed(["--preserve-fds", "3"], "")).toEqual(["3", "4", "5"]);
    expect(await listed(["--preserve-fds", "1"], "LISTEN_PID=$$ LISTEN_FDS=2")).toEqual(["3", "4", "5"]);
    expect(await listed([], "LISTEN_PID=1 LISTEN_FDS=2")).toEqual([]);
  });

  own("socket activation is told to the container, and a descriptor that is not open is refused", async () => {
    configure("echo $LISTEN_FDS $LISTEN_PID", (config) => {
      config.process.terminal = false;
    });
    const words = (...options: string[]): string =>
      command(runtimePath, ...options)
        .map((word) => `'${word}'`)
        .join(" ");
    const child = Bun.spawn(["bash", "-c", `exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec ${words()}`], {
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await new Response(child.stdout).text()).toBe("1 1\n");
    const refused = Bun.spawn(["bash", "-c", `exec 3>&-; exec ${words("--preserve-fds", "1")}`], { stdout: "pipe", stderr: "pipe" });
    expect(await new Response(refused.stderr).text()).toContain(
      "cannot pass on descriptor 3: bad file descriptor (EBADF); the caller has not opened all of them",
    );
    expect(await refused.exited).toBe(1);
  });

  own("a user other than root can open /dev/stdout when that is a pipe", async () => {
    configure("echo opened >/dev/stdout; echo err >/dev/stderr", (config) => {
      config.process.terminal = false;
      config.process.user = { uid: 1000, gid: 1000 };
    });
    // A pipe of a shell, as Bun's are sockets, which nobody can open.
    const child = Bun.spawn(["bash", "-c", `{ ${command(runtimePath).join(" ")} 2>&1; } | cat`], { stdout: "pipe" });
    expect(await new Response(child.stdout).text()).toBe("opened\nerr\n");
  });
});

describe.skipIf(notRoot !== undefined || !installed("python3"))("a console socket", () => {
  test.each(["short", "d".repeat(100)])(
    "gets the master and its name (%#)",
    async (folder) => {
      const bench = new Workbench();
      try {
        const directory = join(bench.directory, folder);
        mkdirSync(directory);
        const path = join(directory, "console");
        const receiver = Bun.spawn(["python3", helper, "receive", path], { stdout: "pipe", stderr: "inherit" });
        const output = receiver.stdout.getReader();
        let text = "";
        const read = async (): Promise<boolean> => {
          const { value, done } = await output.read();
          text += Buffer.from(value ?? []).toString();
          return !done;
        };
        while (!text.includes("listening\n") && (await read()));
        const main: Op[] = [
          { op: "open-console", path },
          { op: "clone", section: 2, flags: 0x0002_0000, cgroup: "" },
          { op: "release-child" },
          { op: "await-exec" },
          { op: "supervise" },
        ];
        const child: Op[] = [
          { op: "await-parent" },
          { op: "propagation", path: "/", flags: 0x4_4000 },
          { op: "mount-data", fstype: "devpts", source: "devpts", target: "/dev/pts", flags: 0, data: "newinstance,ptmxmode=0666" },
          { op: "new-session" },
          { op: "terminal", width: 70, height: 30, uid: 0, console: 0 },
          {
            op: "exec",
            candidates: ["/bin/sh"],
            argv: ["sh", "-c", "stty size; echo ready; read x; echo got $x; sleep 0.2"],
            env: ["PATH=/bin:/usr/bin"],
          },
        ];
        expect(failureOf(await run(main, [], child))).toBeUndefined();
        while (await read());
        const received = JSON.parse(text.slice(text.indexOf("{"))) as { name: string; text: string };
        expect(received.name).toBe("/dev/pts/0");
        expect(received.text).toBe("30 70\r\nready\r\nhello\r\ngot hello\r\n");
      } finally {
        bench.remove();
      }
    },
    patient(60_000),
  );

  test("that nobody listens on is refused before anything is made", async () => {
    expect(failureOf(await run([{ op: "open-console", path: "/nonexistent/console" }]))).toEqual([0, 2]);
  });
});
