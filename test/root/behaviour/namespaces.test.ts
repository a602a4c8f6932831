/** Namespaces: new, absent and joined, with all that lives in them. */
import { describe, setDefaultTimeout } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { installed } from "../../support/images/commands.ts";
import { patient } from "../../support/slowness.ts";
import { eventually } from "../gantry-harness.ts";
import { type Case, type Config, type Difference, noBehaviour, type Place, runBundle, testCases } from "./harness.ts";

setDefaultTimeout(patient(120_000));

/** The kinds by the specification's names, and by those of /proc/PID/ns. */
const kinds = { pid: "pid", network: "net", ipc: "ipc", uts: "uts", mount: "mnt", cgroup: "cgroup", user: "user", time: "time" } as const;
type Kind = keyof typeof kinds;

const noTime: readonly Difference[] = [
  { peer: "runc", until: "1.2.0", why: "runc has time namespaces since 1.2; config-linux.md#namespaces" },
  { peer: "crun", until: "1.8.2", why: "crun 1.8.1 has no time namespaces; config-linux.md#namespaces" },
];

function add({ linux }: Config, kind: Kind, path?: string): void {
  linux.namespaces = [...linux.namespaces.filter(({ type }) => type !== kind), { type: kind, ...(path === undefined ? {} : { path }) }];
  if (kind === "user" && path === undefined) map(linux);
}

function map(linux: Config["linux"]): void {
  linux["uidMappings"] = [{ containerID: 0, hostID: 0, size: 65536 }];
  linux["gidMappings"] = [{ containerID: 0, hostID: 0, size: 65536 }];
}

const drop = ({ linux }: Config, kind: Kind): void => {
  linux.namespaces = linux.namespaces.filter(({ type }) => type !== kind);
};

const look = (kind: Kind): string => `readlink /proc/self/ns/${kinds[kind]}`;
const own = (kind: Kind): string => readlinkSync(`/proc/self/ns/${kinds[kind]}`);

const made: readonly Case[] = (Object.keys(kinds) as Kind[]).map((kind) => ({
  name: `a new ${kind} namespace is not the host's`,
  change: (config) => add(config, kind),
  script: `test "$(${look(kind)})" != '${own(kind)}' && echo other`,
  expected: "other\n",
  ...(kind === "time" ? { differs: noTime } : {}),
}));

const absent: readonly Case[] = (["pid", "network", "ipc", "uts", "cgroup", "user", "time"] as const).map((kind) => ({
  name: `without a ${kind} namespace it is the host's`,
  change: (config) => {
    drop(config, kind);
    if (kind === "uts") delete config.hostname;
  },
  script: look(kind),
  expected: `${own(kind)}\n`,
}));

/** Runs a case while a process outside holds namespaces; `flags` are unshare's. */
function held(flags: readonly string[], use: (config: Config, pid: number) => void): (place: Place) => Promise<unknown> {
  return async (place) => {
    const holder = Bun.spawn(["unshare", ...flags, "sleep", "100"], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    try {
      await eventually(() => readFileSync(`/proc/${holder.pid}/comm`, "utf8") === "sleep\n" || flags.includes("--fork"));
      let pid = holder.pid;
      if (flags.includes("--fork")) {
        const children = (): string => readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, "utf8").trim();
        await eventually(() => children() !== "" && readFileSync(`/proc/${children()}/comm`, "utf8") === "sleep\n");
        pid = Number(children());
      }
      use(place.config, pid);
      await Bun.write(`${place.bundle}/config.json`, JSON.stringify(place.config));
      const { stdout, stderr } = await runBundle(place);
      const found = stdout.trim();
      const wanted = (kind: Kind): string => readlinkSync(`/proc/${pid}/ns/${kinds[kind]}`);
      const kind = place.config.process.args.at(-1)?.match(/ns\/(\w+)/)?.[1];
      const name = (Object.keys(kinds) as Kind[]).find((each) => kinds[each] === kind);
      return name === undefined || stderr !== "" ? [found, stderr] : found === wanted(name);
    } finally {
      holder.kill("SIGKILL");
      if (flags.includes("--fork")) await holder.exited;
    }
  };
}

const joins: readonly Case[] = (
  [
    ["network", ["--net"]],
    ["ipc", ["--ipc"]],
    ["uts", ["--uts"]],
    ["cgroup", ["--cgroup"]],
    ["pid", ["--pid", "--fork", "--kill-child"]],
  ] as const
).map(([kind, flags]) => ({
  name: `a ${kind} namespace is joined by its path`,
  script: look(kind),
  change: (config: Config) => {
    if (kind === "uts") delete config.hostname;
  },
  act: held(flags, (config, pid) => add(config, kind, `/proc/${pid}/ns/${kinds[kind]}`)),
  expected: true,
  unable: installed("unshare") ? undefined : "unshare is not installed",
}));

const refused: readonly Case[] = [
  {
    name: "a kind that is named twice is refused",
    change: ({ linux }) => linux.namespaces.push({ type: "ipc" }),
    code: 1,
    expected: /ipc|duplicate/i,
    differs: [
      {
        peer: "crun",
        until: "1.18",
        why: "until then crun takes a namespace that is there twice; config-linux.md#namespaces: it MUST be an error",
      },
    ],
  },
  {
    name: "a path of another kind is refused",
    change: (config) => add(config, "ipc", "/proc/self/ns/net"),
    code: 1,
    expected: /./,
  },
  {
    name: "a path that is not there is refused",
    change: (config) => add(config, "ipc", "/no/such/namespace"),
    code: 1,
    expected: /no such file/i,
  },
  {
    name: "an unknown kind is refused",
    change: ({ linux }) => linux.namespaces.push({ type: "weather" }),
    code: 1,
    expected: /weather|namespace/,
  },
];

