/**
 * Containers of an ordinary user, with ids from /etc/subuid and /etc/subgid and without. The user exists in mount namespaces of
 * these tests only, where other files lie over /etc/passwd, /etc/group and the two.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { installed, tool } from "../support/images/commands.ts";
import { type Ended, eventually, execute, hasRunc, makeBundle, removeCgroup, runtimePath, unable } from "./gantry-harness.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(180_000));

const uid = 7791;
const firstSubId = 731_000;
const missing = ["unshare", "setpriv", "newuidmap", "newgidmap"].find((name) => !installed(name));
const whyNot =
  unable ??
  (hasRunc ? undefined : "runc is not installed, which writes the configs of these tests") ??
  (missing && `${missing} is not installed`);
if (whyNot !== undefined) console.log(`skipped: ${whyNot}`);

const scratch = whyNot === undefined ? mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-rootless-")) : "";
const home = join(scratch, "home");
const runtimeDirectory = join(scratch, "run");

if (whyNot === undefined) {
  chmodSync(scratch, 0o755);
  for (const [name, line] of [
    ["passwd", `tester:x:${uid}:${uid}::${home}:/bin/sh`],
    ["group", `tester:x:${uid}:`],
    ["subuid", `tester:${firstSubId}:65536`],
    ["subgid", `tester:${firstSubId}:65536`],
  ] as const) {
    const present = name.startsWith("sub") ? "" : readFileSync(`/etc/${name}`, "utf8");
    writeFileSync(join(scratch, name), `${present}${line}\n`);
    if (!existsSync(`/etc/${name}`)) writeFileSync(`/etc/${name}`, "");
  }
  for (const directory of [home, runtimeDirectory]) mkdirSync(directory, { mode: 0o700 });
  give(scratch);
}
afterAll(() => {
  if (scratch !== "") rmSync(scratch, { recursive: true, force: true });
});

/** Makes all of a tree the user's. */
function give(directory: string): void {
  tool(["chown", "-R", `${uid}:${uid}`, directory]);
}

interface UserOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** A command of root's, before it becomes the user. */
  readonly first?: string;
}

/** Runs a command as the user. Standard input is empty; `>` and the like may stand in `words` when they come from `sh -c`. */
function asUser(words: readonly string[], { env = {}, first = "true" }: UserOptions = {}): Promise<Ended> {
  const over = ["passwd", "group", "subuid", "subgid"].map((name) => `mount --bind ${scratch}/${name} /etc/${name}`);
  const variables = Object.entries({ HOME: home, XDG_RUNTIME_DIR: runtimeDirectory, ...env }).map(([name, value]) => `${name}=${value}`);
  const enter = `setpriv --reuid ${uid} --regid ${uid} --clear-groups env -u DBUS_SESSION_BUS_ADDRESS "$@"`;
  const script = [...over, first, `cd ${home}`, `exec ${enter}`].join(" && ");
  return execute(["unshare", "--mount", "sh", "-c", script, "sh", ...variables, ...words]);
}

interface Config {
  ociVersion: string;
  process: {
    terminal: boolean;
    args: string[];
    rlimits: unknown[];
    oomScoreAdj?: number;
    user: { uid: number; gid: number; additionalGids?: number[] };
  };
  mounts: { destination: string; type?: string; source?: string; options?: string[] }[];
  linux: Record<string, unknown>;
}

let count = 0;

