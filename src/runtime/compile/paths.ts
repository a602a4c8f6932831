/** Paths inside the container that are hidden or write-protected, and kernel parameters. */
import type { Step } from "#program/encode.ts";
import { pointerTo } from "#spec/shape.ts";
import { parseSysctlKey } from "#spec/sysctl.ts";
import { normalizePath, step, type Context } from "./context.ts";
import { procSuperMagic } from "./kernel.ts";

/** Compiles `linux.maskedPaths` and `linux.readonlyPaths`. Run after the root is entered, when all mounts are there. */
export function compileProtectedPaths({ linux }: Context): Step[] {
  return [
    ...(linux.readonlyPaths ?? []).map((path, index) =>
      step({ op: "read-only", path: normalizePath(path) }, `/linux/readonlyPaths/${index}`),
    ),
    ...(linux.maskedPaths ?? []).map((path, index) => step({ op: "mask", path: normalizePath(path) }, `/linux/maskedPaths/${index}`)),
  ];
}

/**
 * Compiles `linux.sysctl`. Run in the container's namespaces, but through the host's /proc, which no image can fake
 * (CVE-2025-52881): the kernel looks at the writer's namespaces, not at where /proc is mounted.
 */
export function compileSysctl({ linux }: Context): Step[] {
  return Object.entries(linux.sysctl ?? {}).map(([key, data]) =>
    step(
      { op: "write", path: `/proc/sys/${(parseSysctlKey(key) ?? []).join("/")}`, data, fsMagic: procSuperMagic },
      pointerTo("/linux/sysctl", key),
    ),
  );
}
