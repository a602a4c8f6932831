/** Programs for people: every op in words, in the order in which it runs, with where it comes from. */
import type { Program, Step } from "#program/encode.ts";
import type { Op } from "#program/ops.gen.ts";
import { phrase } from "./phrase.ts";

/** What a step is about. */
export type Group =
  | "control groups"
  | "namespaces"
  | "root file system"
  | "mounts"
  | "devices"
  | "isolation"
  | "credentials"
  | "process"
  | "supervision"
  | "hooks"
  | "cleanup";

/** One step, ready to print: the op's own fields are beside these. */
export interface ExplainedStep {
  /** The op index that reports of the executor use. */
  readonly index: number;
  readonly op: Op["op"];
  readonly words: string;
  readonly origin: string;
  readonly group: Group;
  readonly [field: string]: unknown;
}

/** A program as data that JSON can hold. */
export interface ExplainedProgram {
  readonly sections: readonly { readonly name: string; readonly steps: readonly ExplainedStep[] }[];
}

/** The group of ops that are always about the same; the others are told apart by origin and path. */
const groups: Readonly<Partial<Record<Op["op"], Group>>> = {
  lock: "supervision",
  unlock: "supervision",
  "null-stdio": "supervision",
  "relay-stdio": "supervision",
  setsid: "supervision",
  report: "supervision",
  supervise: "supervision",
  "record-child": "supervision",
  "record-exit": "supervision",
  "await-exec": "supervision",
  "await-ready": "supervision",
  "release-child": "supervision",
  "await-parent": "supervision",
  "await-start": "supervision",
  "open-start": "supervision",
  claim: "supervision",
  "on-failure": "supervision",
  "create-file": "supervision",
  "await-child": "supervision",
  "send-pidfd": "supervision",
  reach: "supervision",
  hook: "hooks",
  "hook-output": "hooks",
  cleanup: "supervision",
  "make-cgroup": "control groups",
  "make-cpuset": "control groups",
  "remove-cgroup": "control groups",
  "remove-empty-cgroup": "control groups",
  "systemd-call": "control groups",
  "device-filter": "control groups",
  clone: "namespaces",
  unshare: "namespaces",
  setns: "namespaces",
  "link-up": "namespaces",
  "move-interface": "namespaces",
  "session-keyring": "credentials",
  hostname: "isolation",
  domainname: "isolation",
  mask: "isolation",
  "read-only": "isolation",
  root: "root file system",
  propagation: "root file system",
  "pivot-root": "root file system",
  "move-root": "root file system",
  "rootfs-attributes": "root file system",
  "make-node": "devices",
  groups: "credentials",
  gid: "credentials",
  uid: "credentials",
  "keep-capabilities": "credentials",
  bounding: "credentials",
  capabilities: "credentials",
  ambient: "credentials",
  "no-new-privileges": "credentials",
  seccomp: "credentials",
  "seccomp-listener": "credentials",
  "open-listener": "supervision",
  "new-session": "process",
  rlimit: "process",
  umask: "process",
  "working-directory": "process",
  "oom-score": "process",
  scheduler: "process",
  "io-priority": "process",
  personality: "process",
  "memory-policy": "process",
  "cpu-affinity": "process",
  exec: "process",
  "open-console": "process",
  terminal: "process",
  "own-stdio": "process",
  "pass-descriptors": "process",
};

/** Groups by the part of the config that a step comes from; the first prefix that fits counts. */
const origins: readonly (readonly [prefix: string, group: Group])[] = [
  ["/mounts/", "mounts"],
  ["/root/", "root file system"],
  ["/process/cwd", "process"],
  ["/process/oomScoreAdj", "process"],
  ["/process/apparmorProfile", "credentials"],
  ["/process/selinuxLabel", "credentials"],
  ["/linux/mountLabel", "mounts"],
  ["/linux/intelRdt", "control groups"],
  ["/linux/devices/", "devices"],
  ["/linux/sysctl/", "isolation"],
  ["/linux/resources", "control groups"],
  ["/linux/cgroupsPath", "control groups"],
  ["/linux/uidMappings", "namespaces"],
  ["/linux/gidMappings", "namespaces"],
  ["/linux/timeOffsets", "namespaces"],
  ["/linux/namespaces", "namespaces"],
];

/** What `step` is about. */
export function groupOf({ op, origin }: Step): Group {
  const byOrigin = origins.find(([prefix]) => origin.startsWith(prefix))?.[1];
  if (byOrigin !== undefined) return byOrigin;
  const byOp = groups[op.op];
  if (byOp !== undefined) return byOp;
  if (op.op === "child-pid") return op.create === 1 ? "supervision" : "control groups";
  if (op.op === "child-file") return "namespaces";
  if (op.op === "write") return "control groups";
  const path = "target" in op && op.op !== "make-symlink" ? op.target : "path" in op ? op.path : "";
  return path === "/dev" || path.startsWith("/dev/") ? "devices" : "root file system";
}

/** `program` as data: what the JSON form of `explain` holds. */
export function explainProgramAsData(program: Program): ExplainedProgram {
  const sections: { name: string; steps: ExplainedStep[] }[] = [];
  let index = 0;
  const lists: [name: string, steps: readonly Step[]][] = [
    ["main", program.main],
    ["cleanup", program.cleanup],
  ];
  for (const [number, steps] of program.children.entries()) lists.push([number === 0 ? "container" : `container ${number + 1}`, steps]);
  for (const [name, steps] of lists) {
    sections.push({
      name,
      steps: steps.map((step) => {
        const group = name === "cleanup" ? "cleanup" : groupOf(step);
        return { ...plainFields(step.op), index: index++, op: step.op.op, words: phrase(step.op), origin: step.origin, group };
      }),
    });
  }
  return { sections };
}

/**
 * Prints `program`: as text, with a heading wherever the subject changes and origins in a column, or as JSON.
 * The same program always gives the same text, which ends in a newline.
 */
export function explainProgram(program: Program, { format = "text" }: { format?: "text" | "json" } = {}): string {
  const described = explainProgramAsData(program);
  if (format === "json") return `${JSON.stringify(described, null, 2)}\n`;
  return described.sections
    .filter(({ steps }) => steps.length > 0)
    .map(({ name, steps }) => `${sectionTitle(name)}\n${formatSteps(steps)}`)
    .join("\n");
}

const titles: Readonly<Record<string, string>> = {
  main: "OUTSIDE: what the executor does",
  cleanup: "AFTERWARDS: at the end, or after a failure",
  container: "INSIDE: what the container's first process does",
};

function sectionTitle(name: string): string {
  return titles[name] ?? `INSIDE: ${name}`;
}

/** The widest column of words; longer ones push their origin out of line instead of all others. */
const columnLimit = 72;

function formatSteps(steps: readonly ExplainedStep[]): string {
  const fitting = steps.map(({ words }) => words.length).filter((length) => length <= columnLimit);
  const column = Math.max(0, ...fitting);
  const lines: string[] = [];
  let group: Group | undefined;
  for (const { index, words, origin, group: next } of steps) {
    if (next !== group) lines.push("", `  ${next}`);
    group = next;
    lines.push(`    ${String(index).padStart(3)}  ${words.padEnd(column)}   ${origin}`);
  }
  return `${lines.join("\n")}\n`;
}

/** The op's fields as JSON can hold them: bytes in hexadecimal, 64-bit limits as decimal text. */
function plainFields(op: Op): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(op) as [string, unknown][]) {
    if (value instanceof Uint8Array) plain[key] = Buffer.from(value).toString("hex");
    else plain[key] = typeof value === "bigint" ? value.toString() : value;
  }
  return plain;
}
