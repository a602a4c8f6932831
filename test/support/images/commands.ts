/** Runs a tool that a test needs, or says which one failed and what it printed. */
import { spawnSync } from "node:child_process";

/** Runs `command` and returns its standard output. Throws with its error output when it fails or is not installed. */
export function tool(command: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}): string {
  const [program = "", ...rest] = command;
  const result = spawnSync(program, rest, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  });
  if (result.error !== undefined) throw new Error(`cannot run ${program}: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`cannot run ${command.join(" ")}: exit code ${result.status}\n${result.stderr.trim()}`);
  return result.stdout;
}

/** Whether every one of `programs` is on the PATH. */
export function installed(...programs: readonly string[]): boolean {
  return programs.every((program) => spawnSync("sh", ["-c", 'command -v "$1"', "sh", program]).status === 0);
}
