/** The default profile. */
import { expect, test } from "bun:test";
import { defaultSeccompProfile } from "./seccomp.ts";

function allowed(machine: string, ...bounding: string[]): Set<string> {
  const rules = defaultSeccompProfile(machine, bounding)?.syscalls ?? [];
  return new Set(rules.filter(({ action, args }) => action === "SCMP_ACT_ALLOW" && args === undefined).flatMap(({ names }) => names));
}

test("a capability brings its calls with it, and the machine its own", () => {
  expect(["mount", "chroot", "bpf", "ptrace", "arch_prctl"].map((name) => allowed("x64").has(name))).toEqual([
    false,
    false,
    false,
    true,
    true,
  ]);
  expect(["mount", "chroot", "clone", "bpf"].map((name) => allowed("x64", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT").has(name))).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(["arch_prctl", "cacheflush"].map((name) => allowed("arm64").has(name))).toEqual([false, true]);
  expect(defaultSeccompProfile("riscv64", [])).toBeUndefined();
});
