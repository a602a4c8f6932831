/** Profiles from files: in the form of `linux.seccomp`, and in Docker's. */
import { expect, test } from "bun:test";
import type { SeccompConfig } from "#spec/seccomp.ts";
import { parseSeccompProfile, resolveSeccompProfile, type SeccompSubject } from "./seccomp-profile.ts";

const here: SeccompSubject = { machine: "x64", kernel: "6.1.0-18-amd64", bounding: ["CAP_CHOWN"] };

function resolve(profile: object, subject: Partial<SeccompSubject> = {}): SeccompConfig {
  return resolveSeccompProfile(parseSeccompProfile(JSON.stringify(profile), "p.json"), { ...here, ...subject });
}

/** Which of the rules hold; each names a call after itself. */
function holding(conditions: Readonly<Record<string, object>>, subject: Partial<SeccompSubject> = {}): string[] {
  const syscalls = Object.entries(conditions).map(([name, more]) => ({ names: [name], action: "SCMP_ACT_ALLOW", ...more }));
  return (resolve({ defaultAction: "SCMP_ACT_ERRNO", syscalls }, subject).syscalls ?? []).flatMap(({ names }) => names);
}

test("a file in the form of linux.seccomp is taken as it is, with all its digits", () => {
  const text =
    '{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}';
  expect(resolveSeccompProfile(parseSeccompProfile(text, "p.json"), here)).toEqual({
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86"],
    syscalls: [{ names: ["read"], action: "SCMP_ACT_LOG", args: [{ index: 0, value: "18446744073709551615", op: "SCMP_CMP_EQ" }] }],
  });
});

test("archMap gives the machine its architectures", () => {
  const archMap = [
    { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
    { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
  ];
  const profile = { defaultAction: "SCMP_ACT_ERRNO", archMap };
  expect(resolve(profile).architectures).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
  expect(resolve(profile, { machine: "arm64" }).architectures).toEqual(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
  expect(resolve({ ...profile, archMap: [] })).not.toHaveProperty("architectures");
});

test("a rule holds where all is so that it includes and nothing that it excludes", () => {
  const rules = {
    always: {},
    empty: { includes: {}, excludes: {} },
    ours: { includes: { arches: ["amd64", "x32"] } },
    theirs: { includes: { arches: ["s390x"] } },
    notOurs: { excludes: { arches: ["amd64"] } },
    held: { includes: { caps: ["CAP_CHOWN"] } },
    both: { includes: { caps: ["CAP_CHOWN", "CAP_KILL"] } },
    neither: { excludes: { caps: ["CAP_KILL", "CAP_CHOWN"] } },
    unheld: { excludes: { caps: ["CAP_KILL"] } },
    old: { includes: { minKernel: "4.8" } },
    same: { includes: { minKernel: "6.1" } },
    next: { includes: { minKernel: "6.2" } },
    before: { excludes: { minKernel: "6.2" } },
    since: { excludes: { minKernel: "5.20" } },
  };
  const constant = ["always", "empty", "ours", "held", "unheld", "old", "same", "before"];
  expect(holding(rules)).toEqual(constant);
  expect(holding(rules, { machine: "arm64", bounding: [], kernel: "4.7.1" })).toEqual([
    "always",
    "empty",
    "notOurs",
    "neither",
    "unheld",
    "before",
    "since",
  ]);
});

test("older profiles name one call, and errors of a call are kept", () => {
  const syscalls = [{ name: "read", action: "SCMP_ACT_ERRNO", errnoRet: 38, args: null, comment: "why" }];
  expect(resolve({ defaultAction: "SCMP_ACT_ALLOW", syscalls }).syscalls).toEqual([
    { names: ["read"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
  ]);
});

test.each([
  ["{", "cannot read p.json: it is no JSON"],
  ["[]", "cannot read p.json: cannot use the document: it is an array, not an object"],
  ["3", "cannot read p.json: it is no object"],
  ['{"defaultAction":3}', "p.json: cannot use /defaultAction"],
  ['{"archMap":[{"architecture":"SCMP_ARCH_X86"}],"architectures":["SCMP_ARCH_X86"]}', "it has both architectures and archMap"],
  ['{"syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}', "/syscalls/0 must have one of name and names"],
  ['{"syscalls":[{"names":["b"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}]}', '"new" is no version of a kernel'],
])("%s is refused", (text, why) => {
  expect(() => parseSeccompProfile(text, "p.json")).toThrow(why);
});
