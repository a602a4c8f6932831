/**
 * `linux.resources` as properties of a systemd unit, so that systemd, which writes the same files again whenever it reloads,
 * writes the same values. @see systemd.resource-control(5); systemd 244 knows all of them
 */
import { CodedError } from "#base/errors.ts";
import type { DeviceRule, LinuxResources } from "#spec/runtime-config.ts";
import { unsupported } from "../context.ts";
import type { DbusProperty, DbusValue } from "./dbus.ts";
import { accessOf, deviceRules, deviceTypes, isCatchAll, ruleNumber } from "./device-rules.ts";
import { nonEmpty, nonZero } from "./limit.ts";
import { cpuWeight, swapWithoutMemory } from "./v2-limits.ts";

/** systemd's word for no limit. */
const infinity = 2n ** 64n - 1n;
const defaultPeriodMicros = 100_000;

/** The properties of limits. What has none is written to the cgroup alone. */
export function resourceProperties(resources: LinuxResources, isUnified: boolean): DbusProperty[] {
  const { memory = {}, cpu = {}, pids = {} } = resources;
  const common: readonly (readonly [string, DbusValue | undefined])[] = [
    ["TasksMax", number(pids.limit === 0 ? 1 : pids.limit)],
    ["CPUQuotaPeriodUSec", number(nonZero(cpu.period))],
    ["CPUQuotaPerSecUSec", cpuQuota(nonZero(cpu.quota), nonZero(cpu.period))],
    ["AllowedCPUs", bits(nonEmpty(cpu.cpus))],
    ["AllowedMemoryNodes", bits(nonEmpty(cpu.mems))],
  ];
  const shares = nonZero(cpu.shares);
  const own: readonly (readonly [string, DbusValue | undefined])[] = isUnified
    ? [
        ["MemoryMax", number(nonZero(memory.limit))],
        ["MemoryLow", number(nonZero(memory.reservation))],
        ["MemorySwapMax", number(swapNumber(memory))],
        ["CPUWeight", number(cpu.idle === 1 ? 0 : shares === undefined ? undefined : cpuWeight(shares))],
      ]
    : [
        ["MemoryLimit", number(nonZero(memory.limit))],
        ["CPUShares", number(shares)],
        ["BlockIOWeight", number(nonZero(resources.blockIO?.weight))],
      ];
  return [
    ...[...own, ...common].flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }])),
    ...(isUnified ? Object.entries(resources.unified ?? {}).flatMap(([file, value]) => unifiedProperty(file, value.trim())) : []),
  ];
}

function swapNumber(memory: NonNullable<LinuxResources["memory"]>): number | undefined {
  const swap = swapWithoutMemory(nonZero(memory.limit), memory);
  return swap === "max" ? -1 : swap;
}

/** Below 0 there is no limit. */
function number(value: number | undefined): DbusValue | undefined {
  return value === undefined ? undefined : { type: "t", value: value < 0 ? infinity : BigInt(value) };
}

/** Microseconds of CPU in a second. systemd counts in whole percents, so the next one up, or the container would get less than it asks for. */
export function cpuQuota(quota: number | undefined, period: number | undefined): DbusValue | undefined {
  if (quota === undefined && period === undefined) return undefined;
  if (quota === undefined || quota < 0) return { type: "t", value: infinity };
  const perSecond = (BigInt(quota) * 1_000_000n) / BigInt(period ?? defaultPeriodMicros);
  return { type: "t", value: ((perSecond + 9_999n) / 10_000n) * 10_000n };
}

/** A list such as "0-3,7" as the bytes of a mask. */
function bits(list: string | undefined): DbusValue | undefined {
  return list === undefined ? undefined : { type: "ay", value: listToMask(list) };
}

/** The mask of a list of numbers, lowest first. @throws CodedError `invalid-spec` when it is no such list */
export function listToMask(list: string): Uint8Array {
  const bytes: number[] = [];
  for (const part of list.split(",")) {
    const [first = Number.NaN, last = first] = part.trim().split("-").map(Number);
    if (!(first >= 0 && last >= first && last < 65536))
      throw new CodedError("invalid-spec", `cannot use "${list}": it is no list such as 0-3,7`);
    for (let bit = first; bit <= last; bit++) {
      while (bytes.length <= bit >> 3) bytes.push(0);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
    }
  }
  return Uint8Array.from(bytes);
}

const unifiedNames: Readonly<Record<string, string>> = {
  "memory.max": "MemoryMax",
  "memory.high": "MemoryHigh",
  "memory.low": "MemoryLow",
  "memory.min": "MemoryMin",
  "memory.swap.max": "MemorySwapMax",
  "pids.max": "TasksMax",
  "cpu.weight": "CPUWeight",
  "cpuset.cpus": "AllowedCPUs",
  "cpuset.mems": "AllowedMemoryNodes",
};

