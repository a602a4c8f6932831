/** What the executor does while a container runs: relays, signals, `create` and `start`, and its own early end. */
import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Op } from "#program/ops.gen.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { failureOf, notRoot, program, type Run, start, until } from "./executor-harness.ts";

const relays: Op[] = [0, 1, 2].map((fd) => ({ op: "relay-stdio", fd }));
const parent: Op[] = [
  { op: "clone", section: 2, flags: 0, cgroup: "" },
  { op: "release-child" },
  { op: "await-exec" },
  { op: "supervise" },
];
const shell = (script: string): Op[] => [
  { op: "await-parent" },
  { op: "exec", candidates: ["/bin/sh"], argv: ["sh", "-c", script], env: ["PATH=/bin:/usr/bin"] },
];

function relayed(script: string, stdin: "pipe" | "ignore" = "ignore"): Run {
  return start(program([...relays, ...parent], [], shell(script)), { stdin });
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function signal(running: Run, number: number): void {
  const command = Buffer.alloc(4);
  command.writeUInt32LE(number);
  running.control.write(command);
}

describe.skipIf(notRoot !== undefined)("supervision", () => {
  test("relayed input and output reach the other side, with their end of file", async () => {
    const running = relayed("cat; echo err >&2; exit 3", "pipe");
    running.process.stdin?.end("through and back");
    const outcome = await running.outcome;
    expect([outcome.stdout, outcome.stderr, outcome.exitCode]).toEqual(["through and back", "err\n", 3]);
  });

  test("megabytes pass unharmed in both directions at once", async () => {
    const running = relayed("cat", "pipe");
    const data = Buffer.alloc(4 << 20, "0123456789abcdefg");
    running.process.stdin?.end(data);
    const outcome = await running.outcome;
    expect(outcome.stdout.length).toBe(data.length);
    expect(outcome.stdout === data.toString()).toBe(true);
  });

  test("what a process leaves in the pipes is delivered after its end", async () => {
    const outcome = await relayed("head -c 60000 /dev/zero | tr '\\0' x").outcome;
    expect(outcome.stdout.length).toBe(60000);
  });

  test("a process that is left behind and goes on writing does not keep the executor", async () => {
    const outcome = await relayed("(while true; do echo noise || exit; done) & exit 5").outcome;
    expect(outcome.exitCode).toBe(5);
  });

  test("an outside that has gone stops nothing", async () => {
    const running = relayed("head -c 1000000 /dev/zero; echo done >&2");
    running.process.stdout?.destroy();
    const outcome = await running.outcome;
    expect([outcome.stderr, outcome.exitCode]).toEqual(["done\n", 0]);
  });

  test("an outside that does not read delays neither signals nor the end", async () => {
    using scratch = scratchDirectory();
    const pidPath = join(scratch.path, "pid");
    const main: Op[] = [...relays, ...parent.slice(0, 1), { op: "child-pid", path: pidPath, create: 1 }, ...parent.slice(1)];
    const running = start(program(main, [], shell("while true; do echo 0123456789; done")));
    running.process.stdout?.pause();
    await until("the start", () => running.reports().length > 0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    signal(running, 15);
    const pid = readFileSync(pidPath, "utf8");
    await until("the container's end", () => !existsSync(`/proc/${pid}`));
    running.process.stdout?.resume();
    expect((await running.outcome).exitCode).toBe(143);
  });

  test("flags of the caller's descriptors are not changed", async () => {
    const script = `exec 3>&-; "$0" 3<"$1" & wait $!; grep flags /proc/$$/fdinfo/1`;
    using scratch = scratchDirectory();
    const path = join(scratch.path, "program");
    const { executorPath } = await import("./executor-harness.ts");
    await Bun.write(path, program([...relays, ...parent], [], shell("echo hello")));
    const out = execFileSync("sh", ["-c", script, executorPath(), path], { encoding: "utf8" });
    expect(out).toMatch(/^hello\nflags:\t0[0-9]*[12]\n$/);
    expect(Number.parseInt(/flags:\t([0-7]+)/.exec(out)?.[1] ?? "", 8) & constants.O_NONBLOCK).toBe(0);
  });

  test("signals asked for are delivered, and numbers that are none are not", async () => {
    const running = relayed("trap 'echo got; exit 7' USR1; echo ready; while true; do sleep 0.01; done");
    await until("ready", () => running.stdout().includes("ready"));
    signal(running, 999);
    signal(running, 10);
    const outcome = await running.outcome;
    expect([outcome.stdout, outcome.exitCode]).toEqual(["ready\ngot\n", 7]);
  });

  test("a caller that goes away ends nothing", async () => {
    using scratch = scratchDirectory();
    const main: Op[] = [...parent, { op: "record-exit", path: join(scratch.path, "exit") }];
    const running = start(program(main, [], shell("sleep 0.3; exit 4")));
    await until("the start", () => running.reports().length > 0);
    running.control.destroy();
    await until("the record", () => readIfThere(join(scratch.path, "exit")) === "exited 4");
    await until("the executor's end", () => running.process.exitCode === 4);
  });

  test("a child that waits ends with its parent", async () => {
    using scratch = scratchDirectory();
    const pidPath = join(scratch.path, "pid");
    const running = start(
      program([parent[0] as Op, { op: "child-pid", path: pidPath, create: 1 }, { op: "await-ready" }], [], shell("sleep 60")),
    );
    await until("the pid", () => readIfThere(pidPath) !== "");
    const pid = readFileSync(pidPath, "utf8");
    running.process.kill("SIGKILL");
    await until("the child's end", () => !existsSync(`/proc/${pid}`));
  });

  test("a created container waits for its fifo, outlives the executor and knows when nobody waits", async () => {
    using scratch = scratchDirectory();
    const fifo = join(scratch.path, "start");
    const ran = join(scratch.path, "ran");
    execFileSync("mkfifo", ["-m", "600", fifo]);
    const child: Op[] = [
      { op: "await-parent" },
      { op: "open-start", path: fifo, failure: join(scratch.path, "failed") },
      { op: "await-start", path: fifo },
      ...shell(`echo $$ > ${ran}`).slice(1),
    ];
    const open = (): number => openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    expect(open).toThrow("ENXIO");
    const main: Op[] = [...parent.slice(0, 2), { op: "record-child", path: join(scratch.path, "stat") }, { op: "await-ready" }];
    const running = start(program(main, [], child));
    await until("the executor's end", () => running.process.exitCode === 0);
    await until("the report", () => running.reports().length > 0);
    const pid = running.reports().find((report) => report.kind === "created")?.value ?? 0;
    expect(readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[0]).toBe(readFileSync(join(scratch.path, "stat"), "utf8").split(" ")[0]);
    expect(existsSync(ran)).toBe(false);
    const fd = open();
    writeSync(fd, "0");
    await until("the program", () => existsSync(ran) && readFileSync(ran, "utf8") === `${pid}\n`);
    closeSync(fd);
    expect(open).toThrow("ENXIO");
  });

  test("closing the fifo starts as well as writing", async () => {
    using scratch = scratchDirectory();
    const fifo = join(scratch.path, "start");
    execFileSync("mkfifo", [fifo]);
    const child: Op[] = [
      { op: "await-parent" },
      { op: "open-start", path: fifo, failure: `${fifo}.failed` },
      { op: "await-start", path: fifo },
      ...shell("exit 6").slice(1),
    ];
    const running = start(program([...parent.slice(0, 2), { op: "await-ready" }, { op: "supervise" }], [], child));
    await until("created", () => running.reports().some((report) => report.kind === "created"));
    closeSync(openSync(fifo, "w"));
    expect((await running.outcome).exitCode).toBe(6);
  });

  test("a supervised container that cannot execute after its start has failed at exec", async () => {
    using scratch = scratchDirectory();
    const fifo = join(scratch.path, "start");
    execFileSync("mkfifo", [fifo]);
    const child: Op[] = [
      { op: "await-parent" },
      { op: "open-start", path: fifo, failure: `${fifo}.failed` },
      { op: "await-start", path: fifo },
      { op: "exec", candidates: ["/none"], argv: ["x"], env: [] },
    ];
    const running = start(program([...parent.slice(0, 2), { op: "await-ready" }, { op: "supervise" }], [], child));
    await until("created", () => running.reports().some((report) => report.kind === "created"));
    closeSync(openSync(fifo, "w"));
    expect(failureOf(await running.outcome)).toEqual([7, 2]);
  });

  test("a lock keeps others out until it is given up", async () => {
    using scratch = scratchDirectory();
    const lock: Op = { op: "lock", path: join(scratch.path, "lock"), exclusive: 1 };
    const end = join(scratch.path, "end");
    const first = start(program([lock, ...parent], [], shell(`until test -e ${end}; do sleep 0.02; done`)));
    await until("the start", () => first.reports().length > 0);
    const second = start(program([lock, { op: "report", value: 77 }]));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([first.process.exitCode, second.reports()]).toEqual([null, []]);
    writeFileSync(end, "");
    await first.outcome;
    expect((await second.outcome).reports).toEqual([{ kind: "reached", opIndex: 1, value: 77 }]);
  });

  test("standard descriptors become /dev/null, and missing ones are not taken by others", async () => {
    using scratch = scratchDirectory();
    const path = join(scratch.path, "program");
    const { executorPath } = await import("./executor-harness.ts");
    await Bun.write(
      path,
      program([{ op: "null-stdio", fd: 0 }, ...parent], [], shell("readlink /proc/self/fd/0 /proc/self/fd/2; ls /proc/self/fd | wc -l")),
    );
    const out = execFileSync("sh", ["-c", `"$0" 3<"$1" <&- 2>&-`, executorPath(), path], { encoding: "utf8" });
    // ls has one more for the directory that it reads.
    expect(out).toBe("/dev/null\n/dev/null\n4\n");
  });
});
