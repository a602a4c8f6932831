/** Filters, run by an interpreter of BPF: against libseccomp's, and against what their profiles say. */
import { describe, expect, test } from "bun:test";
import {
  seccompActionNames,
  seccompArchitectures,
  seccompOperators,
  seccompReturnValue,
  type SeccompArgument,
  type SeccompSyscall,
} from "#spec/seccomp.ts";
import { runFilter } from "../../../../test/support/seccomp/interpreter.ts";
import { buildReference, referenceFilters, referenceMissing } from "../../../../test/support/seccomp/reference.ts";
import { scratchDirectory } from "../../../../test/support/scratch-directory.ts";
import { interfacesOf, numberOf, x32Bit, type SystemCallInterface } from "./architectures.ts";
import { x86Calls } from "./syscalls.gen.ts";
import { compileSeccompFilter, type Profile } from "./filter.ts";

const amd64 = 0xc000_003e;
const i386 = 0x4000_0003;
const enosys = seccompReturnValue("SCMP_ACT_ERRNO", 38);
const eperm = seccompReturnValue("SCMP_ACT_ERRNO");
const allow = seccompReturnValue("SCMP_ACT_ALLOW");

function compile(profile: Profile): Uint8Array {
  return compileSeccompFilter(profile, "x64") ?? new Uint8Array();
}

function answer(
  profile: Profile,
  number: number,
  { args = [], auditNumber = amd64 }: { args?: bigint[]; auditNumber?: number } = {},
): number {
  return runFilter(compile(profile), { auditNumber, number, args }).answer;
}

/** A generator of pseudo-random integers below `limit`, by a seed that a failure prints. */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

type Random = (limit: number) => number;

const pick = <T>(random: Random, values: readonly T[]): T => values[random(values.length)] as T;
// All three interfaces have them: libseccomp 2.5.4 forgets to load the number behind a call that one has not.
const names =
  "read write open close mmap socket bind accept4 personality clone getcwd mkdir shmat msgget openat futex pread64 execve setns prctl no_such_call ptrace statx clone3".split(
    " ",
  );
const words = [
  "0",
  "1",
  "2",
  "40",
  "255",
  "4294967295",
  "4294967296",
  "4294967297",
  "18446744073709551615",
  "2114060288",
  "1311768467463790320",
];

function randomArgument(random: Random, index: number, operators: readonly SeccompArgument["op"][]): SeccompArgument {
  return { index, op: pick(random, operators), value: pick(random, words), valueTwo: pick(random, words) };
}

/**
 * `actionOf` says what a rule for a call does; with one action a call, the order of rules does not matter.
 *
 * A tame profile has ordered comparisons of a call in one rule only: libseccomp 2.5.4 merges those of several rules wrongly.
 */
function randomProfile(
  random: Random,
  { actionOf, isTame }: { actionOf: (name: string) => Pick<SeccompSyscall, "action" | "errnoRet">; isTame: boolean },
): Profile {
  const [used, wild] = [new Set<string>(), new Set<string>()];
  const architectures = (["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"] as const).filter(() => random(2) === 0);
  const syscalls: SeccompSyscall[] = [];
  for (let count = random(12); count > 0; count--) {
    const first = random(6);
    const args: SeccompArgument[] = [];
    const name = pick(random, names);
    const operators = isTame && (used.has(name) || random(2) === 0) ? (["SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"] as const) : seccompOperators;
    const spread = isTame && operators === seccompOperators ? 0 : 8;
    for (let more = random(3); more > 0; more--)
      args.push(randomArgument(random, (first + (spread > 0 && random(spread) === 0 ? 0 : more)) % 6, operators));
    // One rule with other comparisons is the only one.
    if (isTame && operators === seccompOperators && used.has(name)) continue;
    if (isTame && wild.has(name)) continue;
    if (operators === seccompOperators) wild.add(name);
    used.add(name);
    syscalls.push({ names: [name], ...actionOf(name), ...(random(3) === 0 ? {} : { args }) });
  }
  return {
    defaultAction: pick(
      random,
      seccompActionNames.filter((name) => name !== "SCMP_ACT_NOTIFY"),
    ),
    architectures,
    syscalls,
  };
}

