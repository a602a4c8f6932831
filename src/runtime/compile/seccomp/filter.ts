/**
 * From a profile to the filter that the kernel runs at every system call of the container.
 *
 *     load arch; is it x86_64?  no: i386?  no: kill
 *     load nr;   nr >= 186?     binary search over ranges of numbers that are treated alike
 *                ...            allow / refuse / compare the arguments
 *
 * Numbers that lie together mostly share their fate, so ranges make a much smaller tree than numbers do. Only what the kernel's
 * cache of allowed calls understands stands before an answer that needs no argument (kernel/seccomp.c, seccomp_is_const_allow).
 */
import type { SeccompAction, SeccompArchitecture, SeccompConfig } from "#spec/seccomp.ts";
import { seccompReturnValue } from "#spec/seccomp.ts";
import { interfacesOf, x32Bit, type SystemCallInterface } from "./architectures.ts";
import { writeCallRules } from "./conditions.ts";
import { collectRules, defaultAnswer, farFrom, type CallRules, type Fate, type InterfaceRules } from "./rules.ts";
import { BackwardWriter, type Place } from "./writer.ts";

/** Offsets in struct seccomp_data, in bytes. */
const [numberOffset, architectureOffset] = [0, 4] as const;

/** What libseccomp and so runc does with calls of an architecture that the profile does not name: the thread dies with SIGSYS. */
const foreign = seccompReturnValue("SCMP_ACT_KILL");
/** A call that does not exist. @see errno(3) ENOSYS */
const missing = seccompReturnValue("SCMP_ACT_ERRNO", 38);
/** What a tracer writes to skip a call; it must not be taken for a call of x32. @see seccomp(2) */
const skipped = 0xffff_ffff;

/** A profile that filters something. */
export type Profile = SeccompConfig & { readonly defaultAction: SeccompAction };

/** Numbers from `start` up to the next range that are treated alike. */
interface Range {
  readonly start: number;
  readonly fate: Fate;
}

/**
 * Compiles `profile` for a machine (Node's word for its architecture): struct sock_filter's bytes.
 * Undefined when the machine's system calls are not known.
 * @throws CodedError `unsupported` when the kernel would find it too long.
 */
export function compileSeccompFilter(profile: Profile, machine: string): Uint8Array | undefined {
  const asked: readonly SeccompArchitecture[] = profile.architectures ?? [];
  const faces = interfacesOf(machine, asked);
  if (faces === undefined) return undefined;
  const otherwise = defaultAnswer(profile);
  const rules = collectRules(profile.syscalls ?? [], faces, otherwise);
  const writer = new BackwardWriter();
  const trees: { readonly auditNumber: number; readonly start: Place }[] = [];
  // Written backwards: the machine's own architecture comes last, and so is asked for first and lies nearest.
  for (const auditNumber of new Set(faces.map((face) => face.auditNumber).toReversed())) {
    const alike = faces.flatMap((face, index) => (face.auditNumber === auditNumber ? [{ face, rules: rules[index] ?? noRules }] : []));
    const ranges = findRanges(profile, alike);
    const isNarrowFrom = alike.find(({ face }) => face.hasNarrowArguments)?.face.base ?? Infinity;
    trees.push({ auditNumber, start: writer.load(numberOffset, writeTree(writer, ranges, { otherwise, isNarrowFrom })) });
  }
  let place = writer.give(foreign);
  for (const { auditNumber, start } of trees) place = writer.branch("equal", auditNumber, { met: start, unmet: place });
  return writer.take(writer.load(architectureOffset, place));
}

const noRules: InterfaceRules = { fates: [], far: new Map(), highest: 0 };

/** The fates of all numbers under one audit number, in rising order, each different from the one before. */
function findRanges(profile: Profile, parts: readonly { readonly face: SystemCallInterface; readonly rules: InterfaceRules }[]): Range[] {
  const otherwise = defaultAnswer(profile);
  const ranges: Range[] = [];
  let last: Fate | undefined;
  const from = (start: number, fate: Fate): void => {
    if (fate !== last) ranges.push({ start, fate });
    last = fate;
  };
  for (const { face, rules } of parts) {
    const { fates, far, highest } = rules;
    let next = Math.min(highest + 1, farFrom);
    let before = last;
    for (let number = 0; number < next; number++) {
      const fate = fates[number] ?? otherwise;
      if (fate !== before) from(face.base + number, fate);
      before = fate;
    }
    for (const number of [...far.keys()].toSorted((a, b) => a - b)) {
      if (number > next) from(face.base + next, otherwise);
      from(face.base + number, far.get(number) ?? otherwise);
      next = number + 1;
    }
    if (next <= highest || !isYoungerMissing(profile, highest)) from(face.base + next, otherwise);
    if (isYoungerMissing(profile, highest)) from(face.base + highest + 1, missing);
  }
  if (parts.length === 1 && parts[0]?.face.architecture === "SCMP_ARCH_X86_64") {
    from(x32Bit, foreign);
    from(skipped, otherwise);
  }
  return ranges;
}

/**
 * Whether calls above the highest that a profile names are answered with ENOSYS.
 *
 * Programs try a new call and fall back to an older one on ENOSYS, but give up on EPERM. The author of a profile that denies what
 * it does not name cannot have meant calls that did not exist then. runc does the same; a tracer is expected to know itself.
 */
function isYoungerMissing({ defaultAction }: Profile, highest: InterfaceRules["highest"]): boolean {
  const isPermissive = defaultAction === "SCMP_ACT_ALLOW" || defaultAction === "SCMP_ACT_LOG" || defaultAction === "SCMP_ACT_TRACE";
  return !isPermissive && highest > 0;
}

interface TreeOptions {
  readonly otherwise: number;
  /** Calls from this number on have arguments of 32 bits. */
  readonly isNarrowFrom: number;
}

/** Writes the search for the number in the accumulator. */
function writeTree(writer: BackwardWriter, ranges: readonly Range[], options: TreeOptions): Place {
  const written = new Map<CallRules, Place>();
  const leaf = ({ start, fate }: Range): Place => {
    if (typeof fate === "number") return writer.give(fate);
    const place =
      written.get(fate) ?? writeCallRules(writer, fate, { otherwise: options.otherwise, isNarrow: start >= options.isNarrowFrom });
    written.set(fate, place);
    return place;
  };
  const search = (first: number, end: number): Place => {
    const a = ranges[first];
    if (a === undefined) return writer.give(options.otherwise);
    const size = end - first;
    if (size === 1) return leaf(a);
    const b = ranges[first + 1];
    // One number between two ranges alike takes one comparison.
    if (size === 3 && b !== undefined && ranges[first + 2]?.fate === a.fate && ranges[first + 2]?.start === b.start + 1) {
      const around = leaf(a);
      return writer.branch("equal", b.start, { met: leaf(b), unmet: around });
    }
    const middle = (first + end) >>> 1;
    const met = search(middle, end);
    const unmet = search(first, middle);
    return writer.branch("atLeast", ranges[middle]?.start ?? 0, { met, unmet });
  };
  return search(0, ranges.length);
}
