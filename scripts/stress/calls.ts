/** Calls of the runtime: each waited for with a limit, some of them killed on the way. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

/** A runtime under stress. */
export interface Subject {
  /** The executable. */
  readonly path: string;
  readonly stateRoot: string;
  /** Output of calls goes to files here: a container would keep a pipe open. */
  readonly scratch: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** How a call ended. */
export interface Called {
  readonly words: readonly string[];
  /** 128 and the signal's number when a signal ended it. */
  readonly code: number;
  readonly errors: string;
  /** After how many milliseconds it was killed; absent when it was not, or had ended before. */
  readonly killedAfterMs?: number;
  readonly durationMs: number;
}

/** Nothing that a runtime does here may take longer, on a machine with twice as many workers as CPUs. */
const limitMs = 30_000;

/** The usual duration of each verb in milliseconds, learned from the calls that were left alone. */
const usual = new Map<string, number>();

/** Numbers from 0 to 1 that are the same in each run of a seed. */
export function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    // An xorshift generator with a multiplication: short, and good enough to scatter moments.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (Math.imul(state, 0x9e3779b1) >>> 0) / 2 ** 32;
  };
}

let count = 0;

/** Runs the runtime with `words` to its end. With `chance`, SIGKILL ends it at a random moment of its usual duration. */
export async function call(subject: Subject, words: readonly string[], chance?: () => number): Promise<Called> {
  const file = join(subject.scratch, `errors-${count++}`);
  const verb = words[0] ?? "";
  const started = performance.now();
  const child = Bun.spawn([subject.path, "--root", subject.stateRoot, ...words], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(file),
    cwd: subject.scratch,
    env: subject.environment,
  });
  const ended = child.exited;
  const killedAfterMs = chance === undefined ? undefined : await killSome(child, chance, (usual.get(verb) ?? 20) * 1.2);
  const late = setTimeout(() => child.kill("SIGABRT"), limitMs);
  const code = await ended;
  clearTimeout(late);
  const durationMs = performance.now() - started;
  if (chance === undefined && verb !== "run") usual.set(verb, 0.9 * (usual.get(verb) ?? durationMs) + 0.1 * durationMs);
  const errors = readFileSync(file, "utf8").trim();
  rmSync(file);
  // One whose compiler was killed fails by itself.
  const isKilled = killedAfterMs !== undefined && code !== 0;
  return { words, code, errors, durationMs, ...(isKilled ? { killedAfterMs } : {}) };
}

/** Kills the runtime's process, or at times the compiler that it has started, within `spanMs`. */
async function killSome(child: Bun.Subprocess, chance: () => number, spanMs: number): Promise<number> {
  const afterMs = chance() * spanMs;
  // The runtime works on the other CPUs meanwhile; timers are too coarse for what takes two milliseconds.
  if (afterMs < 1.5) Bun.sleepSync(afterMs);
  else await Bun.sleep(afterMs);
  const compiler = chance() < 0.15 ? compilerOf(child.pid) : undefined;
  if (compiler === undefined) child.kill("SIGKILL");
  else killProcess(compiler);
  return afterMs;
}

function compilerOf(pid: number): number | undefined {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return children.map(Number).find((one) => one > 0 && readFileSync(`/proc/${one}/comm`, "utf8").startsWith("gantry\n"));
  } catch {
    // One of them has ended.
    return undefined;
  }
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** One line about a call, for reports. */
export function describeCall({ words, code, errors, killedAfterMs, durationMs }: Called): string {
  const fate = `code ${code}${killedAfterMs === undefined ? "" : `, killed after ${killedAfterMs.toFixed(2)} ms`}`;
  return `${words.join(" ")}: ${fate}, ${durationMs.toFixed(1)} ms${errors === "" ? "" : `: ${errors.slice(0, 300)}`}`;
}