function isYounger(profile: Profile, auditNumber: number, number: number): boolean {
  if (["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(profile.defaultAction)) return false;
  const faces = (interfacesOf("x64", profile.architectures ?? []) ?? []).filter((face) => face.auditNumber === auditNumber);
  const hasX32 = faces.some(({ base }) => base !== 0);
  if (auditNumber === amd64 && !hasX32 && number >= x32Bit) return false;
  const face = faces.filter(({ base }) => number >= base).at(-1);
  const highest = face === undefined ? 0 : highestOf(profile, face);
  return face !== undefined && highest > 0 && number > face.base + highest;
}

function highestOf({ syscalls = [] }: Profile, face: SystemCallInterface): number {
  return Math.max(0, ...syscalls.flatMap((rule) => rule.names.map((name) => numberOf(face, name) ?? 0)));
}

/** What the specification and libseccomp's manual say of a call, worked out the plain way. */
function plainAnswer(profile: Profile, face: SystemCallInterface, { name, args }: { name: string; args: readonly bigint[] }): number {
  const otherwise = seccompReturnValue(profile.defaultAction, profile.defaultErrnoRet);
  const cut = (value: bigint | number | string): bigint => BigInt.asUintN(face.hasNarrowArguments ? 32 : 64, BigInt(value));
  const isMet = ({ index, op, value, valueTwo = 0 }: SeccompArgument): boolean => {
    const [arg, wanted] = [cut(args[index] ?? 0n), cut(value)];
    if (op === "SCMP_CMP_MASKED_EQ") return (arg & wanted) === (cut(valueTwo) & wanted);
    if (op === "SCMP_CMP_EQ") return arg === wanted;
    if (op === "SCMP_CMP_NE") return arg !== wanted;
    if (op === "SCMP_CMP_LT") return arg < wanted;
    if (op === "SCMP_CMP_LE") return arg <= wanted;
    return op === "SCMP_CMP_GT" ? arg > wanted : arg >= wanted;
  };
  const rules = (profile.syscalls ?? []).filter((rule) => rule.names.includes(name));
  const met = rules.find(({ args: conditions = [] }) => {
    const isRepeated = new Set(conditions.map(({ index }) => index)).size < conditions.length;
    return isRepeated ? conditions.some(isMet) : conditions.every(isMet);
  });
  return met === undefined ? otherwise : seccompReturnValue(met.action, met.errnoRet);
}

/** The first call on which the filters of `profile` differ. */
function findDifference(random: Random, profile: Profile, reference: Uint8Array): string | undefined {
  const own = compile(profile);
  const table = interfacesOf("x64", ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]) ?? [];
  for (let round = 0; round < 400; round++) {
    const face = pick(random, table);
    const rule = (profile.syscalls ?? []).length > 0 && random(8) > 0 ? pick(random, profile.syscalls ?? []) : undefined;
    const name = rule?.names[0] ?? pick(random, names);
    const special = [0, 0x7fff_ffff, 0xffff_ffff, x32Bit, x32Bit + 1, 102, 117, 470];
    const number = random(10) === 0 ? pick(random, special) : face.base + (numberOf(face, name) ?? random(480));
    const nearby = (): bigint => BigInt.asUintN(64, BigInt(pick(random, words)) + BigInt(random(3) - 1));
    const args = Array.from({ length: 6 }, (_, index) => {
      const about = (rule?.args ?? []).filter((arg) => arg.index === index);
      if (about.length === 0 || random(3) === 0) return nearby();
      const { value, valueTwo = 0 } = pick(random, about);
      return BigInt.asUintN(64, BigInt(random(2) === 0 ? value : valueTwo) + BigInt(random(3) - 1));
    });
    const auditNumber = random(20) === 0 ? 0x1234 : face.auditNumber;
    const call = { auditNumber, number: number >>> 0, args };
    const wanted = isYounger(profile, auditNumber, call.number) ? enosys : runFilter(reference, call).answer;
    const got = runFilter(own, call).answer;
    if (got !== wanted)
      return `${got.toString(16)} is not ${wanted.toString(16)} for ${JSON.stringify({ ...call, args: args.map(String) })}`;
  }
  return undefined;
}

describe("a filter", () => {
  test.skipIf(referenceMissing !== undefined)(
    `answers as libseccomp's (${referenceMissing ?? "random profiles and calls"})`,
    () => {
      using scratch = scratchDirectory();
      const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 32));
      const random = randomFrom(seed);
      const profiles = Array.from({ length: 400 }, () => {
        const actions = new Map(names.map((name) => [name, { action: pick(random, seccompActionNames) }]));
        // Calls that share a multiplexer share an action.
        for (const name of names) if (/^(socket|bind|accept|shm|msg)/.test(name)) actions.set(name, { action: "SCMP_ACT_TRAP" });
        return randomProfile(random, { actionOf: (name) => actions.get(name) ?? { action: "SCMP_ACT_ALLOW" }, isTame: true });
      });
      const references = referenceFilters(buildReference(scratch.path), profiles);
      let compared = 0;
      for (const [index, profile] of profiles.entries()) {
        const reference = references[index];
        if (reference === undefined) continue;
        compared++;
        const difference = findDifference(random, profile, reference);
        if (difference !== undefined) throw new Error(`seed ${seed}: ${difference}\n${JSON.stringify(profile)}`);
      }
      expect(compared).toBeGreaterThan(300);
    },
    30_000,
  );

  test("answers as its profile reads, whatever the conditions", () => {
    const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 32));
    const random = randomFrom(seed);
    for (let count = 0; count < 300; count++) {
      const actions = new Map(names.map((name) => [name, { action: pick(random, seccompActionNames) }]));
      const profile = randomProfile(random, { actionOf: (name) => actions.get(name) ?? { action: "SCMP_ACT_ALLOW" }, isTame: false });
      const program = compile(profile);
      for (const face of interfacesOf("x64", profile.architectures ?? []) ?? []) {
        for (let round = 0; round < 150; round++) {
          const name = pick(random, names);
          const number = numberOf(face, name);
          if (number === undefined || isYounger(profile, face.auditNumber, face.base + number)) continue;
          const args = Array.from({ length: 6 }, () => BigInt.asUintN(64, BigInt(pick(random, words)) + BigInt(random(3) - 1)));
          const got = runFilter(program, { auditNumber: face.auditNumber, number: face.base + number, args }).answer;
          const wanted = plainAnswer(profile, face, { name, args });
          if (got !== wanted)
            throw new Error(
              `seed ${seed}: ${name} ${face.architecture} ${args.join(" ")}: ${got}, not ${wanted}\n${JSON.stringify(profile)}`,
            );
        }
      }
    }
  });

  const restrictive: Profile = { defaultAction: "SCMP_ACT_ERRNO", syscalls: [{ names: ["read", "statx"], action: "SCMP_ACT_ALLOW" }] };

  test("kills calls of an architecture that the profile does not name, of x32 too, but lets a tracer skip a call", () => {
    expect(answer(restrictive, 3, { auditNumber: i386 })).toBe(0);
    expect(answer(restrictive, x32Bit)).toBe(0);
    expect(answer(restrictive, 0xffff_ffff)).toBe(eperm);
    expect(answer({ ...restrictive, architectures: ["SCMP_ARCH_X86"] }, 3, { auditNumber: i386 })).toBe(allow);
  });

  test("has nothing for architectures of other machines, whatever their order of bytes: this kernel never names them", () => {
    const others = seccompArchitectures.filter((name) => !["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"].includes(name));
    const plain = compileSeccompFilter(restrictive, "x64");
    expect(others.length).toBeGreaterThan(15);
    expect(compileSeccompFilter({ ...restrictive, architectures: others }, "x64")).toEqual(plain as Uint8Array);
    for (const name of others) expect(compileSeccompFilter({ ...restrictive, architectures: [name] }, "x64")).toEqual(plain as Uint8Array);
  });

  test("says ENOSYS for calls younger than the profile when it denies what it does not name, and not otherwise", () => {
    const statx = 332;
    expect(answer(restrictive, statx)).toBe(allow);
    expect(answer(restrictive, statx - 1)).toBe(eperm);
    expect(answer(restrictive, statx + 1)).toBe(enosys);
    expect(answer({ ...restrictive, defaultAction: "SCMP_ACT_LOG" }, statx + 1)).toBe(seccompReturnValue("SCMP_ACT_LOG"));
  });

  test("tells socket calls of i386 behind socketcall", () => {
    const profile: Profile = {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86"],
      syscalls: [{ names: ["connect", "recv", "shmat"], action: "SCMP_ACT_ERRNO" }],
    };
    const [socketcall, ipc, connect] = [102, 117, 362];
    expect([1n, 3n, 10n, 21n].map((call) => answer(profile, socketcall, { args: [call], auditNumber: i386 }))).toEqual([
      allow,
      eperm,
      eperm,
      allow,
    ]);
    expect([3n, 21n].map((call) => answer(profile, ipc, { args: [call], auditNumber: i386 }))).toEqual([allow, eperm]);
    expect(answer(profile, connect, { auditNumber: i386 })).toBe(eperm);
    const few: Profile = {
      ...restrictive,
      architectures: ["SCMP_ARCH_X86"],
      syscalls: [{ names: ["read", "recv"], action: "SCMP_ACT_ALLOW" }],
    };
    const recv = (number: number, call: bigint): number => answer(few, number, { args: [call], auditNumber: i386 });
    expect([recv(socketcall, 10n), recv(socketcall, 1n), recv(50, 0n), recv(103, 0n)]).toEqual([allow, eperm, eperm, enosys]);
  });

  test("compares all 64 bits of an argument", () => {
    const about = (op: SeccompArgument["op"], value: string): Profile => ({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["read"], action: "SCMP_ACT_ERRNO", args: [{ index: 5, op, value }] }],
    });
    const last = 2n ** 64n - 1n;
    const ask = (profile: Profile, value: bigint): boolean => answer(profile, 0, { args: [0n, 0n, 0n, 0n, 0n, value] }) === eperm;
    expect([last, last - 1n].map((value) => ask(about("SCMP_CMP_EQ", String(last)), value))).toEqual([true, false]);
    expect([last, last - 1n].map((value) => ask(about("SCMP_CMP_LT", String(last)), value))).toEqual([false, true]);
    expect([2n ** 53n + 1n, 2n ** 53n].map((value) => ask(about("SCMP_CMP_GE", "9007199254740993"), value))).toEqual([true, false]);
  });

  test("jumps over more than 255 instructions, and is refused when the kernel would find it too long", () => {
    const rule = (name: string, value: number): SeccompSyscall => ({
      names: [name],
      action: "SCMP_ACT_ERRNO",
      errnoRet: (value % 4000) + 2,
      args: [{ index: value % 6, op: "SCMP_CMP_GT", value: `${2n ** 40n + BigInt(value)}` }],
    });
    const [own] = interfacesOf("x64", []) ?? [];
    const all = Object.keys(JSON.parse(x86Calls) as object).filter((name) => own !== undefined && numberOf(own, name) !== undefined);
    const profile = (count: number, each: number): Profile => ({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: all.slice(0, count).flatMap((name, index) => Array.from({ length: each }, (_, more) => rule(name, index + more * 6))),
    });
    const long = profile(300, 1);
    expect(compile(long).length / 8).toBeGreaterThan(1500);
    for (const number of [0, 1, 150, 299]) {
      const args = Array.from({ length: 6 }, () => 2n ** 63n);
      expect(answer(long, number, { args })).toBe(seccompReturnValue("SCMP_ACT_ERRNO", number + 2));
      expect(answer(long, number)).toBe(allow);
    }
    expect(() => compile(profile(300, 4))).toThrow("cannot honour /linux/seccomp: the filter has");
  });
});
