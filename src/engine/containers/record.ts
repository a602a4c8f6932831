/**
 * What is written down about a container, and what can be told of its state.
 *
 * The record is written once, before anything is done, and never changed: state follows from which files
 * exist and whether the recorded process still runs, so any process may be killed at any point.
 */
import { CodedError } from "#base/errors.ts";
import { parseProcessStat } from "#sys/process.ts";

/** What was asked for: the content of container.json. */
export interface ContainerRecord {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  /** Name as given, and what it stood for then. */
  readonly image: string;
  readonly imageId: string;
  readonly manifest: { readonly mediaType: string; readonly digest: string; readonly size: number };
  /** Chain ids, lowest first: what keeps these layers from being collected. */
  readonly layers: readonly string[];
  readonly command: readonly string[];
  readonly autoRemove: boolean;
  readonly snapshotter: "overlay" | "copy";
  readonly labels: Readonly<Record<string, string>>;
  /** Every cgroup directory that the container's program makes. */
  readonly cgroups: readonly string[];
}

/** What a container is doing. `exitCode` is undefined when its supervisor was killed and nobody saw the end. */
export type ContainerState =
  | { readonly status: "created" }
  | { readonly status: "running"; readonly pid: number }
  | {
      readonly status: "exited";
      readonly exitCode: number | undefined;
      readonly finishedAt: Date | undefined;
      readonly outOfMemory: boolean;
    };

/** A container as listed: its record with its state now. */
export interface Container {
  readonly record: ContainerRecord;
  readonly state: ContainerState;
}

/** What the state is read from. */
export interface StateFacts {
  readonly child: string | undefined;
  readonly exit: string | undefined;
  readonly exitAt: Date | undefined;
  readonly memoryEvents: string | undefined;
  readonly isRunning: (process: { pid: number; startTicks: number }) => boolean;
}

/** The state that the files of a container tell. */
export function containerState(facts: StateFacts): ContainerState {
  if (facts.exit !== undefined) {
    return {
      status: "exited",
      exitCode: parseExit(facts.exit),
      finishedAt: facts.exitAt,
      outOfMemory: /^oom_kill [1-9]/m.test(facts.memoryEvents ?? ""),
    };
  }
  if (facts.child === undefined) return { status: "created" };
  const child = parseProcessStat(facts.child);
  if (child !== undefined && facts.isRunning(child)) return { status: "running", pid: child.pid };
  return { status: "exited", exitCode: undefined, finishedAt: undefined, outOfMemory: false };
}

/** The exit code in the text that `record-exit` wrote: "exited N" or "signaled N" (128 + N). */
export function parseExit(text: string): number | undefined {
  const match = /^(exited|signaled) (\d{1,3})\n?$/.exec(text);
  if (match === null) return undefined;
  return Number(match[2]) + (match[1] === "signaled" ? 128 : 0);
}

/** Checks a record read from disk. @throws CodedError `corrupt` */
export function checkRecord(value: unknown, id: string): ContainerRecord {
  const record = value as Partial<ContainerRecord> | null;
  const sound =
    typeof record === "object" &&
    record?.id === id &&
    typeof record.name === "string" &&
    typeof record.image === "string" &&
    typeof record.manifest?.digest === "string" &&
    Array.isArray(record.layers) &&
    Array.isArray(record.command) &&
    Array.isArray(record.cgroups);
  if (!sound) throw new CodedError("corrupt", `cannot read the record of container ${id}: it is not what was written`);
  return record as ContainerRecord;
}
