/** The container's process: its limits, directory, and the program it becomes. */
import type { Step } from "#program/encode.ts";
import type { ConfigProcess } from "#spec/runtime-config.ts";
import { numberOfRlimit } from "#spec/rlimit.ts";
import { normalizePath, step } from "./context.ts";

/** Where execvp() looks when there is no PATH. @see confstr(3), _CS_PATH */
const defaultPath = "/bin:/usr/bin";

/** Compiles `process.rlimits`, `process.cwd` and `process.user.umask`: what is set while still root. */
export function compileSurroundings({ rlimits = [], cwd, user }: ConfigProcess): Step[] {
  return [
    ...rlimits.map(({ type, soft, hard }, index) =>
      step({ op: "rlimit", resource: numberOfRlimit(type) ?? 0, soft: toLimit(soft), hard: toLimit(hard) }, `/process/rlimits/${index}`),
    ),
    step({ op: "working-directory", path: normalizePath(cwd) }, "/process/cwd"),
    ...(user?.umask === undefined ? [] : [step({ op: "umask", mask: user.umask }, "/process/user/umask")]),
  ];
}

/** Compiles `process.args` and `process.env`, to which `added` variables come. */
export function compileExec({ args = [], env = [] }: ConfigProcess, added: readonly string[] = []): Step {
  const candidates = executableCandidates(args[0] ?? "", env);
  return step({ op: "exec", candidates, argv: args, env: [...env, ...added] }, "/process/args");
}

/** Finds out whether that can be executed, while there is still somebody to be told. */
export function compileExecutableCheck({ args = [], env = [] }: ConfigProcess): Step {
  return step({ op: "check-executable", candidates: executableCandidates(args[0] ?? "", env) }, "/process/args");
}

/**
 * The paths that execvp() would try for `file`: itself if it has a slash, else it in each directory of PATH.
 * @see exec(3); POSIX environment variables, PATH: an empty entry is the current directory
 */
export function executableCandidates(file: string, env: readonly string[]): string[] {
  if (file.includes("/")) return [file];
  // As in getenv(), the first of several counts.
  const path = env.find((entry) => entry.startsWith("PATH="))?.slice(5) ?? defaultPath;
  return path.split(":").map((directory) => (directory === "" ? `./${file}` : `${directory.replace(/\/+$/, "")}/${file}`));
}

/** JSON numbers cannot hold 2^64-1 (RLIM_INFINITY): it is read as 2^64. */
function toLimit(value: number): bigint {
  return value >= 2 ** 64 ? 2n ** 64n - 1n : BigInt(value);
}
