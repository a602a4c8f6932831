/** The list of devices that a container may use, as cgroup v1 writes it and cgroup v2 compiles it. */
import type { DeviceRule } from "#spec/runtime-config.ts";

/** A rule with the place that asks for it. */
export interface PlacedDeviceRule {
  readonly rule: DeviceRule;
  readonly origin: string;
}

/** What every container may use, whatever else is denied. @see runtime-spec config-linux.md#default-devices */
const defaultRules: readonly (readonly [why: string, rule: DeviceRule])[] = [
  // Making a node gives no access: opening it is what the other rules are about.
  ["any device node may be made", { allow: true, type: "c", access: "m" }],
  ["any device node may be made", { allow: true, type: "b", access: "m" }],
  ["/dev/null is for everybody", { allow: true, type: "c", major: 1, minor: 3, access: "rwm" }],
  ["/dev/zero is for everybody", { allow: true, type: "c", major: 1, minor: 5, access: "rwm" }],
  ["/dev/full is for everybody", { allow: true, type: "c", major: 1, minor: 7, access: "rwm" }],
  ["/dev/random is for everybody", { allow: true, type: "c", major: 1, minor: 8, access: "rwm" }],
  ["/dev/urandom is for everybody", { allow: true, type: "c", major: 1, minor: 9, access: "rwm" }],
  ["/dev/tty is for everybody", { allow: true, type: "c", major: 5, minor: 0, access: "rwm" }],
  ["/dev/console is for everybody", { allow: true, type: "c", major: 5, minor: 1, access: "rwm" }],
  ["/dev/ptmx is for everybody", { allow: true, type: "c", major: 5, minor: 2, access: "rwm" }],
  ["terminals are for everybody", { allow: true, type: "c", major: 136, access: "rwm" }],
];

/**
 * The rules of the config and, when everything is denied, what containers may use nevertheless.
 * SECURITY: as in runc, everything is denied where no rule is about everything: the rules are a list of what is allowed (GHSA-g54h-m393-cpwq).
 */
export function deviceRules(rules: readonly DeviceRule[]): PlacedDeviceRule[] {
  const asked = rules.map((rule, index) => ({ rule, origin: `/linux/resources/devices/${index}` }));
  const denied = { rule: { allow: false }, origin: "default: a container may use the devices that it is given" };
  const placed = rules.some(isCatchAll) ? asked : [denied, ...asked];
  if (!placed.some(({ rule }) => !rule.allow && isCatchAll(rule))) return placed;
  return [...placed, ...defaultRules.map(([why, rule]) => ({ rule, origin: `default: ${why}` }))];
}

/** Whether a rule is about every access to every device, so that those before it do not count. */
export function isCatchAll(rule: DeviceRule): boolean {
  const isAnyDevice = ruleNumber(rule.major) === undefined && ruleNumber(rule.minor) === undefined && deviceTypes(rule).length === 2;
  return isAnyDevice && accessOf(rule).length === 3;
}

/** The access letters of a rule; all three when it gives none. */
export function accessOf({ access }: DeviceRule): string {
  if (access === undefined || access === "" || access === "rwm") return "rwm";
  return ["r", "w", "m"].filter((letter) => access.includes(letter)).join("");
}

/** The kinds of devices that a rule is about. */
export function deviceTypes({ type }: DeviceRule): readonly ("b" | "c")[] {
  return type === "b" || type === "c" ? [type] : ["b", "c"];
}

/** A device number of a rule; `undefined` for all. -1 is how the Go types write that. */
export function ruleNumber(number: number | undefined): number | undefined {
  return number === undefined || number === -1 ? undefined : number;
}

/** What to write to devices.allow or devices.deny for a rule. @see cgroup-v1/devices.rst */
export function formatV1DeviceRule(rule: DeviceRule): string[] {
  // KERNEL: "a" means everything and forgets all exceptions; numbers and access beside it are not read.
  if (isCatchAll(rule)) return ["a"];
  const numbers = `${ruleNumber(rule.major) ?? "*"}:${ruleNumber(rule.minor) ?? "*"}`;
  return deviceTypes(rule).map((type) => `${type} ${numbers} ${accessOf(rule)}`);
}
