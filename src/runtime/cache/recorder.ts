/** The questions that a compilation asks about the machine, written down: its program is good for as long as the answers are the same. */
import { readFileSync, statSync } from "node:fs";
import { cgroupFilesOf } from "../cgroup-facts.ts";
import { answersOf, parseMountinfo, readCgroupFacts, readHostFacts, type HostFacts } from "../facts.ts";
import { machine as thisMachine, type Machine } from "../machine.ts";
import type { Check } from "./entry.ts";

/** A question and its answer. Which files cgroups have (`cgroup-file`) does not change while a kernel runs. */
interface Asked {
  readonly kind: "content" | "directory" | "cgroup-file";
  readonly path: string;
  readonly answer: string | boolean | undefined;
}

/** Facts of this machine, and what was asked of them so far. */
export interface RecordedFacts {
  readonly facts: HostFacts;
  /** The same, unnoted. */
  readonly host: HostFacts;
  readonly asked: readonly Asked[];
  /** False when something was asked that no check can tell. */
  readonly isComplete: () => boolean;
}

/** Reads the facts of this machine and notes what is asked. @throws CodedError as `readHostFacts` */
export function recordFacts(machine: Machine = thisMachine): RecordedFacts {
  const asked: Asked[] = [];
  let isComplete = true;
  const note = <Answer extends Asked["answer"]>(kind: Asked["kind"], path: string, answer: Answer): Answer => {
    asked.push({ kind, path, answer });
    // No cgroup is there that tells; one that is made later would.
    if (kind === "cgroup-file" && answer === undefined) isComplete = false;
    return answer;
  };
  const unrecorded = <Value>(value: Value): Value => {
    isComplete = false;
    return value;
  };
  const host = readHostFacts({
    read: (path) => note("content", path, machine.read(path)),
    isDirectory: (path) => note("directory", path, machine.isDirectory(path)),
    listDirectories: machine.listDirectories,
  });
  const { has } = cgroupFilesOf(machine);
  const facts: HostFacts = {
    ...host,
    get mountPoints() {
      return unrecorded(host.mountPoints);
    },
    readLink: (path) => unrecorded(host.readLink(path)),
    isSelinuxEnabled: () => unrecorded(host.isSelinuxEnabled()),
    findResctrl: () => unrecorded(host.findResctrl()),
    user: {
      ...host.user,
      findIdHelper: (name) => unrecorded(host.user.findIdHelper(name)),
      mayWrite: (path) => unrecorded(host.user.mayWrite(path)),
    },
    cgroupFiles: { ...host.cgroupFiles, has: (mount, file) => note("cgroup-file", `${mount}/${file}`, has(mount, file)) },
  };
  return { facts, host, asked, isComplete: () => isComplete };
}

/** The same answers once more, question by question, whatever the names in the questions are. */
export function replayFacts(recorded: RecordedFacts): RecordedFacts {
  const asked: Asked[] = [];
  const repeat = (kind: Asked["kind"], path: string): Asked["answer"] => {
    const answered = recorded.asked[asked.length];
    if (answered?.kind !== kind) throw new Error(`the compiler asks another question than before: ${kind} ${path}`);
    asked.push({ ...answered, path });
    return answered.answer;
  };
  const repeater: Machine = {
    read: (path) => repeat("content", path) as string | undefined,
    isDirectory: (path) => repeat("directory", path) as boolean | undefined,
    listDirectories: () => [],
  };
  const answers = answersOf(repeater);
  const has = (mount: string, file: string): boolean | undefined => repeat("cgroup-file", `${mount}/${file}`) as boolean | undefined;
  const facts: HostFacts = { ...recorded.host, ...answers, cgroupFiles: { ...answers.cgroupFiles, has } };
  return { facts, host: recorded.host, asked, isComplete: () => recorded.isComplete() && asked.length === recorded.asked.length };
}

/** What must hold for a program that was compiled with these facts; undefined when that cannot be said. */
export function checksOf({ host, asked, isComplete }: RecordedFacts): Check[] | undefined {
  const mounts = mountChecks(host);
  if (!isComplete() || mounts === undefined) return undefined;
  const checks = new Map<string, Check>();
  for (const { kind, path, answer } of asked) {
    const name = `${kind} ${path}`;
    if (kind === "content") checks.set(name, { kind, path, content: answer as string | undefined });
    if (kind === "directory") checks.set(name, { kind, path, isDirectory: answer as boolean | undefined });
  }
  return [processCheck(host), ...mounts, ...checks.values()];
}

function processCheck({ uid, gid, kernel, capabilities: { effective, bounding } }: HostFacts): Check {
  return { kind: "process", uid, gid, kernel, effective, bounding };
}

/** The hierarchies of cgroups, and our places in them. Undefined when one is not mounted: it could be later. */
function mountChecks({ cgroup }: HostFacts): Check[] | undefined {
  const { version, hierarchies, unified } = cgroup;
  const own = readFileSync("/proc/self/cgroup", "latin1");
  const points = [...hierarchies, ...(unified === undefined ? [] : [unified])].map(({ mountPoint }) => mountPoint);
  if (points.length !== own.split("\n").filter((line) => line !== "").length) return undefined;
  const mounts = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
  // Read once more, and later than the program was compiled: of what it was compiled with, these checks must be.
  if (JSON.stringify(readCgroupFacts(mounts, own)) !== JSON.stringify(cgroup)) return undefined;
  const checks = points.flatMap((path): Check[] => {
    const mount = mounts.findLast(({ mountPoint }) => mountPoint === path);
    return mount === undefined
      ? []
      : [{ kind: "mount", path, device: mount.device, ino: statSync(path, { bigint: true }).ino, id: mount.id }];
  });
  const controllers = unified === undefined || version !== "v2" ? undefined : `${unified.mountPoint}/cgroup.controllers`;
  return [
    ...checks,
    { kind: "content", path: "/proc/self/cgroup", content: own },
    ...(controllers === undefined ? [] : [{ kind: "content" as const, path: controllers, content: thisMachine.read(controllers) }]),
  ];
}
