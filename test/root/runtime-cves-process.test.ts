/** Published weaknesses of container runtimes, attacked: processes, descriptors, privileges and state. @see runtime-cves.test.ts */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { attack, type AttackConfig, grant, removeTargets, subject, Target, whyNot } from "./attack-harness.ts";
import { eventually, execute } from "./gantry-harness.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
afterAll(removeTargets);

const sleeping = "exec /bin/busybox sleep 100";

/** A container whose processes see those of `neighbour`, as in a pod. */
const besides =
  (neighbourPid: number) =>
  ({ linux }: AttackConfig): void => {
    for (const namespace of linux.namespaces) if (namespace.type === "pid") namespace.path = `/proc/${neighbourPid}/ns/pid`;
  };

/** What a hostile neighbour does when it sees a process that is none of the image's: the runtime, on its way into a container. */
const hunt = `
  while :; do
    for p in /proc/[0-9]*; do
      p=\${p#/proc/}
      case " $known " in *" $p "*) continue;; esac
      comm=$(cat /proc/$p/comm 2>/dev/null)
      case "$comm" in busybox|sh|cat|sleep|readlink|ls|"") continue;; esac
      known="$known $p"
      echo "saw $comm"
      for fd in 0 1 2 3 4 5 6 7 8 9; do /bin/busybox readlink /proc/$p/fd/$fd && echo "read its descriptors"; done 2>/dev/null
      ls /proc/$p/root/ >/dev/null 2>&1 && echo "entered its root"
      /bin/busybox readlink /proc/$p/exe >/dev/null 2>&1 && echo "read its executable"
      if (exec 9</proc/$p/exe) 2>/dev/null; then
        exec 9</proc/$p/exe
        : >/held
        while ! [ -e /go ]; do /bin/busybox sleep 0.05; done
        i=0; while [ $i -lt 20 ]; do i=$((i+1)); { echo overwritten >>/proc/self/fd/9; } 2>/dev/null && echo "wrote to its executable" && break; /bin/busybox sleep 0.05; done
      fi
      echo "done"
    done
  done`;

describe.skipIf(whyNot !== undefined)("a neighbour in the same pid namespace", () => {
  attack("CVE-2016-9962: cannot look into a process that is becoming a container", async () => {
    await using hunter = new Target(hunt, ({ process }) => (process.noNewPrivileges = true));
    expect(await hunter.detached("run")).toMatchObject({ code: 0 });
    await using victim = new Target("true", besides(await hunter.pid()));
    expect(await victim.detached("create")).toMatchObject({ code: 0 });
    expect(await eventually(() => readFileSync(hunter.output, "utf8").includes("done"))).toBe(true);
    expect(readFileSync(hunter.output, "utf8")).toMatch(/^saw .*\ndone\n$/);
  });

  attack("CVE-2019-5736: that may trace everything still cannot write to the runtime's executable", async () => {
    const before = Bun.hash(readFileSync(subject));
    await using hunter = new Target(hunt, (config) => {
      grant(config, "CAP_SYS_PTRACE");
    });
    expect(await hunter.detached("run")).toMatchObject({ code: 0 });
    const pid = await hunter.pid();
    await using victim = new Target("true", (config) => {
      besides(pid)(config);
      grant(config, "CAP_SYS_PTRACE");
    });
    expect(await victim.detached("create")).toMatchObject({ code: 0 });
    // Held open while it was executed; when nobody executes it any more, the kernel would let it be written to.
    expect(await eventually(() => existsSync(join(hunter.rootfs, "held")))).toBe(true);
    await victim.runtime(["start", victim.id]);
    writeFileSync(join(hunter.rootfs, "go"), "");
    expect(await eventually(() => readFileSync(hunter.output, "utf8").includes("done"))).toBe(true);
    expect(readFileSync(hunter.output, "utf8")).toContain("read its executable");
    expect(readFileSync(hunter.output, "utf8")).not.toContain("wrote to");
    expect(Bun.hash(readFileSync(subject))).toBe(before);
  });
});

