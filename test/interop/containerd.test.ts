/** containerd by its own small client. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, type Ended } from "../root/gantry-harness.ts";
import { installed } from "../support/images/commands.ts";
import { whyNoCriu } from "../support/criu.ts";
import { drive } from "../support/terminal.ts";
import { Containerd, missing, Podman, runtime, title } from "./clients.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
const reason = missing("containerd", "podman");
const noCriu = await whyNoCriu();
const store = reason === undefined ? new Podman() : (undefined as unknown as Podman);
const image = "localhost/tiny:latest";
const how = ["--snapshotter", "native", "--runc-binary", runtime];

describe.skipIf(reason !== undefined)(title("containerd", reason), () => {
  const containerd = reason === undefined ? new Containerd(store.directory) : (undefined as unknown as Containerd);
  const ctr = (...words: readonly string[]): Promise<Ended> => containerd.ctr(...words);
  const run = (id: string, script: string, ...options: readonly string[]): Promise<Ended> =>
    ctr("run", "--rm", ...how, ...options, image, id, "/bin/busybox", "sh", "-c", script);
  /** Starts a container that stays until `remove`. */
  const start = (id: string, script: string, ...options: readonly string[]): Promise<Ended> =>
    ctr("run", "-d", ...how, ...options, image, id, "/bin/busybox", "sh", "-c", script);
  const exec = (id: string, ...words: readonly string[]): Promise<Ended> =>
    ctr("tasks", "exec", "--exec-id", `x${Bun.nanoseconds()}`, id, ...words);
  const status = async (id: string): Promise<string> =>
    new RegExp(`^${id} .* (\\w+) *$`, "m").exec((await ctr("tasks", "ls")).stdout)?.[1] ?? "none";
  async function remove(id: string): Promise<void> {
    await ctr("tasks", "kill", "-s", "KILL", id);
    expect(await eventually(async () => (await status(id)) === "STOPPED")).toBe(true);
    await ctr("tasks", "rm", id);
    expect((await ctr("containers", "rm", id)).code).toBe(0);
  }

  beforeAll(async () => {
    await store.load();
    await store.output("save", "--format", "oci-archive", "-o", join(store.directory, "image.tar"), "tiny");
    await containerd.start();
    expect((await ctr("images", "import", "--snapshotter", "native", join(store.directory, "image.tar"))).code).toBe(0);
  });
  afterAll(async () => {
    await containerd.end();
    await store.close();
  });

  test("output and exit codes, and a program that is not there", async () => {
    expect(await run("first", "echo out; exit 6")).toMatchObject({ code: 6, stdout: "out\n" });
    const none = await ctr("run", "--rm", ...how, image, "none", "no-such-program");
    expect(none.code).toBe(1);
    expect(none.stderr).toMatch(/no-such-program.*not found/);
    expect(await status("none")).toBe("none");
  });

  test.each<[readonly string[], string, string]>([
    [["--cwd", "/tmp", "--env", "A=b"], "pwd; echo $A", "/tmp\nb\n"],
    [["--cap-drop", "CAP_CHOWN"], "grep CapEff /proc/self/status | grep -c '[02468ace]$'", "1\n"],
    [["--read-only"], "touch /x 2>/dev/null || echo read-only", "read-only\n"],
    [["--seccomp"], "grep Seccomp: /proc/self/status", "Seccomp:\t2\n"],
    [["--allow-new-privs"], "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0\n"],
    [["--mount", "type=tmpfs,dst=/t,options=size=1m"], "grep -c '/t tmpfs.*size=1024k' /proc/mounts", "1\n"],
    [["--device", "/dev/kmsg"], "busybox stat -c %t,%T /dev/kmsg", "1,b\n"],
    [["--net-host"], "busybox test $(busybox ls /sys/class/net | busybox wc -l) -ge 1 && echo on", "on\n"],
  ])("run %j", async (options, script, stdout) => {
    expect(await run(`o${Bun.nanoseconds()}`, script, ...options)).toMatchObject({ code: 0, stdout });
  });

  test("another process: exit code, user and directory", async () => {
    expect((await start("worker", "exec sleep 1000")).code).toBe(0);
    expect(await exec("worker", "/bin/sh", "-c", "echo in; exit 9")).toMatchObject({ code: 9, stdout: "in\n" });
    const other = await ctr("tasks", "exec", "--exec-id", "u", "--user", "5:6", "--cwd", "/tmp", "worker", "/bin/sh", "-c", "id -u; pwd");
    expect(other.stdout).toBe("5\n/tmp\n");
    expect((await exec("worker", "no-such-program")).code).toBe(1);
    expect((await ctr("tasks", "ps", "worker")).stdout).toMatch(/^PID +INFO\n\d+ /);
    await remove("worker");
  });

  test("pause, resume, signals", async () => {
    await start("loop", "trap 'exit 4' TERM; touch /ready; while :; do sleep 0.05; done");
    // Before it has its trap, the first process of a pid namespace is not even touched by the signal.
    expect(await eventually(async () => (await exec("loop", "/bin/busybox", "test", "-e", "/ready")).code === 0)).toBe(true);
    expect((await ctr("tasks", "pause", "loop")).code).toBe(0);
    expect(await status("loop")).toBe("PAUSED");
    expect((await ctr("tasks", "resume", "loop")).code).toBe(0);
    expect(await status("loop")).toBe("RUNNING");
    expect((await ctr("tasks", "kill", "-s", "TERM", "loop")).code).toBe(0);
    expect(await eventually(async () => (await status("loop")) === "STOPPED")).toBe(true);
    const removed = await ctr("tasks", "rm", "loop");
    expect(removed.code === 4 || removed.stderr.includes("4")).toBe(true);
    expect((await ctr("containers", "rm", "loop")).code).toBe(0);
  });

  test("limits, and what is counted", async () => {
    await start("limited", "exec sleep 1000", "--memory-limit", "67108864", "--cpu-quota", "50000", "--cpu-period", "100000");
    const { code, stdout } = await ctr("tasks", "metrics", "--format", "json", "limited");
    expect(code).toBe(0);
    expect(stdout).toMatch(/67108864/);
    await remove("limited");
  });

  test.skipIf(!installed("python3"))("a terminal for the first process and for another", async () => {
    const script = "busybox tty; read x; echo got $x; busybox stty size; exit 3";
    const words = ["/bin/busybox", "sh", "-c", script];
    const first = await drive(
      [["/dev/pts/0", "send", "line\r"]],
      containerd.command("run", "--rm", "-t", ...how, image, "screen", ...words),
    );
    // The client turns the newlines of raw output into two bytes once more.
    expect(first.text.replaceAll(/\r+/g, "")).toContain("got line\n24 80\n");
    expect(first.code).toBe(3);
    await start("second", "exec sleep 1000");
    const other = await drive(
      [["/dev/pts/0", "send", "line\r"]],
      containerd.command("tasks", "exec", "-t", "--exec-id", "t", "second", ...words),
    );
    expect(other.text).toContain("got line");
    expect(other.code).toBe(3);
    await remove("second");
  });

  test.skipIf(noCriu !== undefined)(
    `a checkpoint of a task, and a container that is made of it${noCriu === undefined ? "" : ` (skipped: ${noCriu})`}`,
    async () => {
      const volume = join(store.directory, "counted");
      Bun.spawnSync(["mkdir", "-p", volume]);
      const counted = (): number => (existsSync(join(volume, "n")) ? Number(readFileSync(join(volume, "n"), "utf8")) : 0);
      const counter = "i=0; while :; do i=$((i+1)); echo $i > /volume/m; busybox mv /volume/m /volume/n; busybox sleep 0.05; done";
      const mount = ["--mount", `type=bind,src=${volume},dst=/volume,options=rbind:rw`];
      expect(await start("counter", counter, ...mount)).toMatchObject({ code: 0 });
      expect(await eventually(() => counted() > 3)).toBe(true);
      const reference = "localhost/checkpoint:latest";
      const taken = await ctr("containers", "checkpoint", "--image", "--task", "--rw", "counter", reference);
      expect({ code: taken.code, stderr: taken.code === 0 ? "" : taken.stderr }).toEqual({ code: 0, stderr: "" });
      await remove("counter");
      const before = counted();
      const restored = await ctr("containers", "restore", "--live", "--rw", "again", reference);
      expect({ code: restored.code, stderr: restored.code === 0 ? "" : restored.stderr }).toEqual({ code: 0, stderr: "" });
      expect(await status("again")).toBe("RUNNING");
      // It goes on from what it had in memory, which is a little less than what it has written since.
      expect(await eventually(() => counted() > before)).toBe(true);
      await remove("again");
    },
  );

  test("a config of somebody's own", async () => {
    const path = join(store.directory, "own.json");
    const rootfs = join(store.directory, "own-rootfs");
    Bun.spawnSync(["mkdir", "-p", rootfs]);
    Bun.spawnSync(["tar", "-xf", join(store.directory, "tiny.tar"), "-C", rootfs]);
    const namespaces = ["pid", "mount", "ipc", "uts"].map((type) => ({ type }));
    writeFileSync(
      path,
      JSON.stringify({
        ociVersion: "1.0.2",
        root: { path: rootfs },
        process: { args: ["/bin/sh", "-c", "hostname; echo $$"], cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } },
        hostname: "own",
        mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
        linux: { namespaces, cgroupsPath: `/gantry-interop-${process.pid}` },
      }),
    );
    expect(await ctr("run", "--rm", "--runc-binary", runtime, "--config", path, "own")).toMatchObject({ code: 0, stdout: "own\n1\n" });
  });
});
