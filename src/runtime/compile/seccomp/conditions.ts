/** Comparisons of arguments as instructions: a filter sees words of 32 bits, so a wide argument takes two. */
import type { CallRules, Condition, Rule } from "./rules.ts";
import type { BackwardWriter, Comparison, Place } from "./writer.ts";

/** Where the arguments of struct seccomp_data start, in bytes; each has 8, the lower word first (little endian). */
const argumentsOffset = 16;

const narrow = 0xffff_ffffn;

/** Writes the rules of one call; where none matches, the filter ends with `otherwise`. */
export function writeCallRules(
  writer: BackwardWriter,
  rules: CallRules,
  { otherwise, isNarrow }: { otherwise: number; isNarrow: boolean },
): Place {
  let place = writer.give(otherwise);
  const groups = groupValues(rules);
  for (const group of groups.toReversed()) {
    place =
      group.length > 1 ? writeValues(writer, group, { unmet: place, isNarrow }) : writeRule(writer, group[0], { unmet: place, isNarrow });
  }
  return place;
}

interface Surroundings {
  /** Where to go on when the rule does not match. */
  readonly unmet: Place;
  readonly isNarrow: boolean;
}

function writeRule(writer: BackwardWriter, rule: Rule | undefined, { unmet, isNarrow }: Surroundings): Place {
  if (rule === undefined) return unmet;
  let met = writer.give(rule.answer);
  for (const condition of rule.conditions.toReversed()) met = writeCondition(writer, condition, { met, unmet, isNarrow });
  return met;
}

/** Rules that follow each other and differ in one exact value only, such as those for `personality`, share their loads. */
function groupValues(rules: CallRules): Rule[][] {
  const groups: Rule[][] = [];
  for (const rule of rules) {
    const group = groups.at(-1);
    if (group?.[0] !== undefined && isSameButForLowWord(group[0], rule)) group.push(rule);
    else groups.push([rule]);
  }
  return groups;
}

function isSameButForLowWord(a: Rule, b: Rule): boolean {
  const [left, right] = [a.conditions[0], b.conditions[0]];
  if (left === undefined || right === undefined || a.answer !== b.answer) return false;
  const isSingle = a.conditions.length === 1 && b.conditions.length === 1;
  const isExact = left.operator === "SCMP_CMP_EQ" && right.operator === "SCMP_CMP_EQ";
  return isSingle && isExact && left.index === right.index && left.value >> 32n === right.value >> 32n;
}

function writeValues(writer: BackwardWriter, rules: readonly Rule[], { unmet, isNarrow }: Surroundings): Place {
  const [first] = rules[0]?.conditions ?? [];
  if (first === undefined) return unmet;
  let place = unmet;
  for (const { conditions, answer } of rules) {
    place = writer.branch("equal", Number((conditions[0]?.value ?? 0n) & narrow), { met: writer.give(answer), unmet: place });
  }
  place = writer.load(lowOffset(first), place);
  if (isNarrow) return place;
  return writer.load(highOffset(first), writer.branch("equal", Number(first.value >> 32n), { met: place, unmet }));
}

interface Ends extends Surroundings {
  readonly met: Place;
}

function writeCondition(writer: BackwardWriter, condition: Condition, ends: Ends): Place {
  const { met, unmet } = ends;
  switch (condition.operator) {
    case "SCMP_CMP_EQ":
    case "SCMP_CMP_MASKED_EQ":
      return writeEqual(writer, condition, ends);
    case "SCMP_CMP_NE":
      return writeEqual(writer, condition, { ...ends, met: unmet, unmet: met });
    case "SCMP_CMP_GT":
      return writeOrdered(writer, condition, { ...ends, comparison: "above" });
    case "SCMP_CMP_GE":
      return writeOrdered(writer, condition, { ...ends, comparison: "atLeast" });
    case "SCMP_CMP_LE":
      return writeOrdered(writer, condition, { ...ends, met: unmet, unmet: met, comparison: "above" });
    case "SCMP_CMP_LT":
      return writeOrdered(writer, condition, { ...ends, met: unmet, unmet: met, comparison: "atLeast" });
  }
}

function writeEqual(writer: BackwardWriter, condition: Condition, { met, unmet, isNarrow }: Ends): Place {
  const { mask, value } = condition;
  const [lowMask, highMask] = [Number(mask & narrow), Number(mask >> 32n)];
  let place = met;
  if (lowMask !== 0) {
    place = writer.branch("equal", Number(value & narrow), { met: place, unmet });
    place = writeLoad(writer, lowOffset(condition), { mask: lowMask, next: place });
  }
  if (isNarrow || highMask === 0) return place;
  place = writer.branch("equal", Number(value >> 32n), { met: place, unmet });
  return writeLoad(writer, highOffset(condition), { mask: highMask, next: place });
}

function writeLoad(writer: BackwardWriter, offset: number, { mask, next }: { mask: number; next: Place }): Place {
  return writer.load(offset, mask === 0xffff_ffff ? next : writer.and(mask, next));
}

/** Above or at least: decided by the upper word, unless that is equal. */
function writeOrdered(writer: BackwardWriter, condition: Condition, ends: Ends & { readonly comparison: Comparison }): Place {
  const { met, unmet, isNarrow, comparison } = ends;
  const low = writer.load(lowOffset(condition), writer.branch(comparison, Number(condition.value & narrow), { met, unmet }));
  if (isNarrow) return low;
  const high = Number(condition.value >> 32n);
  const notAbove = writer.branch("equal", high, { met: low, unmet });
  return writer.load(highOffset(condition), writer.branch("above", high, { met, unmet: notAbove }));
}

function lowOffset({ index }: Condition): number {
  return argumentsOffset + index * 8;
}

function highOffset(condition: Condition): number {
  return lowOffset(condition) + 4;
}
