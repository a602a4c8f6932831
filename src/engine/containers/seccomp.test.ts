/** The default profile, and profiles from files. */
import { expect, test } from "bun:test";
import { defaultSeccompProfile, parseSeccompProfile } from "./seccomp.ts";

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

test("a file holds linux.seccomp, and nothing that would not be obeyed", () => {
  const text =
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}';
  expect(parseSeccompProfile(text, "p.json").syscalls?.[0]?.args?.[0]?.value).toBe("18446744073709551615");
  expect(() => parseSeccompProfile("{", "p.json")).toThrow("cannot read p.json: it is no JSON");
  expect(() => parseSeccompProfile('{"archMap":[]}', "p.json")).toThrow("cannot use p.json: it has archMap");
  expect(() => parseSeccompProfile('{"defaultAction":3}', "p.json")).toThrow("p.json: cannot use /defaultAction");
});