const names: readonly Case[] = [
  { name: "hostname is seen inside", script: "hostname; cat /proc/sys/kernel/hostname", expected: "inside\ninside\n" },
  {
    name: "the host keeps its own name",
    script: "true",
    act: async (place) => ((await runBundle(place)).code === 0 ? hostname() : "failed"),
    expected: hostname(),
  },
  {
    name: "domainname is seen inside",
    change: (config) => (config.domainname = "example.test"),
    script: "cat /proc/sys/kernel/domainname",
    expected: "example.test\n",
    differs: [{ peer: "runc", until: "1.2.0", why: "until then runc ignores domainname; config.md#domainname" }],
  },
  { name: "a new network namespace has its loopback interface up", script: "ip -o addr show lo | grep -c 127.0.0.1", expected: "1\n" },
  {
    name: "a new network namespace has no other interface that is up",
    script: "ip -o link show up | grep -vc ': lo:'",
    code: 1,
    expected: "0\n",
  },
  {
    name: "in a cgroup namespace its own cgroup is the root",
    change: (config) => add(config, "cgroup"),
    script: "grep -vc ':/$' /proc/self/cgroup",
    code: 1,
    expected: "0\n",
  },
  {
    name: "without one its cgroup is at cgroupsPath",
    script: "grep -E 'pids|^0:' /proc/self/cgroup | grep -c :/gantry-behaviour-",
    expected: /^[12]\n$/,
  },
];

const mappings: readonly Case[] = [
  {
    name: "the ranges of a user namespace are those of the config",
    change: (config) => {
      add(config, "user");
      config.linux["uidMappings"] = [
        { containerID: 0, hostID: 100000, size: 10 },
        { containerID: 10, hostID: 200000, size: 20 },
      ];
      config.linux["gidMappings"] = [{ containerID: 0, hostID: 300000, size: 30 }];
    },
    script: "tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map; cat /proc/self/setgroups; id -u",
    expected: " 0 100000 10\n 10 200000 20\n 0 300000 30\nallow\n0\n",
  },
  {
    name: "root of a user namespace owns what it makes, and the host sees the mapped owner",
    change: (config, { bundle, rootfs }) => {
      add(config, "user");
      config.linux["uidMappings"] = [{ containerID: 0, hostID: 100000, size: 100 }];
      config.linux["gidMappings"] = [{ containerID: 0, hostID: 100000, size: 100 }];
      config.mounts.push({ destination: "/out", source: `${bundle}/out`, type: "bind", options: ["bind"] });
      Bun.spawnSync(["sh", "-c", 'mkdir "$0/out" "$1/out"; chown 100000:100000 "$0/out"', bundle, rootfs]);
    },
    script: "stat -c %u /out; touch /out/made; stat -c %u:%g /out/made; stat -c %u /etc",
    act: async (place) => {
      const { stdout, stderr } = await runBundle(place);
      return [stdout, stderr, Bun.spawnSync(["stat", "-c", "%u:%g", `${place.bundle}/out/made`]).stdout.toString()];
    },
    expected: ["0\n0:0\n65534\n", "", "100000:100000\n"],
  },
  {
    name: "another user of the config is mapped too",
    change: (config) => {
      add(config, "user");
      config.process.user = { uid: 5, gid: 6, additionalGids: [7] };
    },
    script: "id -u; id -g; grep Groups /proc/self/status | tr -d '\\t '",
    expected: "5\n6\nGroups:7\n",
  },
];

const offsets: readonly Case[] = [
  {
    name: "the clocks of a time namespace are set off",
    change: (config) => {
      add(config, "time");
      config.linux["timeOffsets"] = { monotonic: { secs: 86400, nanosecs: 5 }, boottime: { secs: 864000, nanosecs: 0 } };
    },
    script: "awk '{print $1, $2, $3}' /proc/self/timens_offsets; awk '{print ($1 > 864000)}' /proc/uptime",
    expected: "monotonic 86400 5\nboottime 864000 0\n1\n",
    differs: noTime,
  },
];

const settings: readonly Case[] = [
  {
    name: "sysctls of the namespaces that are new are set",
    change: ({ linux }) =>
      (linux["sysctl"] = { "net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "77", "kernel.msgmax": "9000" }),
    script: "cd /proc/sys; cat net/ipv4/ip_forward kernel/shm_rmid_forced fs/mqueue/msg_max kernel/msgmax",
    expected: "1\n1\n77\n9000\n",
  },
  {
    name: "a sysctl of the whole machine is refused",
    change: ({ linux }) => (linux["sysctl"] = { "vm.swappiness": "60" }),
    code: 1,
    expected: /vm.swappiness/,
  },
  {
    name: "a sysctl of the network is refused without a new network namespace",
    change: (config) => {
      drop(config, "network");
      config.linux["sysctl"] = { "net.ipv4.ip_forward": "1" };
    },
    code: 1,
    expected: /net.ipv4.ip_forward/,
  },
];

describe.skipIf(noBehaviour !== undefined)("the namespaces of a container", () => {
  testCases([...made, ...absent, ...joins, ...refused, ...names, ...mappings, ...offsets, ...settings]);
});
