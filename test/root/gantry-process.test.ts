/** What the rest of `process` and `linux` does, seen from inside of containers that the runtime made, and compared with peers. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed, tool } from "../support/images/commands.ts";
import {
  type BundleConfig,
  type Ended,
  execute,
  hasRunc,
  makeBundle,
  notGantry,
  runtimePath,
  runtimeTested,
  unableHere,
  Workbench,
  writeConfig,
} from "./gantry-harness.ts";
import { knownTests } from "./known-differences.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
const whyNot = unableHere ?? (hasRunc ? undefined : "runc is not installed: the test bundles start from its config.json");
if (whyNot !== undefined) console.log(`skipped: ${whyNot}`);
const bench = whyNot === undefined ? new Workbench() : (undefined as unknown as Workbench);

/** The runtime that is asked. */
const tested = runtimeTested ?? runtimePath;
const isGantry = notGantry() === undefined;
/** Tests of Gantry's words, and of what is left to a runtime. */
const own = test.skipIf(whyNot !== undefined || !isGantry);
const annotation = "an annotation of crun's, which others may ignore; config.md#annotations";
const noTemplate = "finds no interface that is named after a template; config-linux.md#network-devices: it MUST allow it";
const { one, each } = knownTests(
  [
    { peer: "runc", until: "1.2.0", name: /^scheduler|^a realtime policy/, why: "ignores scheduler; config.md#linux-process" },
    { peer: "runc", until: "1.2.0", name: /^ioPriority/, why: "ignores ioPriority; config.md#linux-process" },
    { peer: "runc", until: "1.2.0", name: /^personality/, why: "ignores it; config-linux.md#personality" },
    { peer: "runc", until: "1.4.0", name: /^memoryPolicy/, why: "ignores it; config-linux.md#memory-policy" },
    { peer: "runc", until: "1.3.0", name: /^network devices/, why: "ignores netDevices; config-linux.md#network-devices" },
    { peer: "runc", name: /^network devices.* template/, why: noTemplate },
    {
      peer: "runc",
      name: /^network devices.* global addresses/,
      why: "takes a link down before it asks for its addresses: the kernel drops those of IPv6; config-linux.md#network-devices",
    },
    { peer: "runc", name: /^run.oci.keep_original_groups/, why: annotation },
    { peer: "crun", until: "1.9", name: /^scheduler|^a realtime policy/, why: "ignores scheduler; config.md#linux-process" },
    { peer: "crun", until: "1.9", name: /^ioPriority/, why: "ignores ioPriority; config.md#linux-process" },
    { peer: "crun", name: /session keyring/, why: "names it by the id alone, and its root may not search it; no section: keyrings(7)" },
    { peer: "crun", until: "1.24", name: /^memoryPolicy/, why: "ignores it; config-linux.md#memory-policy" },
    { peer: "crun", until: "1.22", name: /^network devices/, why: "ignores netDevices; config-linux.md#network-devices" },
    { peer: "crun", name: /^network devices.* template/, why: noTemplate },
  ],
  "differs",
);

/** The parts of config.json that these tests write. */
interface Config extends BundleConfig {
  ociVersion: string;
  annotations?: Record<string, string>;
  process: BundleConfig["process"] & Record<string, unknown>;
  linux: BundleConfig["linux"] & Record<string, unknown>;
}

afterAll(() => bench?.remove());

let count = 0;
let bundle = "";

/** Runs a script in a container; `change` edits its config. */
async function run(
  script: string,
  change: (config: Config) => void = () => undefined,
  runtime: readonly string[] = [tested],
): Promise<Ended> {
  const directory = join(bench.directory, "process-bundle");
  const id = `process-${process.pid}-${count++}`;
  const edit = (plain: BundleConfig): void => {
    const config = plain as Config;
    // The version that every peer takes.
    config.ociVersion = "1.0.2";
    config.process.args = ["/bin/busybox", "sh", "-c", script, id];
    change(config);
  };
  if (bundle === "") bundle = makeBundle(directory, edit);
  else writeConfig(bundle, edit);
  return execute([...runtime, "--root", join(bench.directory, `state-${runtime.length}`), "run", "--bundle", bundle, id]);
}

