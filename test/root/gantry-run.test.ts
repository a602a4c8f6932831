/** Running containers with the built programs: exit codes, signals, streams, options, limits and walls. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../support/images/commands.ts";
import { type Ended, eventually, execute, hasRunc, makeBundle, runtimePath, unable, Workbench, writeConfig } from "./gantry-harness.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
if (unable !== undefined) console.log(`skipped: ${unable}`);
const bench = unable === undefined ? new Workbench() : (undefined as unknown as Workbench);

describe.skipIf(unable !== undefined)("gantry run", () => {
  beforeAll(() => bench.load());
  afterAll(() => bench.remove());

  describe("exit codes", () => {
    test.each([
      ["the command's own, 0", ["tiny", "true"], 0],
      ["the command's own, 7", ["tiny", "sh", "-c", "exit 7"], 7],
      ["125 for an option that there is not", ["--no-such-option", "tiny", "true"], 125],
      ["125 for an image that there is not", ["no-such-image", "true"], 125],
      ["126 for a file that is not executable", ["tiny", "/etc/passwd"], 126],
      ["126 for a directory", ["tiny", "/etc"], 126],
      ["127 for a command that is not in the path", ["tiny", "no-such-command"], 127],
      ["127 for a file that is not there", ["tiny", "/no/such/file"], 127],
      ["128 and the signal that the shell tells of", ["tiny", "sh", "-c", "sh -c 'kill -9 $$' 2>&1; exit $?"], 137],
    ])("are %s", async (_, words, code) => {
      const ended = await bench.gantry("run", "--rm", ...words);
      const isGantrys = code >= 125 && code < 128;
      expect({ code: ended.code, saysWhy: ended.stderr.startsWith("gantry: ") }).toEqual({ code, saysWhy: isGantrys });
    });

    test("are 137 when somebody kills the container's process", async () => {
      const { process: started } = await bench.start("killed", "echo up; sleep 20");
      const { state } = await bench.inspect("killed");
      expect(state.status).toBe("running");
      process.kill(state.pid ?? 0, "SIGKILL");
      expect(await started.exited).toBe(137);
      expect((await bench.inspect("killed")).state).toMatchObject({ status: "exited", exitCode: 137, outOfMemory: false });
      await bench.gantry("rm", "killed");
    });

    const podman = [
      "podman",
      "--root",
      join(bench?.directory ?? "", "podman"),
      "--runroot",
      join(bench?.directory ?? "", "podman-run"),
    ].concat(["--cgroup-manager", "cgroupfs", "--storage-driver", "vfs"]);
    // Without limits of its own choosing: raising them needs CAP_SYS_RESOURCE.
    const podmanRun = [...podman, "run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    const podmanImage = "localhost/tiny:latest";
    const noPodman = unable ?? whyNoPodman();
    if (noPodman !== undefined && unable === undefined) console.log(`skipped: comparison with podman: ${noPodman}`);

    function whyNoPodman(): string | undefined {
      if (!installed("podman", "skopeo")) return "podman and skopeo are not installed";
      const archive = join(bench.directory, "tiny.tar");
      for (const words of [
        ["skopeo", "--insecure-policy", "copy", "-q", `oci:${bench.layout}:tiny:latest`, `oci-archive:${archive}:${podmanImage}`],
        [...podman, "load", "-q", "-i", archive],
        [...podmanRun, podmanImage, "true"],
      ]) {
        const { success, stderr } = Bun.spawnSync(words, { stdin: "ignore" });
        if (!success) return `${words[0]} cannot do it here: ${stderr.toString().trim()}`;
      }
      return undefined;
    }

    test.skipIf(noPodman !== undefined)("are those of podman", async () => {
      const rows = [
        ["true"],
        ["sh", "-c", "exit 7"],
        ["sh", "-c", "exit 125"],
        ["/etc/passwd"],
        ["/etc"],
        ["no-such-command"],
        ["/no/such/file"],
        ["sh", "-c", "sleep 9 & kill -15 $!; wait $!"],
      ];
      const codes: { words: string[]; gantry: number; podman: number }[] = [];
      for (const words of rows) {
        const [ours, theirs] = [await bench.gantry("run", "--rm", "tiny", ...words), await execute([...podmanRun, podmanImage, ...words])];
        codes.push({ words, gantry: ours.code, podman: theirs.code });
      }
      for (const words of [
        ["--no-such-option", podmanImage],
        ["--pull=never", "localhost/none", "true"],
      ]) {
        expect((await execute([...podman, "run", ...words])).code).toBe(125);
      }
      expect(codes.map(({ words, gantry: code }) => ({ words, code }))).toEqual(codes.map(({ words, podman: code }) => ({ words, code })));
    });
  });

  describe("signals and streams", () => {
    test.each(["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const)("%s sent to gantry reaches the container", async (signal) => {
      const short = signal.slice(3);
      const { process: started, rest } = await bench.start(
        `on-${short}`,
        `trap 'echo got ${short}; exit 42' ${short}; echo up; while true; do sleep 0.05; done`,
      );
      started.kill(signal);
      expect([await started.exited, await rest()]).toEqual([42, `up\ngot ${short}\n`]);
      await bench.gantry("rm", `on-${short}`);
    });

    test("standard input is handed on with -i and empty without", async () => {
      const words = ["tiny", "cat"];
      const given = await execute(bench.command("run", "--rm", "-i", ...words), { stdin: "from outside\n" });
      const kept = await execute(bench.command("run", "--rm", ...words), { stdin: "from outside\n" });
      expect([given.code, given.stdout, kept.code, kept.stdout]).toEqual([0, "from outside\n", 0, ""]);
    });

    test("a megabyte goes in and comes out unchanged", async () => {
      const text = Array.from({ length: 1 << 17 }, (_, index) => String(index % 9_999_999).padStart(7, "0")).join("\n");
      const { stdout } = await execute(bench.command("run", "--rm", "-i", "tiny", "cat"), { stdin: text });
      expect(stdout === text).toBe(true);
    });

    test("standard output and standard error stay apart", async () => {
      expect(await bench.shell("echo out; echo err >&2")).toEqual({ code: 0, stdout: "out\n", stderr: "err\n" });
    });

    test("the container has descriptors 0, 1 and 2 and no other", async () => {
      const { stdout } = await bench.gantry("run", "--rm", "tiny", "ls", "/proc/self/fd");
      // The fourth is the directory that ls reads: the lowest number that was free.
      expect(stdout).toBe("0\n1\n2\n3\n");
    });
  });

  describe("options", () => {
    const out = async (script: string, ...options: string[]): Promise<string> => {
      const ended = await bench.shell(script, ...options);
      return ended.code === 0 ? ended.stdout.trim() : `${ended.code} ${ended.stderr}`;
    };

    test("-e sets a variable and hands on one of the caller's", async () => {
      const script = 'echo "$FIRST/$SECOND/${THIRD-unset}"';
      const words = bench.command("run", "--rm", "-e", "FIRST=a b=c", "-e", "SECOND", "tiny", "sh", "-c", script);
      const { stdout } = await execute(words, { env: { SECOND: "mine", THIRD: "not handed on" } });
      expect(stdout).toBe("a b=c/mine/unset\n");
    });

    test("-w is the working directory, made when it is not there", async () => {
      expect(await out("pwd", "-w", "/etc")).toBe("/etc");
      expect(await out("pwd", "-w", "/new/place")).toBe("/new/place");
    });

    test("-u runs as a user by number or name and refuses one that is unknown", async () => {
      const ids = "echo $(id -u):$(id -g)";
      expect(await out(ids, "-u", "nobody")).toBe("65534:65534");
      expect(await out(ids, "-u", "1234:5678")).toBe("1234:5678");
      expect(await out(ids, "-u", "nobody:root")).toBe("65534:0");
      const refused = await bench.shell("true", "-u", "stranger");
      expect(refused.code).toBe(125);
      expect(refused.stderr).toContain('"stranger"');
    });

    test("-v shows a directory of the host, writable or not", async () => {
      const shared = join(bench.directory, "shared");
      mkdirSync(shared);
      writeFileSync(join(shared, "given"), "from the host");
      expect(await out("cat /shared/given; echo back > /shared/made", "-v", `${shared}:/shared`)).toBe("from the host");
      expect(readFileSync(join(shared, "made"), "utf8")).toBe("back\n");
      const refused = await bench.shell("cat /shared/given; echo x > /shared/denied", "-v", `${shared}:/shared:ro`);
      expect(refused.stdout).toBe("from the host");
      expect(refused.stderr).toContain("Read-only file system");
      expect([refused.code === 0, existsSync(join(shared, "denied"))]).toEqual([false, false]);
    });

    test("-v of a path that is not there is refused by name", async () => {
      const refused = await bench.shell("true", "-v", "/no/such/source:/x");
      expect([refused.code, refused.stderr.includes("/no/such/source")]).toEqual([125, true]);
    });

    test("--read-only refuses writes to the root file system", async () => {
      const refused = await bench.shell("echo x > /etc/x", "--read-only");
      expect([refused.code === 0, refused.stderr.includes("Read-only file system")]).toEqual([false, true]);
      expect(await out("echo x > /etc/x; cat /etc/x")).toBe("x");
    });

    test("--hostname is the container's host name, the host keeps its own", async () => {
      const before = readFileSync("/proc/sys/kernel/hostname", "utf8");
      expect(await out("hostname; cat /etc/hostname", "--hostname", "lighthouse")).toBe("lighthouse\nlighthouse");
      expect(readFileSync("/proc/sys/kernel/hostname", "utf8")).toBe(before);
    });

    test("a name that is taken is refused and the first container stays", async () => {
      const run = (): Promise<Ended> => bench.gantry("run", "--name", "once", "tiny", "true");
      expect((await run()).code).toBe(0);
      const second = await run();
      expect([second.code, second.stderr.includes("once")]).toEqual([125, true]);
      expect((await bench.inspect("once")).state.status).toBe("exited");
      expect((await bench.gantry("rm", "once")).code).toBe(0);
    });
  });

  describe("limits", () => {
    test("--memory kills what wants more, and ps tells why", async () => {
      const { code } = await bench.gantry("run", "--name", "hog", "--memory", "16m", "tiny", "tail", "/dev/zero");
      expect(code).toBe(137);
      expect((await bench.inspect("hog")).state).toMatchObject({ exitCode: 137, outOfMemory: true });
      expect((await bench.gantry("ps", "-a")).stdout).toMatch(/Exited \(137\).*out of memory.*hog/);
      await bench.gantry("rm", "hog");
    });

    test("--pids-limit stops forks at that number", async () => {
      const script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; echo all";
      const limited = await bench.shell(script, "--pids-limit", "5");
      expect(limited.stdout).toBe("");
      expect(limited.stderr).toContain("can't fork");
      expect((await bench.shell("for i in 1 2 3; do true & done; wait; echo all", "--pids-limit", "8")).stdout).toBe("all\n");
    });

    test("--cpus writes the quota, --memory and --pids-limit the limits, into the container's cgroup", async () => {
      const { process: started } = await bench.start(
        "limited",
        "echo up; sleep 20",
        "--cpus",
        "0.5",
        "--memory",
        "64m",
        "--pids-limit",
        "9",
      );
      const { cgroups, state } = await bench.inspect("limited");
      const read = (...names: string[]): string[] =>
        names
          .flatMap((name) => cgroups.map((path) => join(path, name)).filter((path) => existsSync(path)))
          .map((path) => readFileSync(path, "utf8").trim());
      const [quota = "", period = ""] = (read("cpu.max")[0] ?? read("cpu.cfs_quota_us", "cpu.cfs_period_us").join(" ")).split(" ");
      expect(Number(quota) / Number(period)).toBe(0.5);
      expect(read("memory.max", "memory.limit_in_bytes")).toEqual([String(64 << 20)]);
      expect(read("pids.max")).toEqual(["9"]);
      expect(cgroups.some((path) => readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").includes(String(state.pid)))).toBe(true);
      await bench.gantry("rm", "-f", "limited");
      expect(await started.exited).toBe(137);
    });
  });

  describe("walls", () => {
    test("two containers of one image do not see each other's writes, and the image does not change", async () => {
      const script = "cat /etc/greeting; echo $0 > /etc/greeting; rm /etc/group; cat /etc/greeting";
      const run = (name: string): Promise<Ended> => bench.gantry("run", "--rm", "tiny", "sh", "-c", script, name);
      const both = await Promise.all([run("left"), run("right")]);
      expect(both.map(({ stdout }) => stdout)).toEqual(["hello\nleft\n", "hello\nright\n"]);
      expect((await bench.shell("cat /etc/greeting /etc/group")).stdout).toContain("hello\nroot:x:0:");
    });

    test("root in the container has the fourteen default capabilities and no other", async () => {
      const { stdout } = await bench.shell("grep Cap /proc/self/status");
      const sets = new Map([...stdout.matchAll(/^Cap(\w+):\s+(\w+)$/gm)].map(([, name = "", bits = ""]) => [name, bits]));
      const fourteen = "00000000a80425fb";
      expect(Object.fromEntries(sets)).toEqual({
        Prm: fourteen,
        Eff: fourteen,
        Bnd: fourteen,
        Inh: "0000000000000000",
        Amb: "0000000000000000",
      });
    });

    test("another user has no capabilities in force", async () => {
      const { stdout } = await bench.shell("grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status", "-u", "nobody");
      expect(stdout.replaceAll(/[^\d]/g, "")).toBe("0".repeat(48));
    });

    test("what tells about the machine is masked: nothing can be read of it", async () => {
      const files = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats"].filter(existsSync);
      const folders = ["/proc/acpi", "/proc/scsi", "/sys/firmware"].filter(existsSync);
      expect(files.length + folders.length).toBeGreaterThan(0);
      const { stdout } = await bench.shell(
        `for f in ${files.join(" ")}; do head -c 1 $f | wc -c; done; for d in ${folders.join(" ")}; do ls -A $d | wc -l; done`,
      );
      expect(stdout.trim().split("\n")).toEqual([...files, ...folders].map(() => "0"));
    });

    test("/proc/sys and /proc/sysrq-trigger are read-only, /sys too", async () => {
      for (const path of ["/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/sys/kernel/uevent_seqnum"]) {
        if (!existsSync(path)) continue;
        const { code, stderr } = await bench.shell(`echo 0 > ${path}`);
        expect([path, code === 0, /Read-only file system|Permission denied/.test(stderr)]).toEqual([path, false, true]);
      }
    });

    test("a disk's device node can be made but not opened", async () => {
      for (const [major, minor] of [
        [8, 0],
        [254, 0],
        [7, 0],
      ]) {
        const { stdout, stderr } = await bench.shell(`busybox mknod /disk b ${major} ${minor} && echo made; cat /disk`);
        expect([stdout, stderr.includes("Operation not permitted")]).toEqual(["made\n", true]);
      }
      expect((await bench.shell("head -c 4 /dev/zero | wc -c; echo x > /dev/null")).stdout.trim()).toBe("4");
    });

    test("namespaces are the container's own, but for user and time", async () => {
      const kinds = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"];
      const script = `for n in ${kinds.join(" ")}; do busybox readlink /proc/self/ns/$n; done`;
      const { stdout } = await bench.shell(script);
      const shared = kinds.filter((kind, index) => readlinkSync(`/proc/self/ns/${kind}`) === stdout.split("\n")[index]);
      expect(shared).toEqual(["user"]);
      expect((await bench.shell("busybox readlink /proc/self/ns/net", "--network", "host")).stdout.trim()).toBe(
        readlinkSync("/proc/self/ns/net"),
      );
    });

    test("the command is process 1, sees no other, and no path of the host in its mounts", async () => {
      const { stdout } = await bench.shell("echo $$; ls /proc | grep -c '^[0-9]'; grep -c oldroot /proc/self/mountinfo");
      // The shell, and grep and ls of the pipe.
      expect(stdout.split("\n")[0]).toBe("1");
      expect(Number(stdout.split("\n")[1])).toBeLessThanOrEqual(3);
      expect(stdout.split("\n")[2]).toBe("0");
    });
  });

  test("rm -f ends a container that runs", async () => {
    const { process: started } = await bench.start("endless", "echo up; while true; do sleep 1; done");
    expect((await bench.gantry("rm", "endless")).code).not.toBe(0);
    expect((await bench.gantry("rm", "-f", "endless")).code).toBe(0);
    expect(await started.exited).toBe(137);
    expect(await eventually(async () => (await bench.gantry("ps", "-aq")).stdout === "")).toBe(true);
  });
});

/** The same bundles under both runtimes: a test that the reference fails is a wrong test. */
const noPeer = unable ?? (hasRunc ? undefined : "runc is not installed: it writes the configuration");
if (noPeer !== undefined && unable === undefined) console.log(`skipped: ${noPeer}`);
describe.skipIf(noPeer !== undefined).each(["gantry-runtime", "runc"])("%s run", (runtime) => {
  const bundles = noPeer === undefined ? new Workbench() : (undefined as unknown as Workbench);
  const bundle = join(bundles?.directory ?? "", "bundle");
  let count = 0;
  const run = (script: string, change: Parameters<typeof writeConfig>[1] = () => undefined): Promise<Ended> => {
    count += 1;
    const id = `gantry-test-${process.pid}-${count}`;
    writeConfig(bundle, (config) => {
      config.process.args = ["/bin/sh", "-c", script];
      config.linux.cgroupsPath = `/${id}`;
      change(config);
    });
    const program = runtime === "runc" ? "runc" : runtimePath;
    return execute([program, "--root", join(bundles.directory, "state"), "run", "--bundle", bundle, id]);
  };
  beforeAll(() => {
    makeBundle(bundle, () => undefined);
    writeFileSync(join(bundle, "rootfs/root/secret"), "");
  });
  afterAll(() => bundles.remove());

  test("hands on exit codes", async () => {
    expect([(await run("exit 0")).code, (await run("exit 7")).code]).toEqual([0, 7]);
  });

  test("runs as the user of the configuration", async () => {
    const { stdout } = await run("id -u; id -g", (config) => (config.process.user = { uid: 1234, gid: 5678 }));
    expect(stdout).toBe("1234\n5678\n");
  });

  test("makes the root file system read-only when asked", async () => {
    expect((await run("echo x > /x", (config) => (config.root.readonly = true))).stderr).toContain("Read-only file system");
    expect((await run("echo x > /x && cat /x && rm /x", (config) => (config.root.readonly = false))).stdout).toBe("x\n");
  });

  test("sets the host name", async () => {
    expect((await run("hostname", (config) => (config.hostname = "from-config"))).stdout).toBe("from-config\n");
  });

  test("masks files and directories", async () => {
    const { stdout } = await run("cat /etc/passwd | wc -c; ls -A /root | wc -l; ls -A /etc | wc -l", (config) => {
      config.linux.maskedPaths = ["/etc/passwd", "/root", "/no/such/path"];
    });
    expect(stdout).toBe("0\n0\n2\n");
  });

  test("leaves no cgroup", async () => {
    await run("true");
    const left = (await execute(["find", "/sys/fs/cgroup", "-type", "d", "-name", `gantry-test-${process.pid}-*`])).stdout;
    expect(left).toBe("");
  });
});
