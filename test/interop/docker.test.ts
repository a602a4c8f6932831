/** dockerd with the runtime added by name, as `docker run --runtime` takes it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, execute, hasV1, type Ended } from "../root/gantry-harness.ts";
import { installed } from "../support/images/commands.ts";
import { tinyLayer } from "../support/images/tiny.ts";
import { drive } from "../support/terminal.ts";
import { Containerd, Daemon, missing, runtime, runtimeName, scratchPlace, title } from "./clients.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
const reason = missing("dockerd", "docker", "containerd");
const directory = reason === undefined ? scratchPlace() : "";
const socket = join(directory, "docker.sock");
const parent = `gantry-interop-docker-${process.pid}`;
const loop = 'trap "exit 3" TERM; trap "echo got USR1" USR1; echo started; while :; do sleep 0.1; done';

const docker = (...words: readonly string[]): Promise<Ended> => execute(["docker", "-H", `unix://${socket}`, ...words]);
const command = (...words: readonly string[]): string[] => ["docker", "-H", `unix://${socket}`, ...words];
const how = ["--runtime", "tested", "--network", "none"];
const run = (script: string, ...options: readonly string[]): Promise<Ended> =>
  docker("run", "--rm", ...how, ...options, "tiny", "/bin/busybox", "sh", "-c", script);
const exec = (name: string, ...words: readonly string[]): Promise<Ended> => docker("exec", name, ...words);

async function output(...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await docker(...words);
  if (code !== 0) throw new Error(`docker ${words.join(" ")}: exit code ${code}: ${stderr}`);
  return stdout.trim();
}

const start = (name: string, script: string, ...options: readonly string[]): Promise<string> =>
  output("run", "-d", "--name", name, ...how, ...options, "tiny", "/bin/busybox", "sh", "-c", script);

/** Takes away the cgroups that were made for the daemon's containers, deepest first. */
function removeCgroups(): void {
  const controllers = existsSync("/sys/fs/cgroup/cgroup.controllers") ? [""] : readdirSync("/sys/fs/cgroup");
  for (const controller of controllers) {
    const path = join("/sys/fs/cgroup", controller, parent);
    if (existsSync(path)) rmdirSync(path);
  }
}

