/** What every part of the compiler is given, and the small words they share. */
import { CodedError } from "#base/errors.ts";
import type { Op } from "#program/ops.gen.ts";
import type { Step } from "#program/encode.ts";
import type { ConfigNamespace, LinuxConfig, NamespaceKind, RuntimeConfig } from "#spec/runtime-config.ts";
import type { HostFacts } from "../facts.ts";
import { capabilityNames } from "./kernel.ts";

/** Who makes the cgroups: we, systemd at our request, or nobody. */
export type CgroupManager = "cgroupfs" | "systemd" | "disabled";

/** The input of one compilation with what is derived from it once. */
export interface Context {
  readonly config: RuntimeConfig;
  readonly linux: LinuxConfig;
  readonly id: string;
  /** Absolute host path of the bundle; relative host paths of the config start there. */
  readonly bundle: string;
  readonly facts: HostFacts;
  /** Whether the executor may make mounts and namespaces here without a user namespace. */
  readonly isPrivileged: boolean;
  /** Whether this is not the host's root, for whom much cannot be done: what nobody asked for is then left out. */
  readonly isRootless: boolean;
  /** Whether the container lives in another user namespace than the executor. */
  readonly hasUserNamespace: boolean;
  /** Who makes the control groups. */
  readonly cgroupManager: CgroupManager;
  /** Says that something asked for cannot be given, without failing. @see runtime-spec runtime.md#warnings */
  readonly warn: (sentence: string) => void;
}

/** A step; `origin` is a JSON Pointer or "default: why". */
export function step(op: Op, origin: string): Step {
  return { op, origin };
}

/** An origin for what no property of the config asks for. */
export function byDefault(why: string): string {
  return `default: ${why}`;
}

/** Whether to go on without what only the host's root may do: as told, or by who this is. */
export function isRootlessBy(facts: HostFacts, word: "true" | "false" | "auto" = "auto"): boolean {
  return word === "auto" ? facts.uid !== 0 || facts.user.isNested() : word === "true";
}

/** The namespace of this kind in the config, with its path if it is to be joined. */
export function findNamespace(linux: LinuxConfig, kind: NamespaceKind): ConfigNamespace | undefined {
  return linux.namespaces?.find(({ type }) => type === kind);
}

/** The JSON Pointer of the namespace of this kind. */
export function namespacePointer(linux: LinuxConfig, kind: NamespaceKind): string {
  return `/linux/namespaces/${linux.namespaces?.findIndex(({ type }) => type === kind) ?? 0}`;
}

/** Whether the container gets a namespace of this kind made for it (rather than joining or inheriting one). */
export function isNewNamespace(linux: LinuxConfig, kind: NamespaceKind): boolean {
  const namespace = findNamespace(linux, kind);
  return namespace !== undefined && (namespace.path ?? "") === "";
}

/** Whether `mask` has the capability of this name. */
export function hasCapability(mask: number, name: string): boolean {
  return (BigInt(mask) >> BigInt(capabilityNames.indexOf(name))) % 2n === 1n;
}

/** The error for what the config asks for and this version cannot do. */
export function unsupported(at: string, says: string): CodedError {
  return new CodedError("unsupported", `cannot honour ${at}: ${says}`, { details: { pointer: at } });
}

/** `path` below the host directory `base` unless it is absolute, without "." and "..". */
export function resolveHostPath(base: string, path: string): string {
  return normalizePath(path.startsWith("/") ? path : `${base}/${path}`);
}

/** An absolute path without empty, "." and ".." components; ".." at the top stays there, as in the kernel. */
export function normalizePath(path: string): string {
  const components: string[] = [];
  for (const component of path.split("/")) {
    if (component === "" || component === ".") continue;
    if (component === "..") components.pop();
    else components.push(component);
  }
  return `/${components.join("/")}`;
}

/** The directory part of an absolute, normalized path. */
export function parentPath(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

/** `below` under the directory `base`; both absolute, the result without a doubled or trailing slash. */
export function joinPath(base: string, below: string): string {
  return normalizePath(`${base}/${below}`);
}
