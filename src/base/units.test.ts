import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { formatRoughDuration, formatSize, parseDurationNanos, parseSize } from "./units.ts";

test("parseSize() takes powers of 1024", () => {
  expect(parseSize("64m", "x")).toBe(64 << 20);
  expect(parseSize("1.5GiB", "x")).toBe(1.5 * 2 ** 30);
  expect(parseSize("10 kB", "x")).toBe(10240);
  expect(parseSize("0", "x")).toBe(0);
  expect(parseSize("123b", "x")).toBe(123);
});

test("parseSize() refuses what is no size and names the option", () => {
  for (const text of ["", "m", "-1", "1x", "1e3", "99999999p", "1,5g"])
    expect(() => parseSize(text, "--memory")).toThrow(`cannot use --memory "${text}": it is not a size`);
});

test("parseSize() reads any number of bytes back", () => {
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => expect(parseSize(String(bytes), "x")).toBe(bytes)));
});

test("formatSize() shows three digits and powers of 1000", () => {
  expect([0, 999, 1000, 63_359_255, 1_500_000_000].map(formatSize)).toEqual(["0B", "999B", "1kB", "63.4MB", "1.5GB"]);
});

test("parseDurationNanos() reads Go's notation", () => {
  expect(parseDurationNanos("1m30s", "x")).toBe(90e9);
  expect(parseDurationNanos("1.5h", "x")).toBe(5400e9);
  expect(parseDurationNanos("250ms", "x")).toBe(250e6);
  expect(parseDurationNanos("0", "x")).toBe(0);
  for (const text of ["", "5", "s", "1m 2s", "-1s", "1m2", "1d"])
    expect(() => parseDurationNanos(text, "--interval")).toThrow("it is not a duration");
});

test("formatRoughDuration() speaks as docker's listings do", () => {
  const of = (seconds: number) => formatRoughDuration(seconds * 1000);
  expect([0, 1, 45, 61, 150, 3700, 6000, 40 * 3600, 3 * 86400, 20 * 86400, 90 * 86400, 800 * 86400].map(of)).toEqual([
    "Less than a second",
    "1 second",
    "45 seconds",
    "About a minute",
    "2 minutes",
    "About an hour",
    "1 hour",
    "40 hours",
    "3 days",
    "2 weeks",
    "3 months",
    "2 years",
  ]);
});
