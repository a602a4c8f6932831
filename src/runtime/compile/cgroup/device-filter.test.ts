import { expect, test } from "bun:test";
import * as fc from "fast-check";
import type { DeviceRule } from "#spec/runtime-config.ts";
import { compileDeviceFilter } from "./device-filter.ts";
import { deviceRules, deviceTypes, formatV1DeviceRule, ruleNumber } from "./device-rules.ts";

interface Access {
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  /** Letters of "rwm". */
  readonly access: string;
}

const bits: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };

/** Runs the few eBPF instructions that the filter is made of; anything else, and leaving the program, is an error. */
function interpret(program: Uint8Array, { type, major, minor, access }: Access): boolean {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const mask = [...access].reduce((sum, letter) => sum | (bits[letter] ?? 0), 0);
  const context = new DataView(new ArrayBuffer(12));
  context.setUint32(0, (mask << 16) | (type === "b" ? 1 : 2), true);
  context.setUint32(4, major, true);
  context.setUint32(8, minor, true);
  const registers: number[] = Array.from({ length: 11 }, () => Number.NaN);
  for (let at = 0; ; at += 8) {
    if (at < 0 || at + 8 > program.length) throw new Error(`left the program at ${at}`);
    const [dst, src] = [view.getUint8(at + 1) & 15, view.getUint8(at + 1) >> 4];
    const [offset, immediate] = [view.getInt16(at + 2, true), view.getInt32(at + 4, true)];
    const value = registers[dst] ?? Number.NaN;
    const opcode = view.getUint8(at);
    if ([0x54, 0x74, 0x55, 0x45].includes(opcode) && Number.isNaN(value)) throw new Error(`register ${dst} is read before it is written`);
    if (opcode === 0x95) return registers[0] === 1;
    else if (opcode === 0x61 && src === 1) registers[dst] = context.getUint32(offset, true);
    else if (opcode === 0xbc) registers[dst] = registers[src] ?? Number.NaN;
    else if (opcode === 0xb7) registers[dst] = immediate;
    else if (opcode === 0x54) registers[dst] = value & immediate;
    else if (opcode === 0x74) registers[dst] = value >>> immediate;
    else if (opcode === 0x05) at += offset * 8;
    else if (opcode === 0x55) at += value === immediate ? 0 : offset * 8;
    else if (opcode === 0x45) at += (value & immediate) === 0 ? 0 : offset * 8;
    else throw new Error(`unknown instruction ${opcode}`);
    // KERNEL: the verifier refuses loops that it cannot bound; the filter has no jump back at all.
    if (offset < 0) throw new Error("jumped back");
  }
}

/** What the rules mean: for each letter of the access, the last rule that is about it decides. */
function isAllowed(rules: readonly DeviceRule[], { type, major, minor, access }: Access): boolean {
  return [...access].every((letter) => {
    const last = rules.findLast(
      (rule) =>
        deviceTypes(rule).includes(type) &&
        (ruleNumber(rule.major) ?? major) === major &&
        (ruleNumber(rule.minor) ?? minor) === minor &&
        ((rule.access ?? "") === "" ? "rwm" : (rule.access ?? "")).includes(letter),
    );
    return last?.allow ?? true;
  });
}

const ruleArbitrary: fc.Arbitrary<DeviceRule> = fc.record(
  {
    allow: fc.boolean(),
    type: fc.constantFrom("a", "b", "c", ""),
    major: fc.constantFrom(-1, 1, 5, 8),
    minor: fc.constantFrom(-1, 0, 3, 200),
    access: fc.constantFrom("", "r", "w", "m", "rw", "wr", "rwm"),
  },
  { requiredKeys: ["allow"] },
);

const accessArbitrary: fc.Arbitrary<Access> = fc.record({
  type: fc.constantFrom("b", "c"),
  major: fc.constantFrom(1, 5, 8, 9),
  minor: fc.constantFrom(0, 3, 200, 7),
  access: fc.constantFrom("r", "w", "m", "rw", "rwm"),
});

test("compileDeviceFilter() decides each access as the last rule about it says", () => {
  fc.assert(
    fc.property(fc.array(ruleArbitrary, { maxLength: 12 }), accessArbitrary, (rules, access) => {
      expect(interpret(compileDeviceFilter(rules), access)).toBe(isAllowed(rules, access));
    }),
    { numRuns: 2000 },
  );
});

test("compileDeviceFilter() has no instruction that cannot be reached, which the kernel would refuse", () => {
  fc.assert(
    fc.property(fc.array(ruleArbitrary, { maxLength: 12 }), (rules) => {
      const program = compileDeviceFilter(rules);
      const view = new DataView(program.buffer);
      const reached = new Set<number>();
      const waiting = [0];
      for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
        if (reached.has(at)) continue;
        reached.add(at);
        const [opcode, offset] = [program[at * 8], view.getInt16(at * 8 + 2, true)];
        if (opcode === 0x95) continue;
        if (opcode !== 0x05) waiting.push(at + 1);
        if (opcode === 0x05 || opcode === 0x55 || opcode === 0x45) waiting.push(at + 1 + offset);
      }
      expect(reached.size).toBe(program.length / 8);
    }),
  );
});

test("deviceRules() denies what is not allowed, and adds what every container may use, but where everything is allowed", () => {
  expect(deviceRules([{ allow: true, access: "rwm" }]).length).toBe(1);
  expect(deviceRules([]).map(({ rule }) => rule)).toEqual(deviceRules([{ allow: false }]).map(({ rule }) => rule));
  const given = compileDeviceFilter(deviceRules([{ allow: true, type: "c", major: 10, minor: 229 }]).map(({ rule }) => rule));
  expect(interpret(given, { type: "c", major: 10, minor: 229, access: "rw" })).toBe(true);
  expect(interpret(given, { type: "c", major: 10, minor: 200, access: "r" })).toBe(false);
  const rules = deviceRules([{ allow: false, access: "rwm" }]).map(({ rule }) => rule);
  const program = compileDeviceFilter(rules);
  expect(interpret(program, { type: "c", major: 1, minor: 3, access: "rw" })).toBe(true);
  expect(interpret(program, { type: "c", major: 136, minor: 77, access: "rw" })).toBe(true);
  expect(interpret(program, { type: "b", major: 8, minor: 0, access: "m" })).toBe(true);
  expect(interpret(program, { type: "b", major: 8, minor: 0, access: "r" })).toBe(false);
  expect(interpret(program, { type: "c", major: 1, minor: 1, access: "r" })).toBe(false);
});

test("formatV1DeviceRule() writes what devices.allow and devices.deny take", () => {
  expect(formatV1DeviceRule({ allow: false, access: "rwm" })).toEqual(["a"]);
  expect(formatV1DeviceRule({ allow: false, type: "a", major: -1, minor: -1 })).toEqual(["a"]);
  expect(formatV1DeviceRule({ allow: true, type: "c", major: 10, minor: 229, access: "wr" })).toEqual(["c 10:229 rw"]);
  expect(formatV1DeviceRule({ allow: true, type: "a", major: 1, access: "r" })).toEqual(["b 1:* r", "c 1:* r"]);
});
