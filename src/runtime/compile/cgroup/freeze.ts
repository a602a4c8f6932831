/** Stopping, resuming and signalling all processes of a container by its cgroups: `pause`, `resume`, and `kill` without a pid namespace. */
import type { Step } from "#program/encode.ts";
import type { HostFacts } from "../../facts.ts";
import { isKernelAtLeast } from "../../facts.ts";
import { byDefault, parentPath, step } from "../context.ts";
import { isFrozen } from "./directories.ts";
import { directoriesByController, placeDirectories } from "./place.ts";

/** A container's cgroups and what is known of the machine. */
export interface FreezeInput {
  /** Absolute host directories, as the container's record has them. */
  readonly cgroups: readonly string[];
  readonly facts: HostFacts;
}

/** Processes in a system call that cannot be interrupted are waited for so long. */
export const freezeLimitMs = 10_000;
const killSignal = 9;

/** The directory by which the container is frozen: that of v1's freezer, or of v2; `undefined` when there is neither. */
export function findFreezer({ cgroups, facts }: FreezeInput): string | undefined {
  const directories = placeDirectories(cgroups, facts.cgroup);
  return directoriesByController(directories, facts).get("freezer") ?? directories.find(({ hierarchy }) => hierarchy === undefined)?.path;
}

/** The steps that freeze (or thaw) the processes and wait until all are; none when the container has no freezer. */
export function compileFreeze(input: FreezeInput, state: "frozen" | "thawed"): Step[] {
  const path = findFreezer(input);
  if (path === undefined) return [];
  const isV1 = placeDirectories([path], input.facts.cgroup).some(({ hierarchy }) => hierarchy !== undefined);
  return [freezeStep(`${path}/${isV1 ? v1File : v2File}`, state)];
}

const v1File = "freezer.state";
const v2File = "cgroup.freeze";

/** The same by the file that does it, `freezer.state` (v1) or `cgroup.freeze` (v2). */
export function freezeStep(freezer: string, state: "frozen" | "thawed"): Step {
  const isV1 = freezer.endsWith(`/${v1File}`);
  const [on, off] = isV1 ? ["FROZEN", "THAWED"] : ["1", "0"];
  const isOn = state === "frozen";
  const data = isOn ? on : off;
  const [answer, expected] = isV1 ? [freezer, data] : [`${parentPath(freezer)}/cgroup.events`, `frozen ${data}`];
  const origin = byDefault(isOn ? "the container is to stand still" : "the container is to go on");
  // Half frozen is worse than not at all.
  return step({ op: "write-and-await", path: freezer, data, answer, expected, undo: isOn ? off : "", limitMs: freezeLimitMs }, origin);
}

/** Whether the container's processes are frozen. */
export function isContainerFrozen(input: FreezeInput): boolean {
  const path = findFreezer(input);
  return path !== undefined && isFrozen(input.facts.cgroupFiles.read, path);
}

/**
 * The steps that send a signal to every process of the container, for one without a pid namespace of its own.
 * KERNEL: since 5.14 cgroup.kill does it for SIGKILL; for others the processes are frozen meanwhile, or a fork could escape.
 */
export function compileKillAll(input: FreezeInput, signal: number): Step[] {
  const { cgroups, facts } = input;
  const directories = placeDirectories(cgroups, facts.cgroup);
  const unified = directories.find(({ hierarchy }) => hierarchy === undefined)?.path;
  const origin = byDefault("the container has no pid namespace whose end would end all");
  if (unified !== undefined && signal === killSignal && isKernelAtLeast(facts.kernel, 5, 14)) {
    // v1's freezer holds even the killed.
    const thaw = isContainerFrozen(input) ? compileFreeze(input, "thawed") : [];
    return [step({ op: "write", path: `${unified}/cgroup.kill`, data: "1", fsMagic: 0 }, origin), ...thaw];
  }
  const path = findFreezer(input) ?? directories[0]?.path;
  if (path === undefined) return [];
  const send = step({ op: "signal-cgroup", path, signal }, origin);
  // Paused processes get the signal when they are resumed, but for SIGKILL, which is not to wait.
  if (isContainerFrozen(input)) return signal === killSignal ? [send, ...compileFreeze(input, "thawed")] : [send];
  return [...compileFreeze(input, "frozen"), send, ...compileFreeze(input, "thawed")];
}