/** A bundle of the user's, from `runc spec --rootless`. */
async function bundle(script: string, change: (config: Config) => void = () => undefined): Promise<{ directory: string; id: string }> {
  const id = `rootless-${process.pid}-${count++}`;
  const directory = makeBundle(join(scratch, id), () => undefined);
  rmSync(join(directory, "config.json"));
  give(directory);
  expect((await asUser(["runc", "spec", "--rootless", "--bundle", directory])).code).toBe(0);
  const path = join(directory, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8")) as Config;
  config.ociVersion = "1.0.2";
  config.process.terminal = false;
  config.process.rlimits = [];
  config.process.args = ["/bin/busybox", "sh", "-c", script];
  change(config);
  writeFileSync(path, JSON.stringify(config));
  return { directory, id };
}

/** The user's own id and those of /etc/subuid and /etc/subgid. */
function withRanges({ linux }: Config): void {
  linux["uidMappings"] = linux["gidMappings"] = [
    { containerID: 0, hostID: uid, size: 1 },
    { containerID: 1, hostID: firstSubId, size: 65536 },
  ];
}

async function run(script: string, change?: (config: Config) => void, command: readonly string[] = [runtimePath]): Promise<Ended> {
  const { directory, id } = await bundle(script, change);
  return asUser([...command, "run", "--bundle", directory, id]);
}

const runtimes = [runtimePath, ...["runc", "crun"].filter((name) => whyNot === undefined && installed(name))];
const named = runtimes.map((path) => [path.replace(/.*\//, ""), path] as const);
const sleeping = "exec /bin/busybox sleep 100";

describe.skipIf(whyNot !== undefined)("a user's container", () => {
  test.each(named)("%s: lives from create to delete, with one id", async (_, runtime) => {
    const { directory, id } = await bundle(sleeping);
    const call = (...words: string[]): Promise<Ended> =>
      asUser(["sh", "-c", '"$@" </dev/null >out 2>&1; code=$?; cat out; exit $code', "sh", runtime, ...words]);
    const status = async (): Promise<string> => (JSON.parse((await call("state", id)).stdout) as { status: string }).status;
    expect(await call("create", "--bundle", directory, id)).toMatchObject({ code: 0 });
    expect(await status()).toBe("created");
    expect(await call("start", id)).toMatchObject({ code: 0 });
    expect(await status()).toBe("running");
    expect(await call("exec", id, "id", "-u")).toMatchObject({ code: 0, stdout: "0\n" });
    expect((await call("list")).stdout).toContain(id);
    expect((await call("delete", id)).code).not.toBe(0);
    expect(await call("kill", id, "KILL")).toMatchObject({ code: 0 });
    expect(await eventually(async () => (await status()) === "stopped")).toBe(true);
    expect(await call("delete", id)).toMatchObject({ code: 0 });
    expect((await call("state", id)).code).not.toBe(0);
  });

  test("ps lists its processes; what needs a cgroup says so", async () => {
    const { directory, id } = await bundle(sleeping);
    await asUser(["sh", "-c", `${runtimePath} run --detach --bundle ${directory} ${id} </dev/null >/dev/null 2>&1`]);
    expect((await asUser([runtimePath, "ps", id])).stdout).toContain("sleep 100");
    const paused = await asUser([runtimePath, "pause", id]);
    expect(paused).toMatchObject({ code: 1, stderr: expect.stringContaining("cgroup") as string });
    expect((await asUser([runtimePath, "delete", "--force", id])).code).toBe(0);
  });

  test.each(named)("%s: is root inside and the user outside", async (_, runtime) => {
    const { code, stdout } = await run("id -u; cat /proc/self/uid_map", undefined, [runtime]);
    expect({ code, lines: stdout.replaceAll(/ +/g, " ") }).toEqual({ code: 0, lines: `0\n 0 ${uid} 1\n` });
  });

  test.each(named)("%s: has more ids when newuidmap and newgidmap give them", async (_, runtime) => {
    const { code, stdout } = await run(
      "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map",
      (config) => {
        withRanges(config);
        config.process.user = { uid: 5, gid: 6 };
      },
      [runtime],
    );
    const map = ` 0 ${uid} 1\n 1 ${firstSubId} 65536\n`;
    expect({ code, text: stdout.replaceAll(/ +/g, " ") }).toEqual({ code: 0, text: `5\n6\n${map}${map}` });
  });

  test.each(named.filter(([name]) => name !== "runc"))(
    "%s: may have further groups when they are mapped (runc refuses them)",
    async (_, runtime) => {
      const { stdout } = await run(
        "id -G",
        (config) => {
          withRanges(config);
          config.process.user = { uid: 5, gid: 6, additionalGids: [7, 65536] };
        },
        [runtime],
      );
      expect(stdout).toBe("6 7 65536\n");
    },
  );

  test("other users of such a container can be entered and ended", async () => {
    const { directory, id } = await bundle(sleeping, (config) => {
      withRanges(config);
      config.process.user = { uid: 5, gid: 6 };
    });
    await asUser(["sh", "-c", `${runtimePath} run --detach --bundle ${directory} ${id} </dev/null >/dev/null 2>&1`]);
    expect((await asUser([runtimePath, "exec", "--user", "1000:1000", id, "sh", "-c", "id -u; id -g; readlink /proc/1/cwd"])).stdout).toBe(
      "1000\n1000\n",
    );
    expect((await asUser([runtimePath, "exec", "--user", "70000", id, "id"])).code).toBe(1);
    expect((await asUser([runtimePath, "kill", id, "9"])).code).toBe(0);
    expect((await asUser([runtimePath, "delete", "--force", id])).code).toBe(0);
  });

  test.each(named)("%s: has the devices of every container", async (_, runtime) => {
    const script =
      "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done; echo x >/dev/null && head -c 2 /dev/zero | wc -c";
    expect((await run(script, undefined, [runtime])).stdout).toBe("2\n");
  });

  test("keeps its state below XDG_RUNTIME_DIR, for this user alone", async () => {
    const { directory, id } = await bundle(sleeping);
    await asUser(["sh", "-c", `${runtimePath} create --bundle ${directory} ${id} </dev/null >/dev/null 2>&1`]);
    expect(readdirSync(join(runtimeDirectory, "gantry"))).toContain(id);
    expect((await asUser([runtimePath, "delete", "--force", id])).code).toBe(0);
    expect(readdirSync(join(runtimeDirectory, "gantry"))).not.toContain(id);
  });

  test("without XDG_RUNTIME_DIR it is kept in /tmp, unless somebody else is there already", async () => {
    const place = `/tmp/gantry-${uid}`;
    const list = (): Promise<Ended> => asUser(["env", "-u", "XDG_RUNTIME_DIR", runtimePath, "list"]);
    expect((await list()).code).toBe(0);
    rmdirSync(place);
    mkdirSync(place);
    expect(await list()).toMatchObject({ code: 1, stderr: expect.stringContaining("not this user's alone") as string });
    rmdirSync(place);
  });

  test("start, state, kill and delete are programs that are kept, and need no compiler", async () => {
    const { directory, id } = await bundle(sleeping);
    await asUser(["sh", "-c", `${runtimePath} create --bundle ${directory} ${id} </dev/null >/dev/null 2>&1`]);
    // A place without the compiler beside it.
    const alone = join(scratch, "alone/gantry-runtime");
    mkdirSync(join(scratch, "alone"), { recursive: true });
    copyFileSync(runtimePath, alone);
    chmodSync(alone, 0o755);
    for (const words of [
      ["start", id],
      ["state", id],
      ["kill", id, "9"],
      ["delete", "--force", id],
    ])
      expect(await asUser([alone, ...words])).toMatchObject({ code: 0, stderr: "" });
    expect((await asUser([alone, "list"])).code).not.toBe(0);
  });

  test("root runs no program that is kept for a user", async () => {
    const { directory, id } = await bundle(sleeping);
    await asUser(["sh", "-c", `${runtimePath} create --bundle ${directory} ${id} </dev/null >/dev/null 2>&1`]);
    const root = join(runtimeDirectory, "gantry");
    for (const words of [
      ["start", id],
      ["delete", "--force", id],
      ["kill", id, "9"],
      ["exec", id, "true"],
      ["pause", id],
      ["update", "--pids-limit", "5", id],
    ])
      expect(await execute([runtimePath, "--root", root, ...words])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("another user") as string,
      });
    expect((await execute([runtimePath, "--root", root, "list"])).stdout).toContain(id);
    expect((await asUser([runtimePath, "state", id])).stdout).toContain('"created"');
    expect((await asUser([runtimePath, "delete", "--force", id])).code).toBe(0);
  });
});

describe.skipIf(whyNot !== undefined)("what a user cannot have", () => {
  const refused = (pointer: string, why = ""): object => ({
    code: 1,
    stderr: expect.stringMatching(new RegExp(`${why}.*${pointer}|${pointer}.*${why}`, "s")) as string,
  });

  test("a limit without a cgroup that may be written to is refused", async () => {
    expect(await run("true", ({ linux }) => (linux["resources"] = { pids: { limit: 20 } }))).toMatchObject(
      refused("/linux/resources/pids"),
    );
  });

  test("a cgroup that may not be made is left out with a warning, and a failure with --rootless=false", async () => {
    const ask = ({ linux }: Config): unknown => (linux["cgroupsPath"] = "/gantry-rootless/none");
    expect(await run("echo ran", ask, [runtimePath, "--log-level=warning"])).toMatchObject({
      code: 0,
      stdout: "ran\n",
      stderr: expect.stringContaining("/linux/cgroupsPath") as string,
    });
    expect(await run("echo ran", ask, [runtimePath, "--rootless=false"])).toMatchObject(refused("cgroupsPath"));
  });

  test("groups that are not mapped, or not with one id alone", async () => {
    const groups =
      (...gids: number[]): ((config: Config) => void) =>
      (config) =>
        (config.process.user.additionalGids = gids);
    expect(await run("true", groups(7))).toMatchObject(refused("/process/user/additionalGids", "denies"));
    const unmapped = (config: Config): void => {
      withRanges(config);
      groups(7, 80_000)(config);
    };
    expect(await run("true", unmapped)).toMatchObject(refused("/process/user/additionalGids/1"));
  });

  test("ids that are not the user's", async () => {
    const foreign = ({ linux }: Config): unknown => (linux["uidMappings"] = [{ containerID: 0, hostID: 0, size: 1 }]);
    expect(await run("true", foreign)).toMatchObject(refused("/linux/uidMappings", "newuidmap"));
  });

  test("another kernel's view: sysfs of a network that is not the container's", async () => {
    const sysfs = ({ mounts }: Config): void => {
      for (const mount of mounts)
        if (mount.destination === "/sys") Object.assign(mount, { type: "sysfs", source: "sysfs", options: ["nosuid"] });
    };
    expect(await run("true", sysfs)).toMatchObject(refused("/mounts/\\d"));
  });

  test("a lower score for the kernel's killer", async () => {
    expect(await run("true", ({ process }) => (process.oomScoreAdj = -900))).toMatchObject(refused("/process/oomScoreAdj", "lowering"));
    expect((await run("cat /proc/self/oom_score_adj", ({ process }) => (process.oomScoreAdj = 700))).stdout).toBe("700\n");
  });
});

const unified = "/sys/fs/cgroup/unified";
const v2 = existsSync("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" : existsSync(`${unified}/cgroup.procs`) ? unified : undefined;

describe.skipIf(whyNot !== undefined || v2 === undefined)("a subtree of cgroup v2 that was delegated to a user", () => {
  test("is used for the container, and left empty", async () => {
    const top = `${v2}/gantry-rootless-${process.pid}`;
    mkdirSync(`${top}/session`, { recursive: true });
    try {
      for (const directory of [top, `${top}/session`])
        tool(["chown", `${uid}:${uid}`, directory, `${directory}/cgroup.procs`, `${directory}/cgroup.subtree_control`]);
      const { directory, id } = await bundle("cat /proc/self/cgroup", ({ linux }) => {
        // runc adds it on cgroup v2 alone, and in it the container does not see where it is.
        linux["namespaces"] = (linux["namespaces"] as { type: string }[]).filter(({ type }) => type !== "cgroup");
      });
      const { stdout, stderr } = await asUser([runtimePath, "run", "--bundle", directory, id], {
        first: `echo $$ >${top}/session/cgroup.procs`,
      });
      expect({ stdout, stderr }).toMatchObject({
        stdout: expect.stringMatching(new RegExp(`^0::/gantry-rootless-${process.pid}/.*${id}$`, "m")) as string,
      });
      expect(await eventually(() => readdirSync(`${top}/session`).every((name) => name !== id))).toBe(true);
    } finally {
      await removeCgroup(`${top}/session`);
      await removeCgroup(top);
    }
  });
});

describe.skipIf(whyNot !== undefined || !installed("podman"))("podman of a user", () => {
  const common = ["--log-level=error", "--cgroup-manager=cgroupfs", "--storage-driver=vfs", "--events-backend=none"];
  const podman = (runtime: string, ...words: string[]): Promise<Ended> =>
    asUser(["timeout", "60", "podman", ...common, "--runtime", runtime, ...words]);

  // podman leaves a process that keeps the user's namespaces.
  afterAll(async () => {
    await asUser(["timeout", "60", "podman", ...common, "system", "migrate"]);
  });

  async function tree(): Promise<string> {
    const { directory } = await bundle("true");
    return join(directory, "rootfs");
  }

  test.each(named.filter(([name]) => name !== "runc"))("%s: runs a container with ranges of ids", async (_, runtime) => {
    const { stdout, stderr, code } = await podman(
      runtime,
      "run",
      "--rm",
      "--network=none",
      "--user=5:6",
      "--rootfs",
      await tree(),
      "sh",
      "-c",
      "id -u; cat /proc/self/uid_map",
    );
    expect({ code, stderr, text: stdout.replaceAll(/ +/g, " ") }).toEqual({
      code: 0,
      stderr: "",
      text: `5\n 0 ${uid} 1\n 1 ${firstSubId} 65536\n`,
    });
  });

  test.each(named.filter(([name]) => name !== "runc"))("%s: leaves one running, enters and stops it", async (_, runtime) => {
    const name = `rootless-podman-${process.pid}-${count++}`;
    const started = await asUser([
      "sh",
      "-c",
      `podman ${common.join(" ")} --runtime ${runtime} run -d --name ${name} --network=none --rootfs ${await tree()} sleep 100 >out 2>&1 </dev/null; code=$?; cat out; exit $code`,
    ]);
    expect(started).toMatchObject({ code: 0 });
    expect(await podman(runtime, "exec", name, "id", "-u")).toMatchObject({ code: 0, stdout: "0\n" });
    expect((await podman(runtime, "top", name)).stdout).toContain("sleep 100");
    expect((await podman(runtime, "stop", "-t", "0", name)).code).toBe(0);
    expect((await podman(runtime, "rm", "-f", name)).code).toBe(0);
  });
});