async function output(script: string, change?: (config: Config) => void, runtime?: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(script, change, runtime);
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
  return stdout.trim();
}

/** crun's and runc's answer must be ours, where they know the property. */
const peers = ["runc", "crun"].filter((name) => whyNot === undefined && installed(name));

describe.skipIf(whyNot !== undefined)("the process of a container", () => {
  describe("scheduler", () => {
    /** Policy number and static priority, from proc_pid_stat(5). Fields 41, 40 and 19 are policy, priority and nice. */
    const reading = "/bin/busybox awk '{print $41, $40, $19}' /proc/self/stat";

    each([
      [{ policy: "SCHED_OTHER", nice: 5 }, "0 0 5"],
      [{ policy: "SCHED_OTHER", nice: -5 }, "0 0 -5"],
      [{ policy: "SCHED_BATCH", nice: 3 }, "3 0 3"],
      [{ policy: "SCHED_IDLE" }, "5 0 0"],
    ])("scheduler %s is what the kernel tells", async (scheduler, expected) => {
      expect(await output(reading, ({ process }) => (process["scheduler"] = scheduler))).toBe(expected);
    });

    one("a realtime policy is given, or its refusal names the property", async () => {
      const ended = await run(reading, ({ process }) => (process["scheduler"] = { policy: "SCHED_RR", priority: 7 }));
      // Where realtime tasks are limited by group, a new cgroup has no time for them.
      if (ended.code === 0) expect(ended.stdout.trim()).toBe("2 7 0");
      else if (isGantry) expect(ended.stderr).toMatch(/cannot schedule as SCHED_RR \(priority 7\): .*(\/process\/scheduler)/);
    });
  });

  one("ioPriority is what the kernel tells", async () => {
    const value = (name: string, priority: number): Promise<string> =>
      output("/bin/busybox ionice", ({ process }) => (process["ioPriority"] = { class: name, priority }));
    expect(await value("IOPRIO_CLASS_BE", 6)).toBe("best-effort: prio 6");
    expect(await value("IOPRIO_CLASS_IDLE", 0)).toStartWith("idle");
    expect(await value("IOPRIO_CLASS_RT", 2)).toBe("realtime: prio 2");
  });

  one("personality LINUX32 is a machine of 32 bits, LINUX that of the host", async () => {
    const machine = (domain: string, runtime?: readonly string[]): Promise<string> =>
      output("/bin/busybox uname -m", ({ linux }) => (linux["personality"] = { domain }), runtime);
    const expected = process.arch === "x64" ? "i686" : "armv8l";
    expect(await machine("LINUX32")).toBe(expected);
    expect(await machine("LINUX")).toBe(tool(["uname", "-m"]).trim());
    if (peers.includes("crun")) expect(await machine("LINUX32", ["crun"])).toBe(expected);
  });

  one("memoryPolicy is the policy of every mapping", async () => {
    const policy = (value: unknown): Promise<string> =>
      output("/bin/busybox awk 'NR==1{print $2}' /proc/self/numa_maps", ({ linux }) => (linux["memoryPolicy"] = value));
    expect(await policy({ mode: "MPOL_BIND", nodes: "0" })).toBe("bind:0");
    expect(await policy({ mode: "MPOL_INTERLEAVE", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] })).toBe("interleave=static:0");
    expect(await policy({ mode: "MPOL_DEFAULT" })).toBe("default");
    expect(await policy({ mode: "MPOL_LOCAL" })).toBe("local");
  });

  own("memoryPolicy with nodes that are not there is refused by name", async () => {
    const ended = await run("true", ({ linux }) => (linux["memoryPolicy"] = { mode: "MPOL_BIND", nodes: "999" }));
    expect({ code: ended.code, stderr: ended.stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining("(/linux/memoryPolicy)") as string,
    });
  });

  own.each([["apparmorProfile"], ["selinuxLabel"]])("%s is left out where the kernel has no such module", async (property) => {
    if (property === "apparmorProfile" && readIfThere("/sys/module/apparmor/parameters/enabled").startsWith("Y")) return;
    if (property === "selinuxLabel" && readIfThere("/proc/self/mounts").includes("selinuxfs")) return;
    const log = join(bench.directory, `${property}.log`);
    const ended = await run("echo ran", ({ process }) => (process[property] = "some:label"), [runtimePath, "--log", log]);
    expect(ended).toEqual({ code: 0, stdout: "ran\n", stderr: "" });
    expect(readFileSync(log, "utf8")).toContain(`ignored /process/${property}: `);
  });

  one("the container has a session keyring of its own, which its root may search", async () => {
    // Keyrings of containers that ended may be there for a while: only one's own is looked at. Its permissions are field 5.
    const script = "/bin/busybox awk -v name=\"_ses.$0:\" '$9 == name {print $5, $8}' /proc/keys";
    const change = ({ linux }: Config): void => void (linux.maskedPaths = []);
    // KEY_POS_ALL, and KEY_USR_SEARCH beside what the kernel gives.
    const expected = "3f1b0000 keyring";
    expect(await output(script, change)).toBe(expected);
    expect(await output(script, change, ["runc"])).toBe(expected);
  });

  one("oomScoreAdj is set, and one that may not be set is an error", async () => {
    const script = "/bin/busybox cat /proc/self/oom_score_adj";
    for (const runtime of [[tested], ["runc"]]) {
      expect(await output(script, ({ process }) => (process["oomScoreAdj"] = 300), runtime)).toBe("300");
    }
    const mayLower = hasResourceCapability();
    for (const runtime of [[tested], ["runc"]]) {
      const ended = await run(script, ({ process }) => (process["oomScoreAdj"] = -900), runtime);
      expect(ended.code === 0).toBe(mayLower);
      if (!mayLower && runtime[0] === tested && isGantry)
        expect(ended.stderr).toContain("lowering it needs CAP_SYS_RESOURCE (/process/oomScoreAdj)");
    }
  });

  one("a hard limit that cannot be raised is an error", async () => {
    if (hasResourceCapability()) return;
    const rlimits = [{ type: "RLIMIT_NOFILE", soft: 1_048_577, hard: 1_048_577 }];
    for (const runtime of [[tested], ["runc"]]) {
      const ended = await run("true", ({ process }) => (process.rlimits = rlimits), runtime);
      expect(ended.code).not.toBe(0);
      if (runtime[0] === tested && isGantry)
        expect(ended.stderr).toContain("raising a hard limit needs CAP_SYS_RESOURCE (/process/rlimits/0)");
    }
  });

  one("run.oci.keep_original_groups keeps the caller's groups", async () => {
    const directory = join(bench.directory, "groups");
    const groups = async (annotations: Record<string, string>): Promise<string> => {
      const script = `exec ${tested} "$@"`;
      const change = (config: Config): void => void (config.annotations = annotations);
      const wrapper = `${directory}.sh`;
      writeFileSync(wrapper, `#!/bin/sh\nexec setpriv --groups 4242 -- sh -c '${script}' sh "$@"\n`, { mode: 0o755 });
      return output("/bin/busybox awk '/^Groups/{print $2}' /proc/self/status", change, [wrapper]);
    };
    expect(await groups({})).toBe("");
    expect(await groups({ "run.oci.keep_original_groups": "1" })).toBe("4242");
  });

  own("a container without a process is refused by name", async () => {
    const without = await run("true", (config) => void delete (config as Partial<Config>).process);
    expect(without).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot honour /process: ") as string });
  });

  own("intelRdt is refused by name where resctrl is not mounted", async () => {
    if (readIfThere("/proc/self/mounts").includes("resctrl")) return;
    const ended = await run("true", ({ linux }) => (linux["intelRdt"] = { closID: "x" }));
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot honour /linux/intelRdt: ") as string });
  });
});

