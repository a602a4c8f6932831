/** Network interfaces of the host that are moved into the container's network namespace. */
import type { Step } from "#program/encode.ts";
import { pointerTo } from "#spec/shape.ts";
import { findNamespace, hasCapability, step, unsupported, type Context } from "./context.ts";

/** The steps about network interfaces, by the moment at which they run; all are the executor's, in the host's network namespace. */
export interface InterfacePlan {
  /** Before any namespace is joined: into one that is there already. */
  readonly beforeJoin: readonly Step[];
  /** While the child waits: into its own. */
  readonly afterClone: readonly Step[];
}

/**
 * Compiles `linux.netDevices`. Nothing brings them back: the kernel does, with the namespace's end.
 * @throws CodedError `unsupported` without the right to move interfaces. @see runtime-spec config-linux.md#network-devices
 */
export function compileInterfaces({ linux, facts, isPrivileged }: Context): InterfacePlan {
  const entries = Object.entries(linux.netDevices ?? {});
  if (entries.length === 0) return { beforeJoin: [], afterClone: [] };
  if (!isPrivileged || !hasCapability(facts.capabilities.effective, "CAP_NET_ADMIN"))
    throw unsupported("/linux/netDevices", "without root, the host's network interfaces cannot be moved");
  const namespace = findNamespace(linux, "network")?.path ?? "";
  const steps = entries.map(([name, { name: newName = "" }]) =>
    step({ op: "move-interface", name, namespace, newName: newName === "" ? name : newName }, pointerTo("/linux/netDevices", name)),
  );
  return namespace === "" ? { beforeJoin: [], afterClone: steps } : { beforeJoin: steps, afterClone: [] };
}
