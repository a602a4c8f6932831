/** What the config may ask for and this version cannot do: refused by name, never passed over. */
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { findNamespace, unsupported } from "./context.ts";

/** Where each property that is not implemented lies, and whether a config has it. */
const refusals: readonly (readonly [at: string, isAsked: (config: RuntimeConfig) => boolean])[] = [
  ["/process/apparmorProfile", ({ process }) => (process?.apparmorProfile ?? "") !== ""],
  ["/process/selinuxLabel", ({ process }) => (process?.selinuxLabel ?? "") !== ""],
  ["/process/scheduler", ({ process }) => process?.scheduler !== undefined],
  ["/process/ioPriority", ({ process }) => process?.ioPriority !== undefined],
  // execCPUAffinity is about processes that `exec` adds, not about the container's first one.
  ["/linux/seccomp", ({ linux }) => linux?.seccomp !== undefined],
  ["/linux/netDevices", ({ linux }) => Object.keys(linux?.netDevices ?? {}).length > 0],
  ["/linux/mountLabel", ({ linux }) => (linux?.mountLabel ?? "") !== ""],
  ["/linux/intelRdt", ({ linux }) => linux?.intelRdt !== undefined],
  ["/linux/memoryPolicy", ({ linux }) => linux?.memoryPolicy !== undefined],
  ["/linux/personality", ({ linux }) => linux?.personality !== undefined],
  ["/linux/resources/blockIO", ({ linux }) => Object.keys(linux?.resources?.blockIO ?? {}).length > 0],
  ["/linux/resources/hugepageLimits", ({ linux }) => (linux?.resources?.hugepageLimits ?? []).length > 0],
  ["/linux/resources/network", ({ linux }) => Object.keys(linux?.resources?.network ?? {}).length > 0],
  ["/linux/resources/rdma", ({ linux }) => Object.keys(linux?.resources?.rdma ?? {}).length > 0],
  ["/vm", ({ vm }) => vm !== undefined],
];

/** Refuses a config that asks for what is not implemented. @throws CodedError `unsupported` naming the JSON Pointer. */
export function refuseUnsupported(config: RuntimeConfig): void {
  for (const [at, isAsked] of refusals) {
    if (isAsked(config)) throw unsupported(at, "it is not implemented");
  }
  if (findNamespace(config.linux ?? {}, "mount") === undefined) {
    throw unsupported("/linux/namespaces", "a container without a mount namespace is not implemented");
  }
  if (config.process === undefined) throw unsupported("/process", "a container without a process is not implemented");
}