describe.skipIf(whyNot !== undefined)("descriptors and directories of the host", () => {
  attack("CVE-2024-21626: a descriptor that the caller leaks is no working directory", async () => {
    await using target = new Target("cat mark", ({ process }) => (process.cwd = "/proc/self/fd/7"));
    writeFileSync(join(target.outside, "mark"), "of the host");
    const { code, stdout } = await target.fromShell(`exec 7<${target.outside}`, ["run", "--bundle", target.bundle, target.id]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  });

  attack("CVE-2024-21626: nor are the runtime's own, by number or by a link of the image", async () => {
    for (let fd = 3; fd < 12; fd++) {
      await using target = new Target(
        "ls -a . .. ../.. ../../.. | grep -x outside",
        (config) => (config.process.cwd = fd % 2 === 0 ? `/proc/self/fd/${fd}` : "/work"),
      );
      if (fd % 2 === 1) symlinkSync(`/proc/self/fd/${fd}`, join(target.rootfs, "work"));
      const { stdout } = await target.run();
      expect(stdout).toBe("");
    }
  });

  attack("CVE-2024-21626: nor for exec", async () => {
    await using target = new Target(sleeping);
    await target.detached("run");
    writeFileSync(join(target.outside, "mark"), "of the host");
    const leak = `exec 7<${target.outside}`;
    const read = await target.fromShell(leak, ["exec", "--cwd", "/proc/self/fd/7", target.id, "cat", "mark"]);
    expect(read.stdout).not.toContain("of the host");
    expect(read.code).not.toBe(0);
    for (let fd = 3; fd < 12; fd++) {
      const { stdout } = await target.runtime(["exec", "--cwd", `/proc/self/fd/${fd}`, target.id, "ls", "-a", ".", ".."]);
      expect(stdout).not.toContain("outside");
    }
  });

  attack("CVE-2015-3627, CVE-2024-21626: no descriptor but the standard ones is open in the container", async () => {
    const list = "echo $(ls /proc/self/fd/); ls -l /proc/self/fd/";
    await using target = new Target(`${list}; exec /bin/busybox sleep 100`);
    await target.fromShell(`exec 7<${target.outside} 11<${target.outside}; exec >${target.output} 2>&1 </dev/null`, [
      "run",
      "--detach",
      "--bundle",
      target.bundle,
      target.id,
    ]);
    expect(await eventually(() => readFileSync(target.output, "utf8").includes("->"))).toBe(true);
    // The fourth is that of the directory which ls reads.
    expect(readFileSync(target.output, "utf8")).toStartWith("0 1 2 3\n");
    const { stdout } = await target.fromShell(`exec 7<${target.outside}`, ["exec", target.id, "sh", "-c", list]);
    expect(stdout).toStartWith("0 1 2 3\n");
    expect(stdout).not.toContain("outside");
  });
});

describe.skipIf(whyNot !== undefined)("privileges", () => {
  const status = "grep -E '^(Cap|Groups|Uid|Gid|NoNewPrivs)' /proc/self/status";
  const line = (text: string, name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)?.[1]?.trim() ?? "missing";

  attack("CVE-2022-29162, CVE-2022-27650: capabilities are inheritable only when that is asked for", async () => {
    await using target = new Target(sleeping);
    await target.detached("run");
    const { stdout } = await target.runtime(["exec", "--cap", "CAP_NET_RAW", target.id, "sh", "-c", status]);
    expect(BigInt(`0x${line(stdout, "CapEff")}`) & (1n << 13n)).not.toBe(0n);
    expect(line(stdout, "CapInh")).toBe("0000000000000000");
    expect(line(stdout, "CapAmb")).toBe("0000000000000000");
    const plain = await target.runtime(["exec", "--user", "1000:1000", target.id, "sh", "-c", status]);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) expect(line(plain.stdout, set)).toBe("0000000000000000");
  });

  attack("CVE-2022-29162: the config that `spec` writes makes none inheritable", async () => {
    await using target = new Target("true");
    const directory = join(target.directory, "spec");
    mkdirSync(directory);
    expect((await execute([subject, "spec", "--bundle", directory])).code).toBe(0);
    const { process } = JSON.parse(readFileSync(join(directory, "config.json"), "utf8")) as AttackConfig;
    expect(process.capabilities.inheritable ?? []).toEqual([]);
  });

  attack("CVE-2026-30892, CVE-2016-3697: exec --user 1 is user 1, and what is no number is refused", async () => {
    await using target = new Target(sleeping);
    await target.detached("run");
    const ids = async (word: string): Promise<string> => {
      const { stdout } = await target.runtime(["exec", "--user", word, target.id, "sh", "-c", status]);
      return `${line(stdout, "Uid")} ${line(stdout, "Gid")}`.replaceAll("\t", " ");
    };
    expect(await ids("1")).toBe("1 1 1 1 0 0 0 0");
    expect(await ids("1:2")).toBe("1 1 1 1 2 2 2 2");
    expect(await ids("10:0")).toBe("10 10 10 10 0 0 0 0");
    // An image could name its users so.
    writeFileSync(join(target.rootfs, "etc/passwd"), "root:x:0:0::/:\n1000:x:0:0::/:/bin/sh\n+7:x:0:0::/:/bin/sh\n");
    expect(await ids("1000")).toBe("1000 1000 1000 1000 0 0 0 0");
    for (const word of ["+7", "-1", "1x", "0x1", " 1", "1:", ":1", "4294967295", "4294967296", "1:-1"])
      expect((await target.runtime(["exec", "--user", word, target.id, "true"])).code).toBe(1);
  });

  attack("the groups of the runtime's caller are not the container's, at run and exec", async () => {
    await using target = new Target(`${status}; exec /bin/busybox sleep 100`);
    const groups = ["setpriv", "--groups", "4242,4243"];
    const words = ["--root", target.state, "run", "--detach", "--bundle", target.bundle, target.id];
    await execute(["/bin/sh", "-c", `${[...groups, subject, ...words].join(" ")} >${target.output} 2>&1 </dev/null`]);
    expect(await eventually(() => readFileSync(target.output, "utf8").includes("NoNewPrivs"))).toBe(true);
    expect(line(readFileSync(target.output, "utf8"), "Groups")).not.toContain("424");
    const { stdout } = await execute([...groups, subject, "--root", target.state, "exec", target.id, "sh", "-c", status]);
    expect(line(stdout, "NoNewPrivs")).toBe("1");
    expect(line(stdout, "Groups")).not.toContain("424");
  });

  attack("CVE-2021-43784: a text of more than 64 KiB swallows nothing of what follows it", async () => {
    await using target = new Target(`cat /proc/self/uid_map; ${status}`, (config) => {
      config.linux.namespaces.push({ type: "user" });
      config.linux.gidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      // As text 2 ^ 16 bytes and 134, which is twelve whole lines: a map that the kernel takes, and not the one asked for.
      config.linux.uidMappings = Array.from({ length: 4770 }, (_, index) => ({ containerID: index, hostID: 100_000 + index, size: 1 }));
    });
    // The container's root must be able to reach its tree.
    for (const directory of [target.directory, dirname(target.directory)]) chmodSync(directory, 0o755);
    const { code, stdout } = await target.run();
    expect(code).toBe(1);
    expect(stdout).toBe("");
  });
});

