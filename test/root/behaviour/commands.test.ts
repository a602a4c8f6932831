/** The commands of a runtime on a container that is there, and the limits that hold for it. */
import { describe, setDefaultTimeout } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { patient } from "../../support/slowness.ts";
import { eventually, hasV1 } from "../gantry-harness.ts";
import { type Case, cgroupParent, type Config, noBehaviour, type Place, testCases } from "./harness.ts";

setDefaultTimeout(patient(120_000));

const sleeper = (config: Config): void => void (config.process.args = ["/bin/sleep", "100"]);
const noV1 = hasV1 ? undefined : "the controllers are not on cgroup v1";

async function start(place: Place, ...options: readonly string[]): Promise<void> {
  for (const words of [
    ["create", "--bundle", place.bundle, ...options, place.id],
    ["start", place.id],
  ]) {
    const { code, stderr } = await place.runtime(...words);
    if (code !== 0) throw new Error(`${words[0]}: ${stderr}`);
  }
}

const stateOf = async (place: Place): Promise<Record<string, unknown>> =>
  JSON.parse((await place.runtime("state", place.id)).stdout) as Record<string, unknown>;
const isStopped = (place: Place): Promise<boolean> => eventually(async () => (await stateOf(place))["status"] === "stopped");

/** Starts a container and returns what `exec` with these words prints, with its exit code. */
function exec(...words: readonly string[]): (place: Place) => Promise<unknown> {
  return async (place) => {
    await start(place);
    const options = words.slice(0, words.indexOf("--"));
    const { code, stdout } = await place.runtime("exec", ...options, place.id, ...words.slice(words.indexOf("--") + 1));
    return [code, stdout];
  };
}

const execs: readonly Case[] = [
  { name: "exec: exit code and output", change: sleeper, act: exec("--", "/bin/sh", "-c", "echo in; exit 9"), expected: [9, "in\n"] },
  {
    name: "exec: the environment and directory of the container",
    change: sleeper,
    act: exec("--", "/bin/sh", "-c", "echo $HOME; pwd"),
    expected: [0, "/root\n/\n"],
  },
  {
    name: "exec --cwd --env --user",
    change: sleeper,
    act: exec("--cwd", "/tmp", "--env", "A=b", "--user", "5:6", "--", "/bin/sh", "-c", "pwd; echo $A; id -u; id -g"),
    expected: [0, "/tmp\nb\n5\n6\n"],
  },
  {
    name: "exec: the namespaces, limits and capabilities of the container",
    change: sleeper,
    act: exec(
      "--",
      "/bin/sh",
      "-c",
      'for n in pid net ipc uts mnt; do test $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) || echo $n; done; test "$(grep CapBnd /proc/1/status)" = "$(grep CapBnd /proc/self/status)" && echo same',
    ),
    expected: [0, "same\n"],
  },
  {
    name: "exec --process: a process of its own",
    change: sleeper,
    act: async (place) => {
      await start(place);
      const path = join(place.bundle, "process.json");
      const process = {
        args: [
          "/bin/sh",
          "-c",
          "pwd; echo $A; id -u; id -G; grep CapEff /proc/self/status | tr -d '\\t'; grep NoNew /proc/self/status | tr -d '\\t'; umask",
        ],
        cwd: "/etc",
        env: ["PATH=/bin", "A=b"],
        user: { uid: 0, gid: 6, additionalGids: [7], umask: 0o27 },
        capabilities: { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] },
        noNewPrivileges: true,
      };
      writeFileSync(path, JSON.stringify(process));
      const { code, stdout } = await place.runtime("exec", "--process", path, place.id);
      return [code, stdout];
    },
    expected: [0, "/etc\nb\n0\n6 7\nCapEff:0000000000000020\nNoNewPrivs:1\n0027\n"],
    differs: [{ peer: "runc", why: "runc leaves the umask of an exec process out; config.md#user" }],
  },
  {
    name: "exec --detach --pid-file: the pid is that of the process, which goes on",
    change: sleeper,
    act: async (place) => {
      await start(place);
      const path = join(place.bundle, "pid");
      const { code } = await place.runtime("exec", "--detach", "--pid-file", path, place.id, "/bin/sleep", "77");
      const words = (): string => readFileSync(`/proc/${readFileSync(path, "utf8")}/cmdline`, "latin1").replaceAll("\0", " ");
      return [code, await eventually(() => words() === "/bin/sleep 77 ")];
    },
    expected: [0, true],
  },
  {
    name: "exec of a program that is not there",
    change: sleeper,
    act: async (place) => ((await exec("--", "no-such-program")(place)) as [number])[0] > 0,
    expected: true,
  },
  {
    name: "exec in a container that is only created, or stopped",
    change: sleeper,
    act: async (place) => {
      await start(place);
      await place.runtime("kill", place.id, "KILL");
      await isStopped(place);
      return (await place.runtime("exec", place.id, "/bin/true")).code !== 0;
    },
    expected: true,
  },
];

