import { expect, test } from "bun:test";
import { formatPlatform, hostPlatform, normalizePlatform, parsePlatform, platformDistance, selectPlatform } from "./platform.ts";

const normal = (text: string): string => formatPlatform(parsePlatform(text));

test("I3 parsePlatform() gives each platform one spelling", () => {
  const spellings: Record<string, string> = {
    amd64: "linux/amd64",
    "linux/x86_64": "linux/amd64",
    "Linux/AMD64": "linux/amd64",
    "linux/amd64/v1": "linux/amd64",
    "linux/amd64/v3": "linux/amd64/v3",
    aarch64: "linux/arm64",
    "linux/arm64/v8": "linux/arm64",
    "linux/arm64/8": "linux/arm64",
    "linux/arm64/v9": "linux/arm64/v9",
    arm: "linux/arm/v7",
    armhf: "linux/arm/v7",
    armel: "linux/arm/v6",
    "linux/arm/5": "linux/arm/v5",
    i386: "linux/386",
    "windows/amd64": "windows/amd64",
  };
  expect(Object.fromEntries(Object.keys(spellings).map((text) => [text, normal(text)]))).toEqual(spellings);
});

test("parsePlatform() refuses what is no platform", () => {
  for (const text of ["", "/", "linux/", "linux/amd64/v1/x", "linux/../x", "linux /amd64"])
    expect(() => parsePlatform(text)).toThrow("it is not of the form os/architecture[/variant]");
});

test("the host has a platform in its one spelling", () => {
  expect(hostPlatform()).toEqual(normalizePlatform(hostPlatform()));
  expect(hostPlatform().os).toBe(process.platform);
});

test("lower levels of an instruction set run on higher ones, not the other way", () => {
  const distance = (wanted: string, offered: string) => platformDistance(parsePlatform(wanted), parsePlatform(offered));
  expect(distance("amd64", "amd64")).toBe(0);
  expect(distance("linux/amd64/v3", "linux/amd64")).toBe(2);
  expect(distance("amd64", "linux/amd64/v2")).toBeUndefined();
  expect(distance("linux/arm/v7", "linux/arm/v6")).toBe(1);
  expect(distance("linux/arm/v6", "linux/arm/v7")).toBeUndefined();
  expect(distance("linux/arm64/v9", "arm64")).toBe(5);
  expect(distance("arm64", "linux/arm64/v8.1")).toBeUndefined();
  expect(distance("amd64", "arm64")).toBeUndefined();
  expect(distance("amd64", "windows/amd64")).toBeUndefined();
  expect(distance("riscv64", "riscv64")).toBe(0);
});

test("a 32-bit image is the last choice of a 64-bit machine", () => {
  const pick = (wanted: string, ...offered: string[]) =>
    selectPlatform(
      offered.map((text) => ({ text, platform: parsePlatform(text) })),
      parsePlatform(wanted),
    )?.text;
  expect(pick("amd64", "386", "amd64")).toBe("amd64");
  expect(pick("amd64", "386", "arm64")).toBe("386");
  expect(pick("arm64", "linux/arm/v5", "linux/arm/v7", "linux/arm/v6")).toBe("linux/arm/v7");
});

test("I4 the best variant wins, among equals the first, and attestations never", () => {
  const offers = [
    { name: "attestation", platform: { os: "unknown", architecture: "unknown" } },
    { name: "none" },
    { name: "v6", platform: { os: "linux", architecture: "arm", variant: "v6" } },
    { name: "v7", platform: { os: "linux", architecture: "arm", variant: "v7" } },
    { name: "v7 again", platform: { os: "linux", architecture: "arm" } },
  ];
  expect(selectPlatform(offers, parsePlatform("arm"))?.name).toBe("v7");
  expect(selectPlatform(offers, parsePlatform("linux/arm/v8"))?.name).toBe("v7");
  expect(selectPlatform(offers, parsePlatform("s390x"))).toBeUndefined();
  expect(selectPlatform(offers, { os: "unknown", architecture: "amd64" })).toBeUndefined();
});