describe.skipIf(whyNot !== undefined)("exec into a container that has mounted over its /proc", () => {
  attack("CVE-2019-16884, CVE-2025-52881: writes nothing there, and runs", async () => {
    const script = `
      mount -t tmpfs tmpfs /proc && mkdir -p /proc/self/attr/apparmor /proc/self/fd /proc/sys/kernel /proc/thread-self/attr
      for name in self/attr/exec self/attr/apparmor/exec self/attr/keycreate thread-self/attr/exec self/oom_score_adj self/setgroups self/comm
      do echo untouched >/proc/$name; done; echo 3 >/proc/sys/kernel/cap_last_cap; echo ready; exec /bin/busybox sleep 100`;
    await using target = new Target(script, (config) => {
      grant(config, "CAP_SYS_ADMIN");
      config.linux.maskedPaths = [];
      config.linux.readonlyPaths = [];
    });
    symlinkSync("busybox", join(target.rootfs, "bin/find"));
    await target.detached("run");
    expect(await eventually(() => readFileSync(target.output, "utf8").includes("ready"))).toBe(true);
    const file = join(target.directory, "process.json");
    const process = {
      args: ["sh", "-c", "find /proc/self/ /proc/thread-self/ -type f | while read f; do cat $f; done"],
      cwd: "/",
      oomScoreAdj: 300,
      env: ["PATH=/bin"],
    };
    writeFileSync(file, JSON.stringify({ ...process, user: { uid: 0, gid: 0 } }));
    const { code, stdout, stderr } = await target.runtime(["exec", "--process", file, target.id]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(new Set(stdout.trim().split("\n"))).toEqual(new Set(["untouched"]));
  });
});

describe.skipIf(whyNot !== undefined)("the state of containers", () => {
  attack("CVE-2021-41103: no other user can read or change it, and looks into no bundle", async () => {
    await using target = new Target(sleeping);
    await target.detached("create");
    const directory = join(target.state, target.id);
    expect(statSync(directory).mode & 0o077 & ~0o011).toBe(0);
    const asNobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const { stdout } = await execute([...asNobody, "find", directory, "-readable", "-o", "-writable"]);
    expect(stdout).toBe("");
    expect((await execute([...asNobody, "sh", "-c", `echo >>${directory}/container.json`])).code).not.toBe(0);
  });
});

// What is Gantry's own: other runtimes have no prepared programs.
describe.skipIf(whyNot !== undefined || !subject.endsWith("gantry-runtime"))("programs that are kept for later", () => {
  test.each([
    ["belongs to another user", (path: string) => chownSync(path, 65534, 65534)],
    ["can be written to by others", (path: string) => chmodSync(path, 0o666)],
  ])("one that %s is not run", async (_, spoil) => {
    await using target = new Target(sleeping);
    await target.detached("create");
    // A program that would do something else: that of deleting, in the place of that which only asks.
    const path = join(target.state, target.id, "state.program");
    writeFileSync(path, readFileSync(join(target.state, target.id, "delete-force.program")));
    spoil(path);
    const { stdout } = await target.runtime(["state", target.id]);
    expect(stdout).toContain('"created"');
    expect(existsSync(join(target.state, target.id))).toBe(true);
  });

  test("a record that belongs to another user is not acted on by root", async () => {
    await using target = new Target(sleeping);
    await target.detached("create");
    const record = join(target.state, target.id, "container.json");
    const victim = join(target.directory, "victim");
    mkdirSync(victim);
    const content = JSON.parse(readFileSync(record, "utf8")) as { cleanup: unknown[] };
    content.cleanup = [{ op: { op: "remove-tree", path: victim }, origin: "default: planted" }];
    writeFileSync(record, JSON.stringify(content));
    chownSync(record, 65534, 65534);
    const { code, stderr } = await execute([subject, "--root", target.state, "delete", "--force", target.id], {
      env: { GANTRY_NO_FRONT: "1" },
    });
    expect(code).toBe(1);
    expect(stderr).toContain("belongs to another user");
    expect(existsSync(victim)).toBe(true);
    chownSync(record, 0, 0);
  });
});
