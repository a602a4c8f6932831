/** libseccomp's filters for profiles, made by a small program that calls it as runc does. */
import { existsSync } from "node:fs";
import { seccompReturnValue, seccompOperators } from "#spec/seccomp.ts";
import type { Profile } from "#runtime/compile/seccomp/filter.ts";

const source = `${import.meta.dir}/reference.c`;

/** Why there is no reference here; undefined when there is. */
export const referenceMissing: string | undefined =
  process.arch !== "x64"
    ? "the reference compares filters of x86_64"
    : Bun.which("cc") === null
      ? "there is no C compiler"
      : existsSync("/usr/include/seccomp.h")
        ? undefined
        : "libseccomp-dev is not installed";

/** Builds the program in `directory` and returns its path. */
export function buildReference(directory: string): string {
  const path = `${directory}/reference`;
  const { exitCode, stderr } = Bun.spawnSync(["cc", "-O1", "-o", path, source, "-lseccomp"]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  return path;
}

/** Filters of `profiles`; undefined for one that libseccomp refuses. `optimize` 2 is what runc uses for long profiles. */
export function referenceFilters(program: string, profiles: readonly Profile[], optimize: 1 | 2 = 1): (Uint8Array | undefined)[] {
  const { stdout, exitCode } = Bun.spawnSync([program], {
    stdin: Buffer.from(profiles.map((profile) => describe(profile, optimize)).join("")),
  });
  if (exitCode !== 0) throw new Error(`the reference ended with ${exitCode}`);
  const filters: (Uint8Array | undefined)[] = [];
  for (let at = 0; at < stdout.length;) {
    const size = stdout.readUInt32LE(at);
    filters.push(size === 0 ? undefined : stdout.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return filters;
}

function describe(profile: Profile, optimize: number): string {
  const otherwise = seccompReturnValue(profile.defaultAction, profile.defaultErrnoRet);
  const lines = [`default ${otherwise} ${optimize}`];
  for (const name of profile.architectures ?? []) lines.push(`arch ${name.slice("SCMP_ARCH_".length).toLowerCase()}`);
  for (const { names, action, errnoRet, args = [] } of profile.syscalls ?? []) {
    const answer = seccompReturnValue(action, errnoRet);
    if (answer === otherwise) continue;
    const conditions = args.map(
      ({ index, op, value, valueTwo = 0 }) => `${index} ${seccompOperators.indexOf(op) + 1} ${value} ${valueTwo}`,
    );
    // As runc: conditions on one argument become rules of their own.
    const isRepeated = new Set(args.map(({ index }) => index)).size < args.length;
    for (const name of names) {
      if (isRepeated) for (const condition of conditions) lines.push(`rule ${name} ${answer} 1 ${condition}`);
      else lines.push(`rule ${name} ${answer} ${conditions.length} ${conditions.join(" ")}`);
    }
  }
  return `${[...lines, "end"].join("\n")}\n`;
}
