/**
 * What a profile says about each system call of one interface.
 *
 * The meaning is libseccomp's, which is what profiles are written for. The conditions of a rule must all hold; of several rules for one
 * call, any may match; a rule without conditions overrules those with; a rule that does what is done anyway is no rule.
 * @see seccomp_rule_add(3); runtime-spec config-linux.md#seccomp
 */
import { seccompReturnValue, type SeccompAction, type SeccompArgument, type SeccompConfig, type SeccompSyscall } from "#spec/seccomp.ts";
import { multiplexers, type SystemCallInterface } from "./architectures.ts";

/** One comparison of an argument. A value is unsigned and has as many bits as the interface's arguments. */
export interface Condition {
  readonly index: number;
  readonly operator: SeccompArgument["op"];
  /** Bits of the argument that count; all but for SCMP_CMP_MASKED_EQ. */
  readonly mask: bigint;
  readonly value: bigint;
}

/** Conditions that must all hold, and what the filter returns then. */
export interface Rule {
  readonly conditions: readonly Condition[];
  readonly answer: number;
}

/** What is done with one system call: rules in the order in which they are tried; the last may be without conditions. */
export type CallRules = readonly Rule[];

/** What a profile says about the calls of one interface. */
export interface InterfaceRules {
  /** By number, without the interface's base. */
  readonly calls: ReadonlyMap<number, CallRules>;
  /** The highest number that the profile names, even in a rule that changes nothing; 0 when it names none. */
  readonly highest: number;
}

/** Where the filter's answer is not said by a rule. */
export function defaultAnswer(profile: SeccompConfig & { readonly defaultAction: SeccompAction }): number {
  return seccompReturnValue(profile.defaultAction, profile.defaultErrnoRet);
}

/** Gathers the rules of `profile` for the calls of `face`. Names that it does not have are passed over. */
export function collectRules(syscalls: readonly SeccompSyscall[], face: SystemCallInterface, otherwise: number): InterfaceRules {
  const calls = new Map<number, CallRules>();
  let highest = 0;
  for (const { names, action, errnoRet, args = [] } of syscalls) {
    const answer = seccompReturnValue(action, errnoRet);
    const added = readConditions(args, face).map((conditions) => ({ conditions, answer }));
    for (const name of names) {
      const number = face.numberOf(name);
      const multiplexer = face.multiplexes ? multiplexers.get(name) : undefined;
      const through = multiplexer === undefined ? undefined : face.numberOf(multiplexer.name);
      highest = Math.max(highest, number ?? 0, through ?? 0);
      if (answer === otherwise) continue;
      if (multiplexer !== undefined && through !== undefined) {
        addRules(
          calls,
          through,
          added.map(({ conditions }) => ({ conditions: multiplexed(conditions, multiplexer.call), answer })),
        );
      }
      if (number !== undefined) addRules(calls, number, added);
    }
  }
  for (const [number, rules] of calls) if (rules.length > 1) calls.set(number, rules.toSorted(compareRules));
  return { calls, highest };
}

/** The conditions of a call that is made through another: the first argument tells it, in place of a condition on that. */
function multiplexed(conditions: readonly Condition[], call: number): readonly Condition[] {
  const selects: Condition = { index: 0, operator: "SCMP_CMP_EQ", mask: narrow, value: BigInt(call) };
  return [selects, ...conditions.filter(({ index }) => index !== 0)];
}

/** Most calls have the one rule of a long list of names, which they then share. */
function addRules(calls: Map<number, CallRules>, number: number, added: readonly Rule[]): void {
  const rules = calls.get(number);
  const whole = added.find(({ conditions }) => conditions.length === 0);
  if (rules === undefined) calls.set(number, whole === undefined || added.length === 1 ? added : [whole]);
  else if (rules[0]?.conditions.length === 0) return; // Of rules without conditions the first stays.
  else calls.set(number, whole === undefined ? [...rules, ...added] : [whole]);
}

const narrow = 0xffff_ffffn;
const wide = 0xffff_ffff_ffff_ffffn;

/** The conditions of a rule: one list, or one for each condition when two are about the same argument, as in runc. */
function readConditions(args: readonly SeccompArgument[], face: SystemCallInterface): readonly (readonly Condition[])[] {
  if (args.length === 0) return [[]];
  const conditions = args.map((arg) => readCondition(arg, face));
  const isRepeated = new Set(args.map(({ index }) => index)).size < args.length;
  const lists = isRepeated ? conditions.map((condition) => [condition]) : [conditions.toSorted((a, b) => a.index - b.index)];
  // Comparing no bits at all is always true.
  return lists.map((list) => list.filter(({ mask }) => mask !== 0n));
}

function readCondition({ index, op, value, valueTwo = 0 }: SeccompArgument, { hasNarrowArguments }: SystemCallInterface): Condition {
  const all = hasNarrowArguments ? narrow : wide;
  if (op !== "SCMP_CMP_MASKED_EQ") return { index, operator: op, mask: all, value: BigInt(value) & all };
  const mask = BigInt(value) & all;
  return { index, operator: op, mask, value: BigInt(valueTwo) & mask };
}

/** Later arguments first, then by kind of comparison, then the more special value: the order of libseccomp's tree. */
function compareRules(a: Rule, b: Rule): number {
  for (const [place, left] of a.conditions.entries()) {
    const right = b.conditions[place];
    if (right === undefined) return 1;
    const order = compareConditions(left, right);
    if (order !== 0) return order;
  }
  return a.conditions.length - b.conditions.length;
}

function compareConditions(a: Condition, b: Condition): number {
  if (a.index !== b.index) return b.index - a.index;
  const kinds = kindOf(b) - kindOf(a);
  if (kinds !== 0) return kinds;
  if (a.value === b.value) return 0;
  return a.value < b.value === (kindOf(a) === 2) ? -1 : 1;
}

function kindOf({ operator }: Condition): number {
  if (operator === "SCMP_CMP_GE" || operator === "SCMP_CMP_GT") return 1;
  return operator === "SCMP_CMP_LE" || operator === "SCMP_CMP_LT" ? 2 : 3;
}
