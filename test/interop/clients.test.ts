/**
 * Real clients with another runtime than their own: podman and containerd.
 *
 *     RUNTIME=/usr/bin/crun npm run test:interop        the same with a peer, as a check of these tests
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../support/images/commands.ts";
import { tinyLayer } from "../support/images/tiny.ts";
import { eventually, execute, runtimePath, unable, type Ended } from "../root/gantry-harness.ts";

const runtime = process.env["RUNTIME"] ?? runtimePath;
const missing = (name: string): string | undefined => unable ?? (installed(name) ? undefined : `${name} is not installed`);
const [noPodman, noContainerd] = [missing("podman"), missing("containerd") ?? missing("podman")];
const scratch = noPodman === undefined ? mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-interop-")) : "";
const environment = { CONTAINERS_CONF: join(scratch, "containers.conf") };

/** Without limits that need CAP_SYS_RESOURCE, which the machine may lack. */
const settings = '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=4096:4096"]\n';

function podman(...words: readonly string[]): Promise<Ended> {
  const roots = ["--root", join(scratch, "root"), "--runroot", join(scratch, "run")];
  const globals = [...roots, "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", runtime];
  return execute(["podman", ...globals, ...words], { env: environment });
}

function run(script: string, ...options: readonly string[]): Promise<Ended> {
  return podman("run", "--rm", "--network", "none", ...options, "tiny", "/bin/busybox", "sh", "-c", script);
}

beforeAll(async () => {
  if (noPodman !== undefined) return;
  writeFileSync(environment.CONTAINERS_CONF, settings);
  writeFileSync(join(scratch, "tiny.tar"), tinyLayer());
  const { code, stderr } = await podman("import", join(scratch, "tiny.tar"), "tiny");
  if (code !== 0) throw new Error(stderr);
});

afterAll(async () => {
  if (scratch === "") return;
  await podman("rm", "-fa");
  rmSync(scratch, { recursive: true, force: true });
});

describe.skipIf(noPodman !== undefined)(`podman with ${runtime}${noPodman === undefined ? "" : ` (skipped: ${noPodman})`}`, () => {
  test("exit codes are the program's, 126 and 127 the runtime's", async () => {
    expect(await run("echo hello")).toMatchObject({ code: 0, stdout: "hello\n" });
    expect((await run("exit 7")).code).toBe(7);
    expect((await podman("run", "--rm", "--network", "none", "tiny", "no-such-program")).code).toBe(127);
    expect((await podman("run", "--rm", "--network", "none", "tiny", "/etc")).code).toBe(126);
  });

  test("what the options ask for holds inside", async () => {
    const limits = ["-m", "64m", "--pids-limit", "30", "--cpus", "0.5", "--read-only", "--tmpfs", "/tmp", "--hostname", "there"];
    const look =
      "hostname; touch /no 2>/dev/null || echo read-only; touch /tmp/yes && echo tmp; grep -c . /proc/self/cgroup >/dev/null && echo cgroup";
    const script = look.replaceAll(/\b(hostname|touch|grep)\b/g, "/bin/busybox $1");
    expect(await run(script, ...limits)).toMatchObject({ code: 0, stdout: "there\nread-only\ntmp\ncgroup\n" });
    const id = await run(
      "/bin/busybox id -u; /bin/busybox grep NoNewPrivs /proc/self/status",
      "--user",
      "12:34",
      "--security-opt",
      "no-new-privileges",
    );
    expect(id.stdout).toBe("12\nNoNewPrivs:\t1\n");
    const mapped = await run("/bin/busybox cat /proc/self/uid_map", "--uidmap", "0:100000:5000");
    expect(mapped.stdout.trim().split(/\s+/)).toEqual(["0", "100000", "5000"]);
  });

  test("a container in the background: logs, exec, a terminal, pause, top, stop", async () => {
    const loop = 'trap "exit 3" TERM; echo started; while :; do /bin/busybox sleep 0.1; done';
    expect((await podman("run", "-d", "--name", "one", "--network", "none", "tiny", "/bin/busybox", "sh", "-c", loop)).code).toBe(0);
    expect(await eventually(async () => (await podman("logs", "one")).stdout === "started\n")).toBe(true);
    expect(await podman("exec", "one", "/bin/busybox", "sh", "-c", "echo in; exit 9")).toMatchObject({ code: 9, stdout: "in\n" });
    expect((await podman("exec", "-t", "one", "/bin/busybox", "tty")).stdout).toContain("/dev/pts/");
    expect((await podman("pause", "one")).code).toBe(0);
    expect((await podman("inspect", "one", "--format", "{{.State.Status}}")).stdout).toBe("paused\n");
    expect((await podman("unpause", "one")).code).toBe(0);
    expect((await podman("top", "one")).stdout).toContain("sleep");
    expect((await podman("stats", "--no-stream", "one")).code).toBe(0);
    expect((await podman("stop", "-t", "5", "one")).code).toBe(0);
    expect((await podman("inspect", "one", "--format", "{{.State.ExitCode}} {{.State.Status}}")).stdout).toBe("3 exited\n");
    expect((await podman("rm", "one")).code).toBe(0);
  });
});

describe.skipIf(noContainerd !== undefined)(
  `containerd with ${runtime}${noContainerd === undefined ? "" : ` (skipped: ${noContainerd})`}`,
  () => {
    const directory = join(scratch, "containerd");
    const socket = join(directory, "socket");
    let daemon: Bun.Subprocess | undefined;
    const ctr = (...words: readonly string[]): Promise<Ended> => execute(["ctr", "-a", socket, ...words]);
    const image = "localhost/tiny:latest";

    beforeAll(async () => {
      if (noContainerd !== undefined) return;
      mkdirSync(directory, { recursive: true });
      const config = `version = 2\nroot = "${directory}/root"\nstate = "${directory}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n`;
      writeFileSync(join(directory, "config.toml"), `${config}[grpc]\n  address = "${socket}"\n`);
      daemon = Bun.spawn(["containerd", "-c", join(directory, "config.toml")], { stdout: "ignore", stderr: "ignore" });
      await podman("save", "--format", "oci-archive", "-o", join(directory, "tiny.tar"), "tiny");
      expect(await eventually(async () => (await ctr("version")).code === 0, 20_000)).toBe(true);
      expect((await ctr("images", "import", "--snapshotter", "native", join(directory, "tiny.tar"))).code).toBe(0);
    });

    afterAll(() => daemon?.kill());

    test("a container runs, takes another process, pauses, and ends", async () => {
      const how = ["--snapshotter", "native", "--runc-binary", runtime, image];
      expect(await ctr("run", "--rm", ...how, "first", "/bin/busybox", "echo", "out")).toMatchObject({ code: 0, stdout: "out\n" });
      expect((await ctr("run", "-d", ...how, "second", "/bin/busybox", "sleep", "100")).code).toBe(0);
      expect((await ctr("tasks", "exec", "--exec-id", "x", "second", "/bin/busybox", "echo", "in")).stdout).toBe("in\n");
      const status = async (): Promise<string> => (await ctr("tasks", "ls")).stdout;
      expect((await ctr("tasks", "pause", "second")).code).toBe(0);
      expect(await status()).toContain("PAUSED");
      expect((await ctr("tasks", "resume", "second")).code).toBe(0);
      await ctr("tasks", "kill", "-s", "KILL", "second");
      expect(await eventually(async () => (await status()).includes("STOPPED"))).toBe(true);
      await ctr("tasks", "rm", "second");
      expect((await ctr("containers", "rm", "second")).code).toBe(0);
    });
  },
);