const lives: readonly Case[] = [
  {
    name: "state has what the specification asks for, with the annotations",
    change: (config) => {
      sleeper(config);
      config["annotations"] = { "test.key": "a value", "test.empty": "" };
    },
    act: async (place) => {
      await place.runtime("create", "--bundle", place.bundle, place.id);
      const { ociVersion, id, status, pid, bundle, annotations } = await stateOf(place);
      return [typeof ociVersion, id === place.id, status, typeof pid, bundle === place.bundle, annotations];
    },
    expected: ["string", true, "created", "number", true, { "test.key": "a value", "test.empty": "" }],
  },
  {
    name: "a created container has run nothing of its program",
    change: (config, { bundle }) => {
      config.mounts.push({ destination: "/out", source: bundle, type: "bind", options: ["bind"] });
      config.root.readonly = false;
      config.process.args = ["/bin/sh", "-c", "touch /out/ran; sleep 100"];
    },
    act: async (place) => {
      await place.runtime("create", "--bundle", place.bundle, place.id);
      await Bun.sleep(100);
      const before = existsSync(join(place.bundle, "ran"));
      await place.runtime("start", place.id);
      return [before, await eventually(() => existsSync(join(place.bundle, "ran")))];
    },
    expected: [false, true],
  },
  {
    name: "create --pid-file: the pid of the state",
    change: sleeper,
    act: async (place) => {
      const path = join(place.bundle, "pid");
      await start(place, "--pid-file", path);
      return readFileSync(path, "utf8") === String((await stateOf(place))["pid"]);
    },
    expected: true,
  },
  ...["TERM", "SIGTERM", "15"].map((signal): Case => ({
    name: `kill ${signal} reaches the program`,
    change: (config, { bundle }) => {
      config.mounts.push({ destination: "/out", source: bundle, type: "bind", options: ["bind"] });
      config.root.readonly = false;
      config.process.args = ["/bin/sh", "-c", "trap 'touch /out/caught; exit' TERM; touch /out/ready; while :; do sleep 0.05; done"];
    },
    act: async (place) => {
      await start(place);
      await eventually(() => existsSync(join(place.bundle, "ready")));
      const { code } = await place.runtime("kill", place.id, signal);
      return [code, await isStopped(place), existsSync(join(place.bundle, "caught"))];
    },
    expected: [0, true, true],
  })),
  {
    name: "kill with a signal that there is not",
    change: sleeper,
    act: async (place) => (await start(place), (await place.runtime("kill", place.id, "NOSUCH")).code !== 0),
    expected: true,
    differs: [{ peer: "crun", until: "1.9", why: "until then crun takes a signal that there is not; runtime.md#kill" }],
  },
  {
    name: "kill of a container that is stopped, and delete of one that runs, are errors",
    change: sleeper,
    act: async (place) => {
      await start(place);
      const early = (await place.runtime("delete", place.id)).code;
      await place.runtime("kill", place.id, "KILL");
      await isStopped(place);
      const late = (await place.runtime("kill", place.id, "TERM")).code;
      return [early !== 0, late !== 0, (await place.runtime("delete", place.id)).code, (await place.runtime("state", place.id)).code !== 0];
    },
    expected: [true, true, 0, true],
  },
  {
    name: "pause stops all processes, resume lets them go on",
    change: sleeper,
    act: async (place) => {
      await start(place);
      const seen: unknown[] = [(await place.runtime("pause", place.id)).code, (await stateOf(place))["status"]];
      return [...seen, (await place.runtime("resume", place.id)).code, (await stateOf(place))["status"]];
    },
    expected: [0, "paused", 0, "running"],
  },
  {
    name: "list --format json has the container",
    change: sleeper,
    act: async (place) => {
      await start(place);
      const list = JSON.parse((await place.runtime("list", "--format", "json")).stdout) as { id: string; status: string; bundle: string }[];
      const found = list.find(({ id }) => id === place.id);
      return [found?.status, found?.bundle === place.bundle];
    },
    expected: ["running", true],
  },
  {
    name: "ps --format json has the pids of the host",
    change: sleeper,
    act: async (place) => {
      await start(place);
      const pids = JSON.parse((await place.runtime("ps", "--format", "json", place.id)).stdout) as number[];
      return [pids.length, pids[0] === (await stateOf(place))["pid"]];
    },
    expected: [1, true],
  },
  {
    name: "run --detach returns, and the container goes on",
    change: sleeper,
    act: async (place) => {
      const { code } = await place.runtime("run", "--detach", "--bundle", place.bundle, place.id);
      return [code, (await stateOf(place))["status"]];
    },
    expected: [0, "running"],
  },
];

