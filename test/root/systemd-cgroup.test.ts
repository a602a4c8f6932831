/** Containers whose cgroups systemd makes: the unit while they live, and that nothing is left of it; the same for every runtime here. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { installed } from "../support/images/commands.ts";
import { patient } from "../support/slowness.ts";
import { eventually, runtimePath, unable } from "./gantry-harness.ts";
import { type LiveContainer, Runtime, useOwnCgroup } from "./live-container.ts";

setDefaultTimeout(patient(120_000));
// sd_booted(3)
const noSystemd = existsSync("/run/systemd/system") ? undefined : "systemd does not run here: there is no /run/systemd/system";
const isUnified = existsSync("/sys/fs/cgroup/cgroup.controllers");
const reason = unable ?? noSystemd ?? (isUnified ? undefined : "the controllers are not on cgroup v2");
if (reason !== undefined) console.log(`skipped: ${reason}`);

const runtimes: readonly (readonly [name: string, command: readonly string[]])[] = [
  ["gantry-runtime", [runtimePath, "--systemd-cgroup"]],
  ...(installed("runc") ? [["runc", ["runc", "--systemd-cgroup"]] as const] : []),
];

const limits = {
  memory: { limit: 67_108_864, reservation: 33_554_432, swap: 100_663_296 },
  cpu: { shares: 2048, quota: 50_000, period: 100_000, cpus: "0", mems: "0" },
  pids: { limit: 42 },
};

let count = 0;
const freshName = (): string => `unit${process.pid}x${count++}`;

function systemctl(...words: readonly string[]): string {
  return Bun.spawnSync(["systemctl", ...words], { stderr: "ignore" }).stdout.toString();
}

/** Properties of a unit, by name. */
function show(unit: string, ...names: readonly string[]): Record<string, string> {
  const lines = systemctl("show", unit, ...names.map((name) => `--property=${name}`)).split("\n");
  return Object.fromEntries(lines.filter(Boolean).map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

const isGone = (unit: string): boolean => show(unit, "LoadState")["LoadState"] === "not-found";

/** The v2 cgroup of a container's first process, as the host sees it. */
async function cgroupOf(container: LiveContainer): Promise<string> {
  const { pid } = await container.state();
  return readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().slice("0::".length);
}

const fileOf = (cgroup: string, name: string): string => readFileSync(`/sys/fs/cgroup${cgroup}/${name}`, "utf8").trim();

describe.skipIf(reason !== undefined).each(runtimes)("with %s, systemd", (name, command) => {
  test("has a scope in the slice that is asked for, with the limits as properties and in the files", async () => {
    using runtime = new Runtime(command);
    const unit = freshName();
    const one = await runtime.container({ linux: { cgroupsPath: `gantrytest.slice:pre:${unit}`, resources: limits } }).start();
    const cgroup = await cgroupOf(one);
    expect(cgroup).toBe(`/gantrytest.slice/pre-${unit}.scope`);
    const wanted = {
      LoadState: "loaded",
      ActiveState: "active",
      Slice: "gantrytest.slice",
      Delegate: "yes",
      ControlGroup: cgroup,
      MemoryMax: "67108864",
      MemoryLow: "33554432",
      MemorySwapMax: "33554432",
      CPUQuotaPerSecUSec: "500ms",
      TasksMax: "42",
      AllowedCPUs: "0",
      AllowedMemoryNodes: "0",
      MemoryAccounting: "yes",
      DefaultDependencies: "no",
    };
    expect(show(`pre-${unit}.scope`, ...Object.keys(wanted))).toEqual(wanted);
    expect(show(`pre-${unit}.scope`, "CPUWeight")["CPUWeight"]).toBe(fileOf(cgroup, "cpu.weight"));
    const files = ["memory.max", "memory.low", "memory.swap.max", "cpu.max", "pids.max", "cpuset.cpus", "cpuset.mems"];
    expect(files.map((file) => fileOf(cgroup, file))).toEqual(["67108864", "33554432", "33554432", "50000 100000", "42", "0", "0"]);
    expect((await one.call("delete --force")).code).toBe(0);
    expect(await eventually(() => isGone(`pre-${unit}.scope`))).toBe(true);
    expect(existsSync(`/sys/fs/cgroup${cgroup}`)).toBe(false);
  });

  test("nests slices by their names, and has a place for containers that name none", async () => {
    using runtime = new Runtime(command);
    const unit = freshName();
    const nested = await runtime.container({ linux: { cgroupsPath: `gantrytest-a-b.slice:pre:${unit}` } }).start();
    expect(await cgroupOf(nested)).toBe(`/gantrytest.slice/gantrytest-a.slice/gantrytest-a-b.slice/pre-${unit}.scope`);
    const unnamed = await runtime.container({}).start();
    expect(await cgroupOf(unnamed)).toBe(`/system.slice/${name === "runc" ? "runc" : "gantry"}-${unnamed.id}.scope`);
  });

  test("keeps a changed limit", async () => {
    using runtime = new Runtime(command);
    const unit = freshName();
    const one = await runtime.container({ linux: { cgroupsPath: `gantrytest.slice:pre:${unit}`, resources: limits } }).start();
    const words = ["--memory=83886080", "--memory-swap=125829120", "--pids-limit=50", "--cpu-quota=20000", "--cpu-period=100000"];
    expect(await one.call(`update ${words.join(" ")}`)).toMatchObject({ code: 0 });
    const wanted = { MemoryMax: "83886080", MemorySwapMax: "41943040", TasksMax: "50", CPUQuotaPerSecUSec: "200ms" };
    const check = async (): Promise<void> => {
      expect(show(`pre-${unit}.scope`, ...Object.keys(wanted))).toEqual(wanted);
      const cgroup = await cgroupOf(one);
      expect(["memory.max", "pids.max", "cpu.max"].map((file) => fileOf(cgroup, file))).toEqual(["83886080", "50", "20000 100000"]);
    };
    await check();
    // systemd writes all files again then.
    systemctl("daemon-reload");
    await check();
  });

  test("is told of changes by an `update` that does not say who made the cgroup", async () => {
    using runtime = new Runtime(command);
    const unit = freshName();
    const one = await runtime.container({ linux: { cgroupsPath: `gantrytest.slice:pre:${unit}`, resources: limits } }).start();
    const plain = runtime.command.filter((word) => word !== "--systemd-cgroup");
    expect(Bun.spawnSync([...plain, "update", "--pids-limit=51", one.id]).exitCode).toBe(0);
    expect(show(`pre-${unit}.scope`, "TasksMax")).toEqual({ TasksMax: "51" });
  });

  test("sees a container paused, resumed and joined in its unit", async () => {
    using runtime = new Runtime(command);
    const one = await runtime.container({ linux: { cgroupsPath: `gantrytest.slice:pre:${freshName()}` } }).start();
    const cgroup = await cgroupOf(one);
    expect((await one.call("pause")).code).toBe(0);
    expect([(await one.state()).status, fileOf(cgroup, "cgroup.events")]).toEqual(["paused", "populated 1\nfrozen 1"]);
    expect((await one.call("resume")).code).toBe(0);
    expect((await one.state()).status).toBe("running");
    expect((await one.exec("cat /proc/self/cgroup")).output.trim()).toBe(`0::${cgroup}`);
    expect((await one.call("exec --detach", "/bin/busybox", "sleep", "1000")).code).toBe(0);
    expect(fileOf(cgroup, "cgroup.procs").split("\n")).toHaveLength(2);
  });

  test("has no unit of a container that could not be made", async () => {
    using runtime = new Runtime(command);
    const unit = freshName();
    const linux = { cgroupsPath: `gantrytest.slice:pre:${unit}` };
    const one = runtime.container({ linux, process: { args: ["/no/such/program"] } });
    expect((await one.create()).code).not.toBe(0);
    expect(await eventually(() => isGone(`pre-${unit}.scope`))).toBe(true);
    expect(existsSync(`/sys/fs/cgroup/gantrytest.slice/pre-${unit}.scope`)).toBe(false);
  });

  test("lets all processes of a container without a pid namespace be killed", async () => {
    using runtime = new Runtime(command);
    const unit = freshName();
    const script = "/bin/busybox sleep 1000 & /bin/busybox sleep 1000 & exec /bin/busybox sleep 1000";
    const one = await runtime.container({ script, namespaces: [], linux: { cgroupsPath: `gantrytest.slice:pre:${unit}` } }).start();
    const cgroup = await cgroupOf(one);
    expect(await eventually(() => fileOf(cgroup, "cgroup.procs").split("\n").length === 3)).toBe(true);
    expect((await one.call("kill --all", "KILL")).code).toBe(0);
    expect(await eventually(async () => (await one.state()).status === "stopped")).toBe(true);
    expect((await one.call("delete")).code).toBe(0);
    expect(await eventually(() => isGone(`pre-${unit}.scope`))).toBe(true);
  });

  test("forgets a container that ran out of memory", async () => {
    using runtime = new Runtime(command);
    const unit = freshName();
    const script = "/bin/busybox tail /dev/zero; echo $?";
    const resources = { memory: { limit: 20_971_520, swap: 20_971_520 }, devices: [{ allow: true, access: "rwm" }] };
    const devices = [{ path: "/dev/zero", type: "c", major: 1, minor: 5, fileMode: 438 }];
    const one = runtime.container({ script, linux: { cgroupsPath: `gantrytest.slice:pre:${unit}`, resources, devices } });
    await one.run();
    await one.call("delete --force");
    expect(await eventually(() => isGone(`pre-${unit}.scope`))).toBe(true);
    expect(systemctl("list-units", "--all", "--plain", "--no-legend", `pre-${unit}*`)).toBe("");
  });

  test("takes properties from annotations", async () => {
    using runtime = new Runtime(command);
    const unit = freshName();
    const annotations = {
      "org.systemd.property.TimeoutStopUSec": "uint64 123456789",
      "org.systemd.property.CollectMode": "'inactive-or-failed'",
    };
    await runtime.container({ annotations, linux: { cgroupsPath: `gantrytest.slice:pre:${unit}` } }).start();
    const wanted = { TimeoutStopUSec: "2min 3.456789s", CollectMode: "inactive-or-failed" };
    expect(show(`pre-${unit}.scope`, ...Object.keys(wanted))).toEqual(wanted);
  });

  test("leaves the cgroup to the root of a user namespace, but not its limits", async () => {
    using runtime = new Runtime(command);
    const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    const one = await runtime
      .container({
        namespaces: ["pid", "cgroup", "user"],
        mounts: [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid"] }],
        linux: {
          cgroupsPath: `gantrytest.slice:pre:${freshName()}`,
          resources: { pids: { limit: 77 } },
          uidMappings: mapping,
          gidMappings: mapping,
        },
      })
      .start();
    const { output, errors } = await one.exec(useOwnCgroup);
    expect({ output, errors }).toMatchObject({ output: "max\n" });
    expect(errors).toContain("can't create pids.max: Permission denied");
  });

  test("lets only the devices through that the config allows, after a reload as well", async () => {
    using runtime = new Runtime(command);
    const resources = {
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 1, minor: 11, access: "w" },
      ],
    };
    const devices = [
      { path: "/dev/kmsg", type: "c", major: 1, minor: 11, fileMode: 438 },
      { path: "/dev/mem", type: "c", major: 1, minor: 1, fileMode: 438 },
    ];
    const linux = { cgroupsPath: `gantrytest.slice:pre:${freshName()}`, resources, devices };
    const one = await runtime.container({ linux }).start();
    const look = async (): Promise<string> =>
      (await one.exec("(: </dev/kmsg) 2>&1; (: >/dev/kmsg) 2>&1; (: </dev/mem) 2>&1; : </dev/null && echo null")).output;
    const wanted = ["sh: can't open /dev/kmsg: Operation not permitted", "sh: can't open /dev/mem: Operation not permitted", "null", ""];
    expect((await look()).split("\n")).toEqual(wanted);
    systemctl("daemon-reload");
    expect((await look()).split("\n")).toEqual(wanted);
  });
});

describe.skipIf(reason !== undefined)("a path that is none of systemd's", () => {
  test.each(["/a/b", "a.slice:b", "no-slice:a:b", "a--b.slice:p:n", "a.slice:p:n/../../x"])(
    "such as %s is refused",
    async (cgroupsPath) => {
      using runtime = new Runtime([runtimePath, "--systemd-cgroup"]);
      const { code, errors } = await runtime.container({ linux: { cgroupsPath } }).run();
      expect({ code, isNamed: errors.includes("/linux/cgroupsPath") }).toEqual({ code: 1, isNamed: true });
    },
  );
});

/** A user with a systemd of its own, without a login: what pam_systemd would tell that, a drop-in does. Undefined when it does not come up. */
async function startUserManager(uid: number): Promise<string | undefined> {
  mkdirSync("/run/systemd/system/user@.service.d", { recursive: true });
  writeFileSync("/run/systemd/system/user@.service.d/gantry-test.conf", "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n");
  Bun.spawnSync(["useradd", "--uid", String(uid), "--no-create-home", `gantrytest${uid}`], { stderr: "ignore" });
  systemctl("daemon-reload");
  systemctl("start", `user@${uid}.service`);
  const socket = `/run/user/${uid}/systemd/private`;
  return (await eventually(() => existsSync(socket))) ? `/user.slice/user-${uid}.slice/user@${uid}.service` : undefined;
}

describe.skipIf(reason !== undefined)("a user's own systemd", () => {
  const uid = 61_234;
  const asUser = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "env", `XDG_RUNTIME_DIR=/run/user/${uid}`];

  afterAll(() => {
    if (reason !== undefined) return;
    systemctl("stop", `user@${uid}.service`);
    rmSync("/run/systemd/system/user@.service.d/gantry-test.conf", { force: true });
    Bun.spawnSync(["userdel", `gantrytest${uid}`], { stderr: "ignore" });
  });

  // runc asks on the session's bus, and there is none here.
  test("has the scope of a container that is made without root, with its limits", async () => {
    const manager = await startUserManager(uid);
    if (manager === undefined) throw new Error(`the manager of user ${uid} did not start: ${systemctl("status", `user@${uid}.service`)}`);
    // Whoever may move a process out of a cgroup may do so only within what is the user's.
    const enter = `echo $$ > /sys/fs/cgroup${manager}/init.scope/cgroup.procs && exec "$@"`;
    using runtime = new Runtime(["sh", "-c", enter, "sh", ...asUser, runtimePath, "--systemd-cgroup"]);
    Bun.spawnSync(["chown", "-R", String(uid), runtime.directory]);
    const id = [{ containerID: 0, hostID: uid, size: 1 }];
    const resources = { memory: { limit: 67_108_864 }, pids: { limit: 42 } };
    const unit = freshName();
    const one = runtime.container({
      namespaces: ["pid", "user"],
      linux: { cgroupsPath: `user.slice:pre:${unit}`, uidMappings: id, gidMappings: [{ ...id[0], hostID: uid }], resources },
    });
    await one.start();
    const cgroup = await cgroupOf(one);
    expect(cgroup).toBe(`${manager}/user.slice/pre-${unit}.scope`);
    expect(["memory.max", "pids.max"].map((file) => fileOf(cgroup, file))).toEqual(["67108864", "42"]);
    const ask = ["systemctl", "--user", "show", "--property=TasksMax", "--property=LoadState", `pre-${unit}.scope`];
    const told = (): string =>
      Bun.spawnSync([...asUser, ...ask])
        .stdout.toString()
        .split("\n")
        .toSorted()
        .join(" ")
        .trim();
    expect(told()).toBe("LoadState=loaded TasksMax=42");
    expect((await one.exec("cat /proc/self/cgroup")).output.trim()).toBe(`0::${cgroup}`);
    expect((await one.call("delete --force")).code).toBe(0);
    expect(await eventually(() => told().startsWith("LoadState=not-found"))).toBe(true);
  });
});
