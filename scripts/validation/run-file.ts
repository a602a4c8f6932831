/** Runs one test file of the suite against one runtime. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cleanUp } from "./clean.ts";
import type { TestedRuntime } from "./runtime.ts";
import { countPoints, isPass, reasonsIn, type Points } from "./tap.ts";

/** What became of a file. */
export interface Verdict {
  readonly file: string;
  readonly passed: boolean;
  readonly points: Points;
  /** 1, or more for a file that failed before and is known to depend on the machine's load. */
  readonly attempts: number;
  /** The lines that tell why it failed. */
  readonly reasons: readonly string[];
  /** What it left behind and was removed. */
  readonly left: readonly string[];
  readonly durationMs: number;
}

/** Files that poll once a second for five seconds at most, which a busy machine may not keep. No other file is tried twice. */
const flaky: ReadonlySet<string> = new Set(["kill", "killsig"]);
const maxAttempts = 3;

/** Where the suite is, and how long one file may take. */
export interface Suite {
  readonly directory: string;
  readonly limitMs: number;
  /** For the bundles. Each file gets a directory of its own in it. */
  readonly scratch: string;
}

/** Runs `file` against `runtime`, again when it is a flaky one and failed. Never throws for a failed test. */
export async function runFile(suite: Suite, runtime: TestedRuntime, file: string): Promise<Verdict> {
  for (let attempts = 1; ; attempts += 1) {
    const verdict = await attempt(suite, runtime, { file, attempts });
    if (verdict.passed || !flaky.has(file) || attempts === maxAttempts) return verdict;
  }
}

async function attempt(suite: Suite, runtime: TestedRuntime, what: { file: string; attempts: number }): Promise<Verdict> {
  const { file, attempts } = what;
  const directory = join(suite.scratch, file);
  mkdirSync(directory, { recursive: true });
  const started = performance.now();
  const ended = await runToEnd(suite, file, { RUNTIME: runtime.wrapper, TMPDIR: directory });
  const points = countPoints(ended.output);
  const passed = !ended.timedOut && isPass(ended.exitCode, points, ended.output);
  const why = ended.timedOut ? [`no end after ${suite.limitMs / 1000} s`] : [];
  return {
    file,
    passed,
    points,
    attempts,
    reasons: passed ? [] : [...why, ...reasonsIn(`${ended.errors}\n${ended.output}`, 6)],
    left: cleanUp(runtime, directory),
    durationMs: performance.now() - started,
  };
}

interface Ended {
  readonly exitCode: number;
  readonly timedOut: boolean;
  readonly output: string;
  readonly errors: string;
}

/** Runs one program of the suite, killed at the limit. Its output goes to files: a container that stays would hold a pipe open. */
async function runToEnd(suite: Suite, file: string, environment: Readonly<Record<string, string>>): Promise<Ended> {
  const [output, errors] = [join(suite.scratch, "output"), join(suite.scratch, "errors")];
  const descriptors = [openSync(output, "w"), openSync(errors, "w")] as const;
  const child = spawn(join(suite.directory, "validation", file, `${file}.t`), [], {
    // runtimetest and the archive of the root filesystem are found from here.
    cwd: suite.directory,
    env: { ...process.env, ...environment },
    stdio: ["ignore", ...descriptors],
    // A group of its own: at the limit, what the file has started ends with it.
    detached: true,
  });
  for (const descriptor of descriptors) closeSync(descriptor);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, suite.limitMs);
  const exitCode = await new Promise<number>((resolve) => {
    child.once("error", () => resolve(127));
    child.once("exit", (code) => resolve(code ?? 128));
  });
  clearTimeout(timer);
  return { exitCode, timedOut, output: readFileSync(output, "latin1"), errors: readFileSync(errors, "latin1") };
}