const file = (place: Place, controller: string, name: string): string =>
  readFileSync(join("/sys/fs/cgroup", controller, cgroupParent, place.id, name), "utf8").trim();
const holds = (
  limits: Readonly<Record<string, unknown>>,
  files: readonly (readonly [string, string])[],
): Omit<Case, "name" | "expected"> => ({
  change: (config) => {
    sleeper(config);
    Object.assign(config.linux["resources"] as object, limits);
  },
  act: async (place) => (await start(place), files.map(([controller, name]) => file(place, controller, name))),
  unable: noV1,
});
const limits: readonly Case[] = [
  {
    name: "limits: memory, swap, reservation and swappiness",
    ...holds({ memory: { limit: 67108864, swap: 134217728, reservation: 33554432, swappiness: 10 } }, [
      ["memory", "memory.limit_in_bytes"],
      ["memory", "memory.memsw.limit_in_bytes"],
      ["memory", "memory.soft_limit_in_bytes"],
      ["memory", "memory.swappiness"],
    ]),
    expected: ["67108864", "134217728", "33554432", "10"],
  },
  {
    name: "limits: CPU shares, quota, period, CPUs and memory nodes",
    ...holds({ cpu: { shares: 512, quota: 50000, period: 100000, cpus: "0", mems: "0" } }, [
      ["cpu", "cpu.shares"],
      ["cpu", "cpu.cfs_quota_us"],
      ["cpu", "cpu.cfs_period_us"],
      ["cpuset", "cpuset.cpus"],
      ["cpuset", "cpuset.mems"],
    ]),
    expected: ["512", "50000", "100000", "0", "0"],
  },
  { name: "limits: processes", ...holds({ pids: { limit: 42 } }, [["pids", "pids.max"]]), expected: ["42"] },
  {
    name: "limits: -1 processes are no limit",
    ...holds({ pids: { limit: -1 } }, [["pids", "pids.max"]]),
    expected: ["max"],
    differs: [
      { peer: "crun", until: "1.13", why: "until then crun writes -1 to the file of cgroup v1; config-linux.md#pids: it means no limit" },
    ],
  },
  {
    name: "limits: 0 processes are none either before version 1.3",
    ...holds({ pids: { limit: 0 } }, [["pids", "pids.max"]]),
    expected: ["max"],
    differs: [
      {
        peer: "runc",
        since: "1.4.0",
        why: "since then runc takes 0 for a limit, and 1 for it, of whatever version a config is; config-linux.md#pids",
      },
    ],
  },
  {
    name: "update changes limits, by options and by a document",
    change: sleeper,
    act: async (place) => {
      await start(place);
      const path = join(place.bundle, "limits.json");
      writeFileSync(path, JSON.stringify({ cpu: { shares: 300 }, pids: { limit: 33 } }));
      const codes = [
        (await place.runtime("update", "--memory", "50000000", "--pids-limit", "22", place.id)).code,
        (await place.runtime("update", "--resources", path, place.id)).code,
      ];
      return [...codes, file(place, "memory", "memory.limit_in_bytes"), file(place, "pids", "pids.max"), file(place, "cpu", "cpu.shares")];
    },
    expected: [0, 0, "49999872", "33", "300"],
    unable: noV1,
  },
  {
    name: "the cgroups go with the container",
    change: sleeper,
    act: async (place) => {
      await start(place);
      const path = join("/sys/fs/cgroup/pids", cgroupParent, place.id);
      const before = existsSync(path);
      await place.runtime("delete", "--force", place.id);
      return [before, existsSync(path)];
    },
    expected: [true, false],
    unable: noV1,
  },
];

describe.skipIf(noBehaviour !== undefined)("commands on a container", () => {
  testCases([...execs, ...lives, ...limits]);
});
