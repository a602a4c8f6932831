/** The first process of a container: what `process` of config.json says of it. */
import { describe, setDefaultTimeout } from "bun:test";
import { patient } from "../../support/slowness.ts";
import { type Case, noBehaviour, runBundle, testCases } from "./harness.ts";

setDefaultTimeout(patient(120_000));

const sets = ["Inh", "Prm", "Eff", "Bnd", "Amb"] as const;
const showSets = `for s in ${sets.join(" ")}; do grep Cap$s /proc/self/status; done | tr -d '\\t'`;
/** CAP_CHOWN is bit 0, CAP_KILL 5, CAP_SETUID 7, CAP_NET_RAW 13. */
const bits = (...numbers: number[]): string =>
  numbers
    .reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n)
    .toString(16)
    .padStart(16, "0");
const showing = (values: Readonly<Record<(typeof sets)[number], string>>): string =>
  sets.map((name) => `Cap${name}:${values[name]}\n`).join("");
const none = bits();

const words: readonly Case[] = [
  { name: "its exit code is the runtime's", script: "exit 42", code: 42, expected: "" },
  { name: "a signal that ends it counts as 128 and its number", script: "sh -c 'kill -9 $$'; exit $?", code: 137, expected: "" },
  {
    name: "arguments arrive byte by byte",
    change: ({ process }) =>
      (process.args = ["/bin/sh", "-c", 'for x; do echo "[$x]"; done', "zero", "", "two words", "ünï", "$HOME;*", "a\nb"]),
    expected: "[]\n[two words]\n[ünï]\n[$HOME;*]\n[a\nb]\n",
  },
  {
    name: "the program is looked for in the PATH of the config",
    change: ({ process }) => (process.args = ["echo", "found"]),
    expected: "found\n",
  },
  {
    name: "a program that is not in the PATH makes no container",
    change: ({ process }) => (process.args = ["no-such-program"]),
    code: 1,
    expected: /no-such-program/,
  },
  {
    name: "a program that is not executable makes no container",
    change: ({ process }) => (process.args = ["/etc/passwd"]),
    code: 1,
    expected: /denied|not executable|open executable/i,
  },
  {
    name: "the environment is the config's and no other",
    change: ({ process }) => {
      process.env = ["PATH=/bin", "HOME=/h", "EMPTY=", "A=b=c", "S=two words"];
      process.args = ["/bin/env"];
    },
    expected: "PATH=/bin\nHOME=/h\nEMPTY=\nA=b=c\nS=two words\n",
  },
  { name: "cwd is where it starts", change: ({ process }) => (process.cwd = "/etc"), script: "pwd", expected: "/etc\n" },
  {
    name: "cwd is made when it is not there",
    change: (config) => {
      config.process.cwd = "/tmp/new/place";
    },
    script: "pwd; stat -c %u:%g .",
    expected: "/tmp/new/place\n0:0\n",
  },
  { name: "without a terminal it has none", script: "tty; test -e /dev/console || echo none", expected: "not a tty\nnone\n" },
  {
    name: "standard input is the caller's, to its end",
    script: "cat; echo end",
    act: async (place) => (await runBundle(place, "line\n")).stdout,
    expected: "line\nend\n",
  },
  { name: "it leads a session of its own", script: "awk '{print ($1 == $6)}' /proc/1/stat", expected: "1\n" },
  { name: "it is the first process of its namespace", script: "echo $$", expected: "1\n" },
  {
    name: "it has the descriptors 0, 1 and 2 and no other",
    change: ({ process }) => (process.args = ["/bin/ls", "/proc/self/fd"]),
    expected: "0\n1\n2\n3\n",
  },
  {
    name: "it ignores and blocks no signal",
    script: "grep -E 'Sig(Ign|Blk)' /proc/self/status | grep -vc 0000000000000000",
    code: 1,
    expected: "0\n",
  },
  {
    name: "nobody outside of the container is in its tree of processes",
    script: "ps -o pid | grep -c .",
    expected: /^[2345]\n$/,
  },
];