describe.skipIf(reason !== undefined)(title("dockerd", reason), () => {
  const containerd = reason === undefined ? new Containerd(directory) : (undefined as unknown as Containerd);
  let daemon: Daemon | undefined;

  beforeAll(async () => {
    await containerd.start();
    writeFileSync(join(directory, "daemon.json"), "{}");
    const places = ["--data-root", join(directory, "data"), "--exec-root", join(directory, "exec"), "-p", join(directory, "pid")];
    const without = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver", "vfs", "--cgroup-parent", `/${parent}`];
    const listen = ["-H", `unix://${socket}`, "--containerd", containerd.socket, "--config-file", join(directory, "daemon.json")];
    daemon = new Daemon(["dockerd", ...places, ...without, ...listen, "--add-runtime", `tested=${runtime}`], join(directory, "log"));
    if (!(await eventually(async () => (await docker("version")).code === 0, 90_000))) throw new Error("dockerd does not answer");
    writeFileSync(join(directory, "tiny.tar"), tinyLayer());
    await output("import", join(directory, "tiny.tar"), "tiny");
  });
  afterAll(async () => {
    const left = await output("ps", "-aq");
    if (left !== "") await output("rm", "-f", ...left.split("\n"));
    await daemon?.end();
    await containerd.end();
    // dockerd leaves the network namespace that it made for `--network none` mounted.
    Bun.spawnSync(["umount", "-l", join(directory, "exec/netns/default")], { stderr: "ignore" });
    removeCgroups();
    rmSync(directory, { recursive: true, force: true });
  });

  test("output and exit codes are the program's", async () => {
    expect(await run("echo hello; echo error >&2")).toEqual({ code: 0, stdout: "hello\n", stderr: "error\n" });
    expect((await run("exit 7")).code).toBe(7);
    expect((await run("sh -c 'kill -9 $$'; exit $?")).code).toBe(137);
  });

  // docker knows such failures by what the runtime says of them, and does not know crun's words.
  test.skipIf(runtimeName === "crun")("a program that cannot be run is 127 or 126", async () => {
    expect((await docker("run", "--rm", ...how, "tiny", "no-such-program")).code).toBe(127);
    expect((await docker("run", "--rm", ...how, "tiny", "/etc")).code).toBe(126);
  });

  const given = join(directory, "given");
  const cat = (...names: string[]): string => `cat ${names.map((name) => `/sys/fs/cgroup/${name}`).join(" ")}`;
  test.each<[readonly string[], string, string]>([
    [["--init"], "busybox tr '\\0' ' ' </proc/1/cmdline | grep -c docker-init", "1\n"],
    [["--read-only", "--tmpfs", "/t"], "touch /x 2>/dev/null || echo read-only; touch /t/x && echo tmp", "read-only\ntmp\n"],
    [["--user", "12:34", "--security-opt", "no-new-privileges"], "id -u; id -g; grep NoNew /proc/self/status", "12\n34\nNoNewPrivs:\t1\n"],
    [["--cap-drop", "all", "--cap-add", "net_admin"], "grep CapEff /proc/self/status", "CapEff:\t0000000000001000\n"],
    [["--security-opt", `seccomp=${given}/seccomp.json`], "mkdir /tmp/x 2>&1 | grep -c 'not supported'", "1\n"],
    [["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status", "Seccomp:\t0\n"],
    [[], "grep Seccomp: /proc/self/status", "Seccomp:\t2\n"],
    [["--pid", "host"], "test $$ -gt 50 && echo host", "host\n"],
    [["--hostname", "here", "--domainname", "there"], "hostname; cat /proc/sys/kernel/domainname", "here\nthere\n"],
    [["--device", "/dev/kmsg:/dev/log:r"], "busybox stat -c %t,%T /dev/log; echo x 2>&1 >/dev/log | grep -c not", "1,b\n1\n"],
    [["-v", `${given}:/v:ro`], "cat /v/file; touch /v/x 2>/dev/null || echo read-only", "given\nread-only\n"],
    [["-v", "named:/v"], "touch /v/x; ls /v", "x\n"],
    [["--mount", `type=bind,src=${given},dst=/v,bind-propagation=rprivate`], "cat /v/file", "given\n"],
    [["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward", "1\n"],
    [["--shm-size", "1m"], "busybox df /dev/shm | busybox awk 'END{print $2}'", "1024\n"],
    [["--ulimit", "core=0:0", "--ulimit", "nofile=100:200"], "ulimit -c; ulimit -n", "0\n100\n"],
    [["--oom-score-adj", "300"], "cat /proc/self/oom_score_adj", "300\n"],
    [["--cgroupns", "private"], "grep -vc ':/$' /proc/self/cgroup || true", "0\n"],
    ...(hasV1
      ? ([
          [
            ["-m", "64m", "--memory-swap", "64m"],
            cat("memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes"),
            "67108864\n67108864\n",
          ],
          [["--cpus", "0.5", "--cpuset-cpus", "0"], cat("cpu/cpu.cfs_quota_us", "cpuset/cpuset.cpus"), "50000\n0\n"],
          [["--pids-limit", "20"], cat("pids/pids.max"), "20\n"],
        ] satisfies [readonly string[], string, string][])
      : ([[["-m", "64m", "--pids-limit", "20"], cat("memory.max", "pids.max"), "67108864\n20\n"]] satisfies [
          readonly string[],
          string,
          string,
        ][])),
  ])("run %j", async (options, script, stdout) => {
    mkdirSync(given, { recursive: true });
    writeFileSync(join(given, "file"), "given\n");
    const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }];
    writeFileSync(join(given, "seccomp.json"), JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls }));
    expect(await run(script, ...options)).toMatchObject({ code: 0, stdout });
  });

  test("what needs more memory than it may have is killed, and docker tells why", async () => {
    // containerd learns of the kill and of the end by different ways; when the end comes first, the kill is never told. That is not ours.
    const isTold = async (): Promise<boolean> => {
      expect((await docker("run", "--name", "hog", ...how, "-m", "16m", "tiny", "tail", "/dev/zero")).code).toBe(137);
      const told = await output("inspect", "hog", "--format", "{{.State.OOMKilled}}");
      await output("rm", "hog");
      return told === "true";
    };
    expect(await eventually(isTold)).toBe(true);
  });

  test("a container in the background: logs, pause, top, stats, kill, stop, restart", async () => {
    await start("one", loop);
    expect(await eventually(async () => (await output("logs", "one")) === "started")).toBe(true);
    const state = (): Promise<string> => output("inspect", "one", "--format", "{{.State.Status}} {{.State.ExitCode}}");
    await output("pause", "one");
    expect(await state()).toBe("paused 0");
    await output("unpause", "one");
    expect(await output("top", "one", "-o", "pid,comm")).toMatch(/^PID +COMMAND\n\d+ +busybox(\n|$)/);
    expect(await output("stats", "--no-stream", "one", "--format", "{{.Name}} {{.PIDs}}")).toMatch(/^one [12]$/);
    await output("kill", "-s", "USR1", "one");
    expect(await eventually(async () => (await output("logs", "one")).includes("got USR1"))).toBe(true);
    await output("stop", "-t", "60", "one");
    expect(await state()).toBe("exited 3");
    await output("start", "one");
    await output("restart", "-t", "1", "one");
    expect(await state()).toBe("running 0");
    await output("kill", "one");
    expect(await eventually(async () => (await state()) === "exited 137")).toBe(true);
    await output("rm", "one");
  });

  test("exec: exit codes, user, directory, environment, standard input, and in the background", async () => {
    await start("worker", "exec sleep 1000");
    expect(await exec("worker", "/bin/sh", "-c", "echo in; exit 9")).toMatchObject({ code: 9, stdout: "in\n" });
    const options = ["-u", "5:6", "-w", "/tmp", "-e", "A=b"];
    expect((await docker("exec", ...options, "worker", "/bin/sh", "-c", "id -u; id -g; pwd; echo $A")).stdout).toBe("5\n6\n/tmp\nb\n");
    const words = command("exec", "-i", "worker", "cat");
    expect(await execute(words, { stdin: "through\n" })).toMatchObject({ code: 0, stdout: "through\n" });
    await output("exec", "-d", "worker", "touch", "/tmp/detached");
    expect(await eventually(async () => (await exec("worker", "ls", "/tmp")).stdout === "detached\n")).toBe(true);
    expect((await exec("worker", "no-such-program")).code).toBeGreaterThanOrEqual(126);
    await output("rm", "-f", "worker");
  });

  test.skipIf(!installed("python3"))("run -it and exec -it have a terminal", async () => {
    const words = ["/bin/busybox", "sh", "-c", "busybox tty; read x; echo got $x; exit 4"];
    const first = await drive([["/dev/pts/0", "send", "line\r"]], command("run", "--rm", "-it", ...how, "tiny", ...words));
    expect(first.text).toContain("got line\r\n");
    expect(first.code).toBe(4);
    await start("screen", "exec sleep 1000");
    const other = await drive([["/dev/pts/", "send", "line\r"]], command("exec", "-it", "screen", ...words));
    expect(other.text).toContain("got line\r\n");
    expect(other.code).toBe(4);
    await output("rm", "-f", "screen");
  });

  test("a health check is run in the container", async () => {
    await start("patient", "exec sleep 1000", "--health-cmd", "test -e /tmp/ok", "--health-interval", "200ms", "--health-retries", "1");
    const health = (): Promise<string> => output("inspect", "patient", "--format", "{{.State.Health.Status}}");
    expect(await eventually(async () => (await health()) === "unhealthy")).toBe(true);
    await exec("patient", "touch", "/tmp/ok");
    expect(await eventually(async () => (await health()) === "healthy")).toBe(true);
    await output("rm", "-f", "patient");
  });

  test.skipIf(!hasV1)("update changes the limits of what runs", async () => {
    await start("grown", "exec sleep 1000", "-m", "50m", "--memory-swap", "50m");
    await output("update", "-m", "100m", "--memory-swap", "200m", "--cpus", "0.7", "--pids-limit", "50", "grown");
    const files = cat("memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us", "pids/pids.max");
    expect((await exec("grown", "/bin/sh", "-c", files)).stdout).toBe("104857600\n70000\n50\n");
    await output("rm", "-f", "grown");
  });

  test("a container that fails is started again, and one joins another's namespaces", async () => {
    await start("failing", "exit 4", "--restart", "on-failure:2");
    const count = (): Promise<string> =>
      output("inspect", "failing", "--format", "{{.RestartCount}} {{.State.ExitCode}} {{.State.Status}}");
    expect(await eventually(async () => (await count()) === "2 4 exited")).toBe(true);
    await start("base", "exec sleep 1000", "--ipc", "shareable");
    const joined = ["--runtime", "tested", "--network=container:base", "--pid=container:base", "--ipc=container:base"];
    const look = "for n in net pid ipc; do busybox readlink /proc/self/ns/$n; done";
    const { stdout } = await docker("run", "--rm", ...joined, "tiny", "/bin/busybox", "sh", "-c", look);
    expect(stdout).toBe((await exec("base", "/bin/sh", "-c", look)).stdout);
    await output("rm", "-f", "failing", "base");
  });
});
