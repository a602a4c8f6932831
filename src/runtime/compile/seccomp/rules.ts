/**
 * What a profile says about each system call of one interface.
 *
 * The meaning is libseccomp's, which is what profiles are written for. The conditions of a rule must all hold; of several rules for one
 * call, any may match; a rule without conditions overrules those with; a rule that does what is done anyway is no rule.
 * @see seccomp_rule_add(3); runtime-spec config-linux.md#seccomp
 */
import { seccompReturnValue, type SeccompAction, type SeccompArgument, type SeccompConfig, type SeccompSyscall } from "#spec/seccomp.ts";
import { multiplexed, multiplexerAt, numberOf, type SystemCallInterface } from "./architectures.ts";

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

/** Rules of one system call, in the order in which they are tried; each has conditions. */
export type CallRules = readonly Rule[];

/** What is done with one system call: an answer whatever its arguments are, or rules about those. */
export type Fate = number | CallRules;

/** What a profile says about the calls of one interface. */
export interface InterfaceRules {
  /** By number, without the interface's base, for those below `farFrom`: nearly all numbers are small, and most are named. */
  readonly fates: readonly (Fate | undefined)[];
  /** The same for numbers from `farFrom` on. */
  readonly far: ReadonlyMap<number, Fate>;
  /** The highest number that the profile names, even in a rule that changes nothing; 0 when it names none. */
  readonly highest: number;
}

/** Only the private calls of ARM have such numbers. */
export const farFrom = 1024;

/** Where the filter's answer is not said by a rule. */
export function defaultAnswer(profile: SeccompConfig & { readonly defaultAction: SeccompAction }): number {
  return seccompReturnValue(profile.defaultAction, profile.defaultErrnoRet);
}

/**
 * Gathers the rules of a profile for the calls of each of `faces`, which are of one family. Names that it does not have are passed over.
 *
 * A profile has hundreds of names, and this runs once, so in an interpreter: one look at the table serves all interfaces.
 */
export function collectRules(
  syscalls: readonly SeccompSyscall[],
  faces: readonly SystemCallInterface[],
  otherwise: number,
): readonly InterfaceRules[] {
  const collectors = faces.map((face) => new Collector(face, otherwise));
  const [first] = faces;
  if (first === undefined) return [];
  for (const { names, action, errnoRet, args = [] } of syscalls) {
    const answer = seccompReturnValue(action, errnoRet);
    // Some have no number anywhere, and are made through another call.
    const packed = names.map((name) => first.numbers(name) ?? 0);
    for (const collector of collectors) collector.add(packed, answer, args);
  }
  return collectors.map((collector) => collector.take());
}

/** Gathers the rules for the calls of one interface. */
class Collector {
  readonly #face: SystemCallInterface;
  readonly #otherwise: number;
  /** Without holes: an interpreter is slow with those. */
  // oxlint-disable-next-line unicorn/no-new-array -- the argument is a length, and making one by steps takes longer than all else here
  readonly #fates = new Array<Fate | undefined>(farFrom).fill(undefined);
  readonly #far = new Map<number, Fate>();
  /** Numbers of calls with more than one rule. */
  readonly #manifold = new Set<number>();
  #highest = 0;

  constructor(face: SystemCallInterface, otherwise: number) {
    this.#face = face;
    this.#otherwise = otherwise;
  }

  /** What is done with calls when their arguments are so; of each call what the table of numbers gives. */
  add(calls: readonly number[], answer: number, args: readonly SeccompArgument[]): void {
    const face = this.#face;
    const { shift, mask } = face.place;
    const isIdle = answer === this.#otherwise;
    const fate = args.length === 0 ? answer : fateOf(readConditions(args, face), answer);
    const fates = this.#fates;
    let highest = 0;
    for (const packed of calls) {
      if (face.multiplexes && packed >= multiplexed) this.#addMultiplexed(packed, fate, isIdle);
      const number = ((packed >>> shift) & mask) - 1;
      if (number < 0) continue;
      if (number > highest) highest = number;
      if (isIdle) continue;
      // By far the most common case.
      if (number < farFrom && fates[number] === undefined) fates[number] = fate;
      else this.#join(number, fate);
    }
    this.#highest = Math.max(this.#highest, highest);
  }

  take(): InterfaceRules {
    for (const number of this.#manifold) {
      const fate = this.#get(number);
      if (typeof fate === "object") this.#set(number, fate.toSorted(compareRules));
    }
    return { fates: this.#fates, far: this.#far, highest: this.#highest };
  }

  #addMultiplexed(packed: number, fate: Fate, isIdle: boolean): void {
    const { name, call } = multiplexerAt(packed) ?? {};
    const through = name === undefined ? undefined : numberOf(this.#face, name);
    if (through === undefined || call === undefined) return;
    this.#highest = Math.max(this.#highest, through);
    if (isIdle) return;
    const rules = typeof fate === "number" ? [{ conditions: [], answer: fate }] : fate;
    this.#join(
      through,
      rules.map(({ conditions, answer }) => ({ conditions: selecting(call, conditions), answer })),
    );
  }

  /** Most calls have the one fate of a long list of names, which they then share. */
  #join(number: number, added: Fate): void {
    const before = this.#get(number);
    // Of rules without conditions the first stays.
    if (typeof before === "number") return;
    const fate = before === undefined || typeof added === "number" ? added : [...before, ...added];
    this.#set(number, fate);
    if (typeof fate === "object" && fate.length > 1) this.#manifold.add(number);
  }

  #get(number: number): Fate | undefined {
    return number < farFrom ? this.#fates[number] : this.#far.get(number);
  }

  #set(number: number, fate: Fate): void {
    if (number < farFrom) this.#fates[number] = fate;
    else this.#far.set(number, fate);
  }
}

/** The fate of a call whose arguments meet any of these lists of conditions. */
function fateOf(lists: readonly (readonly Condition[])[], answer: number): Fate {
  return lists.some((conditions) => conditions.length === 0) ? answer : lists.map((conditions) => ({ conditions, answer }));
}

/** The conditions of a call that is made through another: the first argument tells it, in place of a condition on that. */
function selecting(call: number, conditions: readonly Condition[]): readonly Condition[] {
  const selects: Condition = { index: 0, operator: "SCMP_CMP_EQ", mask: narrow, value: BigInt(call) };
  return [selects, ...conditions.filter(({ index }) => index !== 0)];
}

const narrow = 0xffff_ffffn;
const wide = 0xffff_ffff_ffff_ffffn;

/** The conditions of a rule: one list, or one for each condition when two are about the same argument, as in runc. */
function readConditions(args: readonly SeccompArgument[], face: SystemCallInterface): readonly (readonly Condition[])[] {
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
  for (let place = 0; ; place++) {
    const [left, right] = [a.conditions[place], b.conditions[place]];
    if (left === undefined || right === undefined) return a.conditions.length - b.conditions.length;
    const order = compareConditions(left, right);
    if (order !== 0) return order;
  }
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
