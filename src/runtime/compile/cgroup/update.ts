/** Changing the limits of a container that is there: what `update` runs. */
import { CodedError } from "#base/errors.ts";
import type { Step } from "#program/encode.ts";
import type { LinuxConfig, LinuxResources, RuntimeConfig } from "#spec/runtime-config.ts";
import type { HostFacts } from "../../facts.ts";
import { requireValidConfig } from "#spec/validate/config.ts";
import { hasCapability } from "../context.ts";
import { compileResctrlUpdate } from "../resctrl.ts";
import { limitsOfVersion } from "./older-limits.ts";
import type { CgroupManager } from "../context.ts";
import { directoriesByController, placeDirectories } from "./place.ts";
import { compileUnitChange } from "./systemd.ts";
import { compileV1Limits } from "./v1-limits.ts";
import { compileV2Limits } from "./v2-limits.ts";

/** What an update is compiled from. */
export interface UpdateInput {
  /** The limits that change; what is absent, or 0 where 0 is no limit, stays. */
  readonly resources: LinuxResources;
  /** The container's cgroups, absolute host directories, as its record has them. */
  readonly cgroups: readonly string[];
  readonly facts: HostFacts;
  /** Other shares of caches and memory bandwidth; none when absent. */
  readonly intelRdt?: LinuxConfig["intelRdt"];
  /** Who made the cgroups; with systemd, its unit is found by the container's config and id. */
  readonly cgroupManager?: CgroupManager;
  readonly config: RuntimeConfig;
  readonly id: string;
  /** Told about what was asked for and cannot be given. */
  readonly warn: (sentence: string) => void;
}

/**
 * The steps of an update, for the executor's own section. Device rules stay as they are: engines pass whole documents, and
 * runc's `update` does not look at them either.
 * @throws CodedError `invalid-spec` when the values break a rule, `unsupported` when one cannot be limited here,
 * `wrong-state` when a limit is below what is used and `checkBeforeUpdate` asks for that to be refused
 */
export function compileUpdate(input: UpdateInput): Step[] {
  const { cgroups, facts, config, id, cgroupManager = "cgroupfs", warn } = input;
  const resources = limitsOfVersion(input.resources, config.ociVersion);
  requireValidConfig({ ...config, linux: { ...config.linux, resources } });
  const directories = placeDirectories(cgroups, facts.cgroup);
  const byController = directoriesByController(directories, facts);
  const read = (controller: string, file: string): string | undefined => {
    const directory = byController.get(controller);
    return directory === undefined ? undefined : facts.cgroupFiles.read(`${directory}/${file}`);
  };
  const isUnified = facts.cgroup.version === "v2";
  refuseBelowUse(resources, Number(read("memory", isUnified ? "memory.current" : "memory.usage_in_bytes") ?? 0));
  const place = { facts, directories: byController, read };
  const isPrivileged = hasCapability(facts.capabilities.effective, "CAP_SYS_ADMIN");
  return [
    ...compileResctrlUpdate({ linux: config.linux ?? {}, facts, id }, input.intelRdt ?? {}),
    // systemd first: it writes the files too, and what it rounds is then written as asked.
    ...(cgroupManager === "systemd" ? compileUnitChange({ linux: config.linux ?? {}, facts, id, isPrivileged }, resources) : []),
    ...(isUnified ? compileV2Limits(resources, place, warn) : compileV1Limits(resources, place, warn)),
  ];
}

/** @see runtime-spec config-linux.md#memory, checkBeforeUpdate */
function refuseBelowUse({ memory = {} }: LinuxResources, usedBytes: number): void {
  const { limit = 0, checkBeforeUpdate = false } = memory;
  if (!checkBeforeUpdate || limit <= 0 || limit >= usedBytes) return;
  throw new CodedError(
    "wrong-state",
    `cannot limit the memory to ${limit} bytes: ${usedBytes} are in use (/linux/resources/memory/limit)`,
    { details: { pointer: "/linux/resources/memory/limit" } },
  );
}