const users: readonly Case[] = [
  {
    name: "user and groups are those of the config",
    change: ({ process }) => (process.user = { uid: 12, gid: 34, additionalGids: [56, 78] }),
    script: "id -u; id -g; grep Groups /proc/self/status | tr -d '\\t'",
    expected: "12\n34\nGroups:56 78 \n",
  },
  { name: "without additionalGids there are none", script: "grep Groups /proc/self/status | tr -d '\\t '", expected: "Groups:\n" },
  {
    name: "umask is the config's",
    change: ({ process }) => (process.user.umask = 0o77),
    script: "umask; touch /tmp/x; stat -c %a /tmp/x",
    expected: "0077\n600\n",
  },
  { name: "umask is 0022 when the config says nothing", script: "umask", expected: "0022\n" },
  {
    name: "the limits of resources are lowered as asked for",
    change: ({ process }) =>
      (process["rlimits"] = [
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
        { type: "RLIMIT_NOFILE", soft: 100, hard: 200 },
        { type: "RLIMIT_STACK", soft: 1 << 20, hard: 1 << 22 },
        { type: "RLIMIT_FSIZE", soft: 1 << 20, hard: 1 << 21 },
        { type: "RLIMIT_CPU", soft: 100, hard: 200 },
      ]),
    script:
      "for n in 'Max core' 'Max open' 'Max stack' 'Max file size' 'Max cpu'; do grep \"$n\" /proc/self/limits | awk '{print $(NF-2), $(NF-1)}'; done",
    expected: "0 0\n100 200\n1048576 4194304\n1048576 2097152\n100 200\n",
  },
  {
    name: "a limit that is given twice is refused",
    change: ({ process }) => (process["rlimits"] = ["a", "b"].map(() => ({ type: "RLIMIT_CORE", soft: 0, hard: 0 }))),
    code: 1,
    expected: /RLIMIT_CORE|rlimit/i,
    differs: [
      { peer: "runc", why: "runc takes the last of several limits of one type; config.md#posix-process: they MUST be an error" },
      { peer: "crun", why: "crun takes the last of several limits of one type; config.md#posix-process: they MUST be an error" },
    ],
  },
  {
    name: "a limit of an unknown kind is refused",
    change: ({ process }) => (process["rlimits"] = [{ type: "RLIMIT_NOTHING", soft: 0, hard: 0 }]),
    code: 1,
    expected: /RLIMIT_NOTHING/,
  },
  {
    name: "oomScoreAdj is its own",
    change: ({ process }) => (process["oomScoreAdj"] = 321),
    script: "cat /proc/self/oom_score_adj",
    expected: "321\n",
  },
  { name: "noNewPrivileges is set", script: "grep NoNewPrivs /proc/self/status", expected: "NoNewPrivs:\t1\n" },
  {
    name: "noNewPrivileges is not set unless asked for",
    change: ({ process }) => (process["noNewPrivileges"] = false),
    script: "grep NoNewPrivs /proc/self/status",
    expected: "NoNewPrivs:\t0\n",
  },
];

const capabilities: readonly Case[] = [
  {
    name: "each of the five sets of capabilities is its own",
    change: ({ process }) =>
      (process.capabilities = {
        bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"],
        permitted: ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
        effective: ["CAP_CHOWN", "CAP_KILL"],
        inheritable: ["CAP_CHOWN", "CAP_KILL"],
        ambient: ["CAP_CHOWN"],
      }),
    // Of root, exec makes all that is permitted effective too: capabilities(7).
    script: showSets,
    expected: showing({ Inh: bits(0, 5), Prm: bits(0, 5, 7), Eff: bits(0, 5, 7), Bnd: bits(0, 5, 7, 13), Amb: bits(0) }),
  },
  {
    name: "another user has those that are ambient",
    change: ({ process }) => {
      process.user = { uid: 1000, gid: 1000 };
      process.capabilities = Object.fromEntries(
        ["bounding", "permitted", "effective", "inheritable", "ambient"].map((set) => [set, ["CAP_KILL"]]),
      );
    },
    script: showSets,
    expected: showing({ Inh: bits(5), Prm: bits(5), Eff: bits(5), Bnd: bits(5), Amb: bits(5) }),
  },
  {
    name: "another user has none in force without ambient ones",
    change: ({ process }) => (process.user = { uid: 1000, gid: 1000 }),
    script: "grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status | grep -vc 0000000000000000",
    code: 1,
    expected: "0\n",
  },
  {
    name: "without capabilities in the config root has none",
    change: ({ process }) => {
      delete process.capabilities;
    },
    script: showSets,
    expected: showing({ Inh: none, Prm: none, Eff: none, Bnd: none, Amb: none }),
    differs: [
      {
        peer: "runc",
        since: "1.3.0",
        why: "since then runc leaves root all capabilities that the machine has; no section: config.md#linux-process has none for this",
      },
    ],
  },
  {
    name: "an unknown capability is warned of and left out",
    change: ({ process }) =>
      (process.capabilities = { bounding: ["CAP_CHOWN", "CAP_FLY"], effective: ["CAP_CHOWN", "CAP_FLY"], permitted: ["CAP_CHOWN"] }),
    script: "grep CapBnd /proc/self/status | tr -d '\\t'",
    expected: `CapBnd:${bits(0)}\n`,
  },
];

const scheduling: readonly Case[] = [
  {
    name: "scheduler: batch with a nice value",
    change: ({ process }) => (process["scheduler"] = { policy: "SCHED_BATCH", nice: 3 }),
    script: "awk '{print $41, $19}' /proc/self/stat",
    expected: "3 3\n",
    differs: [
      { peer: "runc", until: "1.2.0", why: "until then runc ignores scheduler; config.md#linux-process" },
      { peer: "crun", until: "1.9", why: "until then crun ignores scheduler; config.md#linux-process" },
    ],
  },
  {
    name: "ioPriority: best effort, 6",
    change: ({ process }) => (process["ioPriority"] = { class: "IOPRIO_CLASS_BE", priority: 6 }),
    script: "ionice",
    expected: "best-effort: prio 6\n",
    differs: [
      { peer: "runc", until: "1.2.0", why: "until then runc ignores ioPriority; config.md#linux-process" },
      { peer: "crun", until: "1.9", why: "until then crun ignores ioPriority; config.md#linux-process" },
    ],
  },
  {
    name: "personality LINUX32 is a machine of 32 bits",
    change: ({ linux }) => (linux["personality"] = { domain: "LINUX32" }),
    script: "uname -m",
    expected: process.arch === "arm64" ? "armv8l\n" : "i686\n",
    differs: [{ peer: "runc", until: "1.2.0", why: "until then runc ignores it; config-linux.md#personality" }],
  },
];

describe.skipIf(noBehaviour !== undefined)("the process of a container", () => {
  testCases([...words, ...users, ...capabilities, ...scheduling]);
});
