/** Rules about `linux.seccomp`. */
import { expect, test } from "bun:test";
import { parseRuntimeConfig } from "../runtime-config.ts";
import { findConfigProblems } from "./config.ts";

const at = "/linux/seccomp";

function problems(seccomp: unknown): string[] {
  const config = parseRuntimeConfig({ ociVersion: "1.3.0", linux: { namespaces: [{ type: "mount" }], seccomp } });
  return findConfigProblems(config)
    .map((problem) => problem.at)
    .filter((place) => place.startsWith(at));
}

const rule = (more: object): object => ({
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names: ["read"], action: "SCMP_ACT_ERRNO", ...more }],
});

test("a profile that keeps the rules has no problems", () => {
  expect(problems({})).toEqual([]);
  expect(problems(rule({ errnoRet: 4095, args: [{ index: 5, value: "18446744073709551615", op: "SCMP_CMP_EQ" }] }))).toEqual([]);
  expect(problems({ ...rule({ action: "SCMP_ACT_NOTIFY" }), listenerPath: "/run/agent", listenerMetadata: "x" })).toEqual([]);
});

test.each<[string, unknown]>([
  [at, { syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW" }] }],
  [`${at}/defaultErrnoRet`, { defaultAction: "SCMP_ACT_ALLOW", defaultErrnoRet: 1 }],
  [`${at}/syscalls/0/errnoRet`, rule({ errnoRet: 4096 })],
  [`${at}/syscalls/0/errnoRet`, rule({ action: "SCMP_ACT_KILL", errnoRet: 1 })],
  [`${at}/syscalls/0/names`, rule({ names: [] })],
  [`${at}/syscalls/0/names/1`, rule({ names: ["read", ""] })],
  [`${at}/syscalls/0/args/0/index`, rule({ args: [{ index: 6, value: 0, op: "SCMP_CMP_EQ" }] })],
  [`${at}/defaultAction`, { defaultAction: "SCMP_ACT_NOTIFY" }],
  [at, rule({ action: "SCMP_ACT_NOTIFY" })],
  [`${at}/listenerPath`, { ...rule({ action: "SCMP_ACT_NOTIFY" }), listenerPath: "agent" }],
  [`${at}/listenerMetadata`, { defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "x" }],
  [
    `${at}/syscalls/1`,
    {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: ["SCMP_ACT_TRAP", "SCMP_ACT_ERRNO"].map((action) => ({
        names: ["read"],
        action,
        args: [{ index: 0, value: 1, op: "SCMP_CMP_GT" }],
      })),
    },
  ],
])("%s is what is wrong with %j", (place, seccomp) => {
  expect(problems(seccomp)).toEqual([place]);
});

test.each<[string, unknown]>([
  ["defaultAction", { defaultAction: "SCMP_ACT_WHATEVER" }],
  ["op", rule({ args: [{ index: 0, value: 0, op: "SCMP_CMP_NO" }] })],
  ["value", rule({ args: [{ index: 0, value: "18446744073709551616", op: "SCMP_CMP_EQ" }] })],
  ["value", rule({ args: [{ index: 0, value: "12", op: "SCMP_CMP_EQ" }] })],
  ["value", rule({ args: [{ index: 0, value: 2 ** 60, op: "SCMP_CMP_EQ" }] })],
  ["flags", { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_NEW_LISTENER"] }],
])("%s of another type is refused by name: %j", (name, seccomp) => {
  expect(() => problems(seccomp)).toThrow(`/${name}`);
});
