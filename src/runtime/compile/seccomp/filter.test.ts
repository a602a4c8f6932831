import { describe, expect, test } from "bun:test";
import { seccompActionNames, seccompOperators, seccompReturnValue, type SeccompArgument, type SeccompSyscall } from "#spec/seccomp.ts";
import { runFilter } from "../../../../test/support/seccomp/interpreter.ts";
import { buildReference, referenceFilters, referenceMissing } from "../../../../test/support/seccomp/reference.ts";
import { scratchDirectory } from "../../../../test/support/scratch-directory.ts";
import { interfacesOf, x32Bit, type SystemCallInterface } from "./architectures.ts";
import { compileSeccompFilter, type Profile } from "./filter.ts";

const amd64 = 0xc000_003e;
const i386 = 0x4000_0003;
const enosys = seccompReturnValue("SCMP_ACT_ERRNO", 38);
const eperm = seccompReturnValue("SCMP_ACT_ERRNO");
const allow = seccompReturnValue("SCMP_ACT_ALLOW");

function compile(profile: Profile): Uint8Array {
  return compileSeccompFilter(profile, "x64") ?? new Uint8Array();
}

function answer(profile: Profile, number: number, args: readonly bigint[] = [], auditNumber = amd64): number {
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
const names =
  "read write open close mmap socket bind accept4 personality clone getcwd mkdir semop shmat msgget ipc socketcall openat futex pread64 execve setns prctl recv send no_such_call ptrace statx clone3".split(
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

function randomArgument(random: Random, index: number): SeccompArgument {
  return { index, op: pick(random, seccompOperators), value: pick(random, words), valueTwo: pick(random, words) };
}

/** `actionOf` says what a rule for a call does; with one action a call, the order of rules does not matter. */
function randomProfile(random: Random, actionOf: (name: string) => Pick<SeccompSyscall, "action" | "errnoRet">): Profile {
  const architectures = (["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"] as const).filter(() => random(2) === 0);
  const syscalls: SeccompSyscall[] = [];
  for (let count = random(12); count > 0; count--) {
    const first = random(6);
    const args: SeccompArgument[] = [];
    for (let more = random(3); more > 0; more--) args.push(randomArgument(random, (first + (random(8) === 0 ? 0 : more)) % 6));
    const name = pick(random, names);
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
  return Math.max(0, ...syscalls.flatMap((rule) => rule.names.map((name) => face.numbers().get(name) ?? 0)));
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
    const number = random(10) === 0 ? pick(random, special) : face.base + (face.numbers().get(name) ?? random(480));
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
  test.skipIf(referenceMissing !== undefined)(`answers as libseccomp's (${referenceMissing ?? "random profiles and calls"})`, () => {
    using scratch = scratchDirectory();
    const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 32));
    const random = randomFrom(seed);
    const profiles = Array.from({ length: 400 }, () => {
      const actions = new Map(names.map((name) => [name, { action: pick(random, seccompActionNames) }]));
      // Calls that share a multiplexer share an action.
      for (const name of names)
        if (/^(socket|bind|accept|recv|send|sem|shm|msg|ipc)/.test(name)) actions.set(name, { action: "SCMP_ACT_TRAP" });
      return randomProfile(random, (name) => actions.get(name) ?? { action: "SCMP_ACT_ALLOW" });
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
  });
});