/** @throws CodedError `unsupported` for a value that is none of the file's, which systemd would refuse less clearly */
function unifiedProperty(file: string, value: string): DbusProperty[] {
  const parse = (text: string): number => {
    const parsed = text === "max" ? -1 : /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isNaN(parsed)) throw unsupported(`/linux/resources/unified/${file}`, `systemd has no property for the value "${value}"`);
    return parsed;
  };
  const made = (name: string, dbus: DbusValue | undefined): DbusProperty[] => (dbus === undefined ? [] : [{ name, value: dbus }]);
  if (file === "cpu.max") {
    const [quota = "max", period = String(defaultPeriodMicros)] = value.split(/\s+/);
    return [...made("CPUQuotaPeriodUSec", number(parse(period))), ...made("CPUQuotaPerSecUSec", cpuQuota(parse(quota), parse(period)))];
  }
  if (file === "cpu.idle") return value === "1" ? made("CPUWeight", number(0)) : [];
  const name = unifiedNames[file];
  if (name === undefined) return [];
  if (file.startsWith("cpuset.")) return made(name, bits(value));
  return made(name, number(file === "pids.max" && value === "0" ? 1 : parse(value)));
}

/**
 * Device rules as systemd has them: a list of what is allowed, everything else being denied. Rules that cannot be said so
 * are left to the filter that is loaded afterwards; without a rule that denies everything, systemd is told to keep out.
 */
export function deviceProperties(rules: readonly DeviceRule[]): DbusProperty[] {
  const all = deviceRules(rules).map(({ rule }) => rule);
  const start = all.findLastIndex(isCatchAll);
  if (start === -1 || all[start]?.allow === true) {
    return [
      { name: "DeviceAllow", value: { type: "a(ss)", value: [] } },
      { name: "DevicePolicy", value: { type: "s", value: "auto" } },
    ];
  }
  const allowed = all.slice(start + 1).filter(({ allow }) => allow);
  return [
    { name: "DevicePolicy", value: { type: "s", value: "strict" } },
    // An empty list first forgets what an older unit of that name allowed.
    { name: "DeviceAllow", value: { type: "a(ss)", value: [] } },
    { name: "DeviceAllow", value: { type: "a(ss)", value: allowed.flatMap(deviceEntries) } },
  ];
}

function deviceEntries(rule: DeviceRule): (readonly [string, string])[] {
  const [major, minor] = [ruleNumber(rule.major), ruleNumber(rule.minor)];
  return deviceTypes(rule).flatMap((type): (readonly [string, string])[] => {
    const word = type === "b" ? "block" : "char";
    if (major === undefined) return minor === undefined ? [[`${word}-*`, accessOf(rule)]] : [];
    return [[minor === undefined ? `${word}-${major}` : `/dev/${word}/${major}:${minor}`, accessOf(rule)]];
  });
}

const annotationPrefix = "org.systemd.property.";

/**
 * Properties that annotations name: `org.systemd.property.TimeoutStopUSec: "uint64 123456789"`, a value in GVariant's text format.
 * A name that ends in Sec, with a value in seconds, is given as USec. @throws CodedError `invalid-spec`
 */
export function annotatedProperties(annotations: Readonly<Record<string, string>>): DbusProperty[] {
  return Object.entries(annotations).flatMap(([key, text]): DbusProperty[] => {
    if (!key.startsWith(annotationPrefix)) return [];
    const name = key.slice(annotationPrefix.length);
    const value = parseVariant(text.trim());
    if (!/^[A-Z][A-Za-z]{3,}$/.test(name) || value === undefined) {
      throw new CodedError(
        "invalid-spec",
        `cannot use /annotations/${key.replaceAll("~", "~0").replaceAll("/", "~1")}: "${text}" is no value of a unit's property`,
      );
    }
    if (!name.endsWith("Sec") || name.endsWith("USec")) return [{ name, value }];
    const seconds = value.type === "u" ? BigInt(value.value) : value.type === "t" ? value.value : undefined;
    if (seconds === undefined) return [{ name, value }];
    return [{ name: name.replace(/Sec$/, "USec"), value: { type: "t", value: seconds * 1_000_000n } }];
  });
}

/** The values of the text format that properties of scopes have. @see GVariant Text Format */
export function parseVariant(text: string): DbusValue | undefined {
  if (text === "true" || text === "false") return { type: "b", value: text === "true" };
  const typed = /^(uint32|uint64|@u|@t)? ?(\d{1,20})$/.exec(text);
  if (typed !== null) {
    const value = BigInt(typed[2] ?? "0");
    const isWide = typed[1] === "uint64" || typed[1] === "@t" || value > 0xffffffffn;
    return isWide ? { type: "t", value } : { type: "u", value: Number(value) };
  }
  const quoted = parseQuoted(text);
  if (quoted !== undefined) return { type: "s", value: quoted };
  const list = /^(?:@as )?\[(.*)\]$/.exec(text)?.[1];
  if (list === undefined) return undefined;
  const words = list.trim() === "" ? [] : list.split(",").map((word) => parseQuoted(word.trim()));
  return words.every((word) => word !== undefined) ? { type: "as", value: words } : undefined;
}

function parseQuoted(text: string): string | undefined {
  const [quote] = text;
  if ((quote !== "'" && quote !== '"') || text.length < 2 || !text.endsWith(quote)) return undefined;
  return text.slice(1, -1).replace(/\\(.)/g, "$1");
}
