/** The life of a container under podman, and the clients' way of asking for what happens in it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../root/gantry-harness.ts";
import { missing, Podman, runtime, title } from "./clients.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
const reason = missing("podman");
const noTerminal = reason ?? missing("python3");
const podman = reason === undefined ? new Podman() : (undefined as unknown as Podman);
const loop = 'trap "exit 3" TERM; trap "echo got USR1" USR1; echo started; while :; do sleep 0.1; done';

describe.skipIf(reason !== undefined)(title("podman", reason), () => {
  beforeAll(() => podman.load());
  afterAll(() => podman.close());

  test("exit codes are the program's, 126 and 127 the runtime's", async () => {
    expect(await podman.run("echo hello")).toMatchObject({ code: 0, stdout: "hello\n" });
    expect((await podman.run("exit 7")).code).toBe(7);
    expect((await podman.run("sh -c 'kill -9 $$'; exit $?")).code).toBe(137);
    expect((await podman.podman("run", "--rm", "--network", "none", "tiny", "no-such-program")).code).toBe(127);
    expect((await podman.podman("run", "--rm", "--network", "none", "tiny", "/etc")).code).toBe(126);
  });

  test("standard input, output and error go where they should", async () => {
    const words = podman.command("run", "--rm", "-i", "--network", "none", "tiny", "/bin/sh", "-c", "cat; echo error >&2");
    expect(await podman.execute(words, { stdin: "line\n" })).toEqual({ code: 0, stdout: "line\n", stderr: "error\n" });
  });

  test("a container in the background: logs, exec, pause, top, stats, stop", async () => {
    await podman.start("one", loop);
    expect(await eventually(async () => (await podman.output("logs", "one")) === "started")).toBe(true);
    const status = (): Promise<string> => podman.output("inspect", "one", "--format", "{{.State.Status}} {{.State.ExitCode}}");
    expect((await podman.podman("pause", "one")).code).toBe(0);
    expect(await status()).toBe("paused 0");
    expect((await podman.podman("unpause", "one")).code).toBe(0);
    expect(await podman.output("top", "one", "user", "pid", "comm")).toMatch(/^USER +PID +COMMAND\nroot +1 +busybox(\n|$)/);
    expect(await podman.output("stats", "--no-stream", "one", "--format", "{{.Name}} {{.PIDs}}")).toMatch(/^one [12]$/);
    await podman.output("kill", "--signal", "USR1", "one");
    expect(await eventually(async () => (await podman.output("logs", "one")).includes("got USR1"))).toBe(true);
    expect((await podman.podman("stop", "-t", "60", "one")).code).toBe(0);
    expect(await status()).toBe("exited 3");
    await podman.output("start", "one");
    await podman.output("restart", "-t", "0", "one");
    expect(await status()).toBe("running 0");
    await podman.output("kill", "one");
    expect(await eventually(async () => (await status()) === "exited 137")).toBe(true);
    expect((await podman.podman("rm", "one")).code).toBe(0);
  });

  test("exec: exit codes, user, directory, environment, privileges, and in the background", async () => {
    await podman.start("worker", "exec sleep 1000", "--user", "5:6", "--env", "FROM=container");
    const exec = (...words: string[]): ReturnType<Podman["podman"]> => podman.podman("exec", ...words);
    expect(await exec("worker", "/bin/sh", "-c", "echo $FROM; id -u; exit 9")).toMatchObject({ code: 9, stdout: "container\n5\n" });
    const options = ["--user", "33:44", "--workdir", "/tmp", "--env", "Q=1"];
    expect((await exec(...options, "worker", "/bin/sh", "-c", "id -u; id -g; pwd; echo $Q")).stdout).toBe("33\n44\n/tmp\n1\n");
    expect((await exec("--user", "0", "--privileged", "worker", "grep", "CapEff", "/proc/self/status")).stdout).toMatch(/f{6}\n$/);
    expect((await exec("worker", "/bin/sh", "-c", "kill -9 $$")).code).toBe(137);
    expect((await exec("worker", "no-such-program")).code).toBe(127);
    expect((await exec("worker", "/etc")).code).toBe(126);
    await podman.output("exec", "-d", "worker", "touch", "/tmp/detached");
    expect(await eventually(async () => (await exec("worker", "ls", "/tmp")).stdout === "detached\n")).toBe(true);
    const words = podman.command("exec", "-i", "worker", "cat");
    expect(await podman.execute(words, { stdin: "through\n" })).toMatchObject({ code: 0, stdout: "through\n" });
    await podman.output("rm", "-f", "-t", "0", "worker");
    expect((await exec("worker", "true")).code).not.toBe(0);
  });

  test("update changes the limits of what runs", async () => {
    await podman.start("grown", "exec sleep 1000", "--cpus", "0.5", "--pids-limit", "20");
    const limit = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max";
    const quota = async (): Promise<string> => (await podman.output("exec", "grown", "/bin/sh", "-c", limit)).split(" ")[0] ?? "";
    expect(await quota()).toBe("50000");
    await podman.output("update", "--cpus", "0.8", "grown");
    expect(await quota()).toBe("80000");
    await podman.output("rm", "-f", "-t", "0", "grown");
  });

  test("what needs more memory than it may have is killed", async () => {
    expect((await podman.podman("run", "--name", "hog", "--network", "none", "-m", "16m", "tiny", "tail", "/dev/zero")).code).toBe(137);
    await podman.output("rm", "hog");
  });

  test("a health check is run in the container", async () => {
    await podman.start("patient", "exec sleep 1000", "--health-cmd", "test -e /tmp/ok", "--health-interval", "disable");
    expect((await podman.podman("healthcheck", "run", "patient")).code).toBe(1);
    await podman.output("exec", "patient", "touch", "/tmp/ok");
    expect((await podman.podman("healthcheck", "run", "patient")).code).toBe(0);
    expect(await podman.output("inspect", "patient", "--format", "{{.State.Health.Status}}")).toBe("healthy");
    await podman.output("rm", "-f", "-t", "0", "patient");
  });

  test("--userns=auto takes a range of its own for each container", async () => {
    const ranges = join(podman.directory, "ranges");
    writeFileSync(ranges, "containers:100000:1000000\n");
    // The machine's own list of ranges stays as it is: podman sees another one.
    const look = 'mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"';
    const words = ["run", "--rm", "--network", "none", "--userns=auto:size=1000", "tiny"];
    const inside = ["/bin/sh", "-c", "/bin/busybox tr -s ' ' </proc/self/uid_map; touch /tmp/x; stat -c %u /tmp/x"];
    const ended = await podman.execute(["unshare", "-m", "sh", "-c", look, ranges, ...podman.command(...words, ...inside)]);
    expect(ended).toMatchObject({ code: 0, stdout: " 0 100000 1000\n0\n" });
  });
});

describe.skipIf(noTerminal !== undefined)(title("podman in a terminal", noTerminal), () => {
  const terminal = noTerminal === undefined ? new Podman() : (undefined as unknown as Podman);
  beforeAll(() => terminal.load());
  afterAll(() => terminal.close());
  const script = "busybox tty; read x; echo got $x; busybox stty size; exit 4";

  test("run -it has the terminal's size and keys, and gives it back", async () => {
    const ended = await terminal.drive(
      [["/dev/pts/0", "send", "line\r"]],
      "run",
      "--rm",
      "-it",
      "--network=none",
      "tiny",
      "/bin/busybox",
      "sh",
      "-c",
      script,
    );
    expect(ended.text).toContain("got line\r\n24 80\r\n");
    expect([ended.code, ended.restored]).toEqual([4, true]);
  });

  test("exec -it has one of its own, and a change of size reaches it", async () => {
    await terminal.start("screen", "exec sleep 1000");
    const ended = await terminal.drive([["/dev/pts/", "send", "line\r"]], "exec", "-it", "screen", "/bin/busybox", "sh", "-c", script);
    expect(ended.text).toContain("got line\r\n24 80\r\n");
    expect(ended.code).toBe(4);
    const winch =
      "trap look WINCH; look() { busybox stty size; test \"$(busybox stty size)\" = '50 132' && exit 0; }; echo ready; while :; do busybox sleep 0.05; done";
    const resized = await terminal.drive([["ready", "resize", [50, 132]]], "exec", "-it", "screen", "/bin/busybox", "sh", "-c", winch);
    expect(resized.text).toContain("50 132\r\n");
    expect((await terminal.podman("exec", "-t", "screen", "/bin/busybox", "tty")).stdout).toContain("/dev/pts/");
    await terminal.output("rm", "-f", "-t", "0", "screen");
  });

  test(`podman says which runtime it used: ${runtime}`, async () => {
    await terminal.start("named", "true");
    expect(await terminal.output("inspect", "named", "--format", "{{.OCIRuntime}}")).toContain(runtime.slice(runtime.lastIndexOf("/") + 1));
    await terminal.output("rm", "-f", "named");
  });
});
