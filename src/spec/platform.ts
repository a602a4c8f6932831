/** Platforms: which machine an image is for, and which of several images suits this machine best. */
import { CodedError } from "#base/errors.ts";
import { readStrings, type JsonNode } from "#base/json-node.ts";

/** Values as Go spells them (GOOS, GOARCH). @see image-spec image-index.md, `platform` */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
  readonly "os.version"?: string | undefined;
  readonly "os.features"?: readonly string[] | undefined;
}

/** Other spellings of architectures, with the variant that they imply. */
const spellings: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  x64: ["amd64"],
  i386: ["386"],
  i486: ["386"],
  i586: ["386"],
  i686: ["386"],
  ia32: ["386"],
  aarch64: ["arm64"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
  loongarch64: ["loong64"],
};

/** The one spelling of `platform` among its equals: `aarch64` is arm64, arm64/v8 is arm64, arm is arm/v7, amd64/v1 is amd64. */
export function normalizePlatform(platform: Platform): Platform {
  const spelled = platform.architecture.toLowerCase();
  const [architecture, impliedVariant] = Object.hasOwn(spellings, spelled) ? (spellings[spelled] ?? [spelled]) : [spelled];
  const os = platform.os.toLowerCase() === "macos" ? "darwin" : platform.os.toLowerCase();
  const variant = normalizeVariant(architecture, platform.variant?.toLowerCase() || impliedVariant);
  return {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(platform["os.version"] === undefined ? {} : { "os.version": platform["os.version"] }),
    ...(platform["os.features"] === undefined ? {} : { "os.features": platform["os.features"] }),
  };
}

function normalizeVariant(architecture: string, given: string | undefined): string | undefined {
  const variant = given !== undefined && /^[0-9]/.test(given) ? `v${given}` : given;
  if (architecture === "arm64") return variant === "v8" || variant === "v8.0" ? undefined : variant;
  if (architecture === "amd64") return variant === "v1" ? undefined : variant;
  if (architecture === "arm") return variant ?? "v7";
  return variant;
}

/** Parses `os/architecture[/variant]`, or an architecture alone for Linux. @throws CodedError `invalid-argument` */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(part))) {
    throw new CodedError("invalid-argument", `cannot use platform "${text}": it is not of the form os/architecture[/variant]`);
  }
  const [os = "linux", architecture = "", variant] = parts.length === 1 ? ["linux", ...parts] : parts;
  return normalizePlatform({ os, architecture, variant });
}

/** `os/architecture[/variant]`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== "").join("/");
}

/** The platform of the machine that this process was built for. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: process.platform, architecture: process.arch === "ppc64" ? "ppc64le" : process.arch });
}

/** arm64 of ARMv9.n does all that ARMv8.(n+5) does. */
const arm64Versions = /^v([89])(?:\.([0-9]+))?$/;

/**
 * How well an image for `offered` runs on `wanted`: 0 is exactly, more is worse, undefined is not at all.
 *
 * A variant is a level of one instruction set, and lower levels run on higher ones. A 64-bit machine takes its 32-bit
 * sister last. An image for an unknown platform (build attestations are filed as unknown/unknown) suits nothing.
 */
export function platformDistance(wanted: Platform, offered: Platform): number | undefined {
  const host = normalizePlatform(wanted);
  const image = normalizePlatform(offered);
  if (host.os !== image.os) return undefined;
  const sister = { amd64: "386", arm64: "arm" }[host.architecture];
  if (image.architecture === sister) return 1000 + (image.architecture === "arm" ? 10 - (levelOf(image) ?? 0) : 0);
  if (host.architecture !== image.architecture) return undefined;
  if (host.variant === image.variant) return 0;
  const hostLevel = levelOf(host);
  const imageLevel = levelOf(image);
  if (hostLevel === undefined || imageLevel === undefined || imageLevel > hostLevel) return undefined;
  return hostLevel - imageLevel;
}

function levelOf({ architecture, variant }: Platform): number | undefined {
  if (architecture === "arm64") {
    const [, major, minor = "0"] = arm64Versions.exec(variant ?? "v8") ?? [];
    return major === undefined ? undefined : Number(minor) + (major === "9" ? 5 : 0);
  }
  const [, level] = /^v([1-9])$/.exec(variant ?? (architecture === "amd64" ? "v1" : "")) ?? [];
  if (level === undefined || (architecture !== "amd64" && architecture !== "arm")) return undefined;
  return Number(level);
}

/** The candidate that suits `wanted` best; among equals the first, as the image spec has it. */
export function selectPlatform<T extends { readonly platform?: Platform | undefined }>(
  candidates: readonly T[],
  wanted: Platform,
): T | undefined {
  let best: T | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = candidate.platform === undefined ? undefined : platformDistance(wanted, candidate.platform);
    if (distance === undefined || distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/** Reads the `platform` of a descriptor. */
export function readPlatform(node: JsonNode): Platform {
  return {
    os: node.get("os").string(),
    architecture: node.get("architecture").string(),
    variant: node.get("variant").optional((variant) => variant.string()),
    "os.version": node.get("os.version").optional((version) => version.string()),
    "os.features": node.get("os.features").optional(readStrings),
  };
}
