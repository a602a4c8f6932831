/**
 * Device rules as an eBPF program for a cgroup v2.
 *
 * The program keeps the access bits that no rule has decided yet and asks the rules from the last to the first,
 * so that for each bit the last rule that is about it decides: what cgroup v1 does with its list.
 * @see linux/bpf.h, struct bpf_cgroup_dev_ctx; cgroup-v2.rst, "Device controller"
 */
import type { DeviceRule } from "#spec/runtime-config.ts";
import { accessOf, deviceTypes, isCatchAll, ruleNumber } from "./device-rules.ts";

const instructionBytes = 8;

/** Opcodes used; each instruction is opcode (1), registers (1), jump offset (2), immediate (4). */
const op = {
  jump: 0x05,
  jumpIfSet: 0x45,
  and32: 0x54,
  jumpNotEqual: 0x55,
  loadWord: 0x61,
  shiftRight32: 0x74,
  exit: 0x95,
  moveImmediate: 0xb7,
  move32: 0xbc,
} as const;

/** BPF_DEVCG_DEV_*: low half of access_type. */
const deviceKinds = { b: 1, c: 2 } as const;
/** BPF_DEVCG_ACC_*: high half of access_type. */
const accessBits: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };

/** Registers: r1 is the context on entry, r0 the verdict on exit (1 allows). */
const [verdict, contextRegister, kind, remaining, major, minor] = [0, 1, 2, 3, 4, 5] as const;

/** Where the fields of struct bpf_cgroup_dev_ctx are, in bytes. */
const [accessTypeOffset, majorOffset, minorOffset] = [0, 4, 8] as const;

/** Assembles the program for `rules` in the order given. Without a rule for everything, the rest is allowed, as in cgroup v1. */
export function compileDeviceFilter(rules: readonly DeviceRule[]): Uint8Array {
  const code: number[] = [];
  emit(code, { opcode: op.loadWord, dst: kind, src: contextRegister, offset: accessTypeOffset });
  emit(code, { opcode: op.move32, dst: remaining, src: kind });
  emit(code, { opcode: op.and32, dst: kind, immediate: 0xffff });
  emit(code, { opcode: op.shiftRight32, dst: remaining, immediate: 16 });
  emit(code, { opcode: op.loadWord, dst: major, src: contextRegister, offset: majorOffset });
  emit(code, { opcode: op.loadWord, dst: minor, src: contextRegister, offset: minorOffset });
  // KERNEL: the verifier refuses code that cannot be reached, so rules before one for everything must not be there.
  const catchAll = rules.findLastIndex(isCatchAll);
  for (const rule of rules.slice(catchAll + 1).toReversed()) code.push(...ruleBlock(rule));
  emitVerdict(code, rules[catchAll]?.allow ?? true);
  return Uint8Array.from(code);
}

/** Leaves with a verdict if the rule decides; else falls through to what follows it. */
function ruleBlock(rule: DeviceRule): number[] {
  const body: number[] = [];
  const mask = [...accessOf(rule)].reduce((bits, letter) => bits | (accessBits[letter] ?? 0), 0);
  if (rule.allow) {
    // What this rule allows is decided; when nothing remains, all is allowed.
    emit(body, { opcode: op.and32, dst: remaining, immediate: ~mask & 7 });
    emit(body, { opcode: op.jumpNotEqual, dst: remaining, immediate: 0, offset: 2 });
    emitVerdict(body, true);
  } else {
    // Jumping if a denied bit remains skips the jump that leaves the block.
    emit(body, { opcode: op.jumpIfSet, dst: remaining, immediate: mask, offset: 1 });
    emit(body, { opcode: op.jump, offset: 2 });
    emitVerdict(body, false);
  }
  const types = deviceTypes(rule);
  const tests: (readonly [register: number, value: number])[] = [];
  if (types.length === 1) tests.push([kind, deviceKinds[types[0] ?? "c"]]);
  const [wantedMajor, wantedMinor] = [ruleNumber(rule.major), ruleNumber(rule.minor)];
  if (wantedMajor !== undefined) tests.push([major, wantedMajor]);
  if (wantedMinor !== undefined) tests.push([minor, wantedMinor]);
  const block: number[] = [];
  for (const [index, [register, value]] of tests.entries()) {
    const rest = tests.length - index - 1 + body.length / instructionBytes;
    emit(block, { opcode: op.jumpNotEqual, dst: register, immediate: value, offset: rest });
  }
  return [...block, ...body];
}

function emitVerdict(code: number[], isAllowed: boolean): void {
  emit(code, { opcode: op.moveImmediate, dst: verdict, immediate: isAllowed ? 1 : 0 });
  emit(code, { opcode: op.exit });
}

interface Instruction {
  readonly opcode: number;
  readonly dst?: number;
  readonly src?: number;
  readonly offset?: number;
  readonly immediate?: number;
}

function emit(code: number[], { opcode, dst = 0, src = 0, offset = 0, immediate = 0 }: Instruction): void {
  code.push(opcode, dst | (src << 4), offset & 0xff, (offset >> 8) & 0xff);
  code.push(immediate & 0xff, (immediate >> 8) & 0xff, (immediate >> 16) & 0xff, (immediate >>> 24) & 0xff);
}
