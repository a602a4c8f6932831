/** Sizes and durations as people write and read them. */
import { CodedError } from "./errors.ts";

const sizePattern = /^([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?$/i;
const binaryPowers: Readonly<Record<string, number>> = { "": 0, k: 1, m: 2, g: 3, t: 4, p: 5 };

/**
 * Parses a size such as `64m`, `1.5GiB` or `1048576` to bytes; units are powers of 1024, as in docker's options.
 *
 * @param subject what the size is of, for errors ("--memory").
 * @throws CodedError `invalid-argument`
 */
export function parseSize(text: string, subject: string): number {
  const [, number = "", unit = ""] = sizePattern.exec(text.trim()) ?? [];
  const bytes = Math.floor(Number(number) * 1024 ** (binaryPowers[unit.toLowerCase()] ?? 0));
  if (number === "" || !Number.isSafeInteger(bytes)) {
    throw new CodedError("invalid-argument", `cannot use ${subject} "${text}": it is not a size such as 512m or 2g`);
  }
  return bytes;
}

const decimalUnits = ["B", "kB", "MB", "GB", "TB", "PB"];

/** A size in powers of 1000 with three significant digits, as image and disk sizes are shown: `63.4MB`. */
export function formatSize(sizeBytes: number): string {
  let power = 0;
  let rest = sizeBytes;
  while (rest >= 1000 && power < decimalUnits.length - 1) {
    rest /= 1000;
    power++;
  }
  // Number() drops the zeros and the exponent that toPrecision writes.
  return `${Number(rest.toPrecision(3))}${decimalUnits[power] ?? ""}`;
}

const durationPart = /([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)/gy;
const unitNanos: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/**
 * Parses a duration such as `1m30s` or `1.5h` to nanoseconds, in the notation of Go, which docker's options use.
 *
 * @param subject what the duration is of, for errors ("--health-interval").
 * @throws CodedError `invalid-argument`
 */
export function parseDurationNanos(text: string, subject: string): number {
  let nanos = 0;
  let end = 0;
  for (const part of text.matchAll(durationPart)) {
    nanos += Number(part[1]) * (unitNanos[part[2] ?? ""] ?? Number.NaN);
    end = part.index + part[0].length;
  }
  if (text === "0") return 0;
  if (end === 0 || end !== text.length || !Number.isSafeInteger(Math.round(nanos))) {
    throw new CodedError("invalid-argument", `cannot use ${subject} "${text}": it is not a duration such as 30s or 1m30s`);
  }
  return Math.round(nanos);
}

const ages: readonly (readonly [limitSeconds: number, unitSeconds: number, name: string])[] = [
  [60, 1, "second"],
  [3600, 60, "minute"],
  [48 * 3600, 3600, "hour"],
  [14 * 86400, 86400, "day"],
  [60 * 86400, 7 * 86400, "week"],
  [730 * 86400, 30 * 86400, "month"],
  [Number.POSITIVE_INFINITY, 365 * 86400, "year"],
];

/** A duration in one rough word, as docker's listings have it: `Less than a second`, `2 minutes`, `About an hour`, `3 weeks`. */
export function formatRoughDuration(durationMs: number): string {
  const seconds = Math.floor(durationMs / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds >= 60 && seconds < 120) return "About a minute";
  if (seconds >= 3600 && seconds < 5400) return "About an hour";
  const [, unit, name] = ages.find(([limit]) => seconds < limit) ?? [0, 1, "second"];
  const count = Math.floor(seconds / unit);
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}