const noLinks = whyNot ?? (installed("ip") ? undefined : "ip is not installed (Debian: iproute2)");

describe.skipIf(noLinks !== undefined)("network devices", () => {
  const stem = `g${process.pid % 100_000}`;

  /** A pair of interfaces, gone with the block: the host's end is never moved. */
  function pair(number: number): { readonly name: string; readonly peer: string } & Disposable {
    const [name, peer] = [`${stem}a${number}`, `${stem}b${number}`];
    tool(["ip", "link", "add", name, "type", "veth", "peer", "name", peer]);
    return {
      name,
      peer,
      [Symbol.dispose]: () => void Bun.spawnSync(["ip", "link", "delete", peer], { stderr: "ignore" }),
    };
  }
  const show = "/bin/busybox ip -o addr | /bin/busybox grep -v '^1:'; /bin/busybox ip -o link | /bin/busybox grep -v '^1:'";

  one("network devices are moved, renamed and up, with their permanent global addresses", async () => {
    using link = pair(1);
    tool(["ip", "addr", "add", "10.98.1.2/24", "broadcast", "10.98.1.255", "dev", link.name]);
    tool(["ip", "addr", "add", "10.98.1.9/32", "scope", "link", "dev", link.name]);
    tool(["ip", "addr", "add", "fd98::2/64", "dev", link.name, "nodad"]);
    tool(["ip", "addr", "add", "10.98.1.7/24", "valid_lft", "900", "preferred_lft", "900", "dev", link.name]);
    tool(["ip", "link", "set", link.name, "mtu", "1333", "up"]);
    const text = await output(show, ({ linux }) => (linux["netDevices"] = { [link.name]: { name: "inside0" } }));
    expect(text).toContain("inside0");
    expect(text).toMatch(/inet 10\.98\.1\.2\/24 .*scope global/);
    // crun forgets the broadcast address, and leaves the label of the old name.
    if (isGantry) expect(text).toContain("brd 10.98.1.255 scope global inside0");
    expect(text).toContain("inet6 fd98::2/64 scope global");
    expect(text).not.toContain("10.98.1.9");
    expect(text).not.toContain("10.98.1.7");
    expect(text).toMatch(/inside0.*<[^>]*\bUP\b[^>]*> mtu 1333/);
  });

  one("network devices keep their name without another, and take the first free number of a template", async () => {
    using first = pair(2);
    using second = pair(3);
    using third = pair(4);
    const netDevices = { [first.name]: {}, [second.name]: { name: "net%d" }, [third.name]: { name: "net%d" } };
    const text = await output(show, ({ linux }) => (linux["netDevices"] = netDevices));
    for (const name of [first.name, "net0", "net1"]) expect(text).toMatch(new RegExp(`: ${name}@`));
  });

  own("network devices are left as they are when their name is taken there, or they are not there", async () => {
    using link = pair(5);
    tool(["ip", "addr", "add", "fd98::5/64", "dev", link.name, "nodad"]);
    tool(["ip", "link", "set", link.name, "up"]);
    const before = tool(["ip", "-o", "addr", "show", link.name]);
    const taken = await run("true", ({ linux }) => (linux["netDevices"] = { [link.name]: { name: "lo" } }));
    expect(taken).toMatchObject({ code: 1, stderr: expect.stringContaining("there is an interface of that name") as string });
    expect(tool(["ip", "-o", "addr", "show", link.name])).toBe(before);
    const missing = await run("true", ({ linux }) => (linux["netDevices"] = { nosuchlink: {} }));
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining("(/linux/netDevices/nosuchlink)") as string });
  });

  one("network devices are moved into a namespace that the container joins, and stay in it", async () => {
    using link = pair(6);
    const name = `${stem}ns`;
    tool(["ip", "netns", "add", name]);
    try {
      tool(["ip", "addr", "add", "10.98.6.2/24", "dev", link.name]);
      const text = await output(show, ({ linux }) => {
        const namespaces = linux["namespaces"] as { type: string; path?: string }[];
        for (const entry of namespaces) if (entry.type === "network") entry.path = `/run/netns/${name}`;
        linux["netDevices"] = { [link.name]: { name: "joined0" } };
      });
      expect(text).toMatch(/joined0 .*inet 10\.98\.6\.2\/24 .*scope global/);
      // runc makes up a broadcast address, and crun leaves the label of the old name.
      if (isGantry) expect(text).toContain("inet 10.98.6.2/24 scope global joined0");
      expect(tool(["ip", "-n", name, "-o", "addr", "show", "joined0"])).toContain("10.98.6.2/24");
    } finally {
      tool(["ip", "netns", "delete", name]);
    }
  });
});

function hasResourceCapability(): boolean {
  const mask = /^CapEff:\s*(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return (BigInt(`0x${mask}`) >> 24n) % 2n === 1n;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
