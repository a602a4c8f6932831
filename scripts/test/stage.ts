/** One stage of the test run: a command, how its outcome is counted, and the rule that a suite which ran nothing has failed. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { countJunit, countLastLine, readJunitFiles, type Counts } from "./counts.ts";
import { type EndedTests, filesToRunAgain, holdsAlone, replaceCounts } from "./rerun.ts";

/**
 * How a stage is counted:
 * - `check`: one test, passed when the command ends with 0.
 * - `bun`: the totals of bun's JUnit report.
 * - `last-line`: the command's own last line, `N passed, N failed`.
 */
export type Counting = "check" | "bun" | "last-line";

/** A stage. `command` starts with the program; paths are relative to the project's root. */
export interface Stage {
  readonly name: string;
  readonly suite: "fast" | "slow";
  readonly counting: Counting;
  readonly command: readonly string[];
  /** The stage is killed after this long and has failed. */
  readonly limitMs: number;
  /** Why skipping every test is right here (the suite needs root and we are not); undefined when it would be a failure. */
  readonly maySkipAll?: string;
  /** For bun tests: the command to which a test file is added that failed, to run it once more. Absent: what failed has failed. */
  readonly alone?: readonly string[];
  /** The test files of the stage, relative to the project's root; needed with `alone`. */
  readonly files?: readonly string[];
}

/** What became of a stage. */
export interface StageResult {
  readonly counts: Counts;
  readonly output: string;
  readonly durationMs: number;
  readonly skipReasons: readonly string[];
  /** What passed only when it was run again, a line each. */
  readonly unsteady: readonly string[];
}

const root = new URL("../..", import.meta.url).pathname;
/** How long output may still come after the command itself has ended. */
const graceMs = 2000;

/** Runs `stage` to its end. A stage whose command cannot be started has failed; nothing is thrown. */
export async function runStage(stage: Stage): Promise<StageResult> {
  const started = performance.now();
  const first = await runOnce(stage);
  const settled = stage.alone === undefined ? { ...first, unsteady: [] } : await runFailedAlone(stage, first);
  const verdict = judge(stage, settled);
  const late = first.timedOut ? `the stage was ended after ${stage.limitMs / 1000} s` : "";
  return {
    counts: verdict.counts,
    output: [settled.output, late, verdict.why].filter((note) => note !== "").join("\n"),
    durationMs: performance.now() - started,
    skipReasons: stage.maySkipAll !== undefined && settled.counts.skipped > 0 ? [stage.maySkipAll] : [],
    unsteady: settled.unsteady,
  };
}

/** Runs the files that failed once more, one after the other. The exit code is 0 when each of them holds now. */
async function runFailedAlone(stage: Stage, first: EndedTests): Promise<EndedTests & { readonly unsteady: readonly string[] }> {
  let { counts, output, exitCode } = first;
  const unsteady: string[] = [];
  const failed = filesToRunAgain(first, stage.files ?? []);
  for (const before of failed) {
    const again = { ...stage, command: [...(stage.alone ?? []), resolve(root, before.file)], limitMs: stage.limitMs / failed.length };
    const second = await runOnce(again);
    if (holdsAlone(before, second)) {
      counts = replaceCounts(counts, before.counts, second.counts);
      unsteady.push(`${before.file} (passed when run alone; first failure: ${before.firstFailure})`);
    } else output += `\n${before.file} failed alone, too:\n${second.output}`;
  }
  if (unsteady.length > 0 && unsteady.length === failed.length) exitCode = 0;
  return { ...first, counts, output, exitCode, unsteady };
}

async function runOnce(stage: Stage): Promise<EndedTests> {
  const scratch = mkdtempSync(join(tmpdir(), "gantry-test-"));
  const report = join(scratch, "junit.xml");
  try {
    const ended = await runCommand(stage, report);
    const xml = existsSync(report) ? readFileSync(report, "utf8") : "";
    return { ...ended, counts: count(stage.counting, ended, xml), files: readJunitFiles(xml) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function runCommand(stage: Stage, report: string): Promise<{ exitCode: number; output: string; timedOut: boolean }> {
  const reporter = stage.counting === "bun" ? ["--reporter=junit", `--reporter-outfile=${report}`] : [];
  // Package binaries come first, so that a global tsc or oxlint of another version is never the one that runs.
  const environment = { ...process.env, PATH: `${root}node_modules/.bin:${process.env["PATH"] ?? ""}`, FORCE_COLOR: "0", NO_COLOR: "1" };
  try {
    const stdio: ["ignore", "pipe", "pipe"] = ["ignore", "pipe", "pipe"];
    const child = Bun.spawn([...stage.command, ...reporter], { cwd: root, env: environment, stdio, detached: true });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child.pid);
    }, stage.limitMs);
    const release = killWithUs(child.pid);
    const [stdout, stderr] = [new OutputReader(child.stdout), new OutputReader(child.stderr)];
    const exitCode = await child.exited;
    clearTimeout(timer);
    release();
    // A grandchild that was left behind may hold the pipes open for ever: what is there after a moment is the output.
    await Promise.race([Promise.all([stdout.ended, stderr.ended]), Bun.sleep(graceMs)]);
    return { exitCode, output: [stdout.text(), stderr.text()].filter((text) => text !== "").join("\n"), timedOut };
  } catch (error) {
    return { exitCode: 127, output: `cannot run ${stage.command[0] ?? ""}: ${String(error)}`, timedOut: false };
  }
}

/** Ends a stage with the daemons that its tests have started, which would disturb the stages to come. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** A stage is a group of its own, so that it does not get the signals that end us. Returns what takes this off again. */
function killWithUs(pid: number): () => void {
  const end = (): never => {
    killGroup(pid);
    process.exit(143);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.once(signal, end);
  return () => {
    for (const signal of signals) process.off(signal, end);
  };
}

/** Reads a stream as it comes, so that what has come is there even if the end never does. */
class OutputReader {
  readonly ended: Promise<void>;
  readonly #chunks: Uint8Array[] = [];

  constructor(stream: ReadableStream<Uint8Array>) {
    this.ended = this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of stream) this.#chunks.push(chunk);
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}

function count(counting: Counting, ended: { exitCode: number; output: string }, xml: string): Counts {
  if (counting === "check") return { passed: ended.exitCode === 0 ? 1 : 0, failed: ended.exitCode === 0 ? 0 : 1, skipped: 0 };
  if (counting === "last-line") return countLastLine(ended.output);
  return countJunit(xml);
}

/** Turns the three ways in which a suite can lie (ran nothing, skipped all, crashed after its counts) into failures. */
function judge(stage: Stage, ended: { counts: Counts; exitCode: number }): { counts: Counts; why: string } {
  const { counts } = ended;
  const failure = (why: string): { counts: Counts; why: string } => ({ counts: { ...counts, failed: 1 }, why: `${stage.name}: ${why}` });
  if (counts.failed > 0) return { counts, why: "" };
  if (ended.exitCode !== 0) return failure(`no test failed, but the command ended with ${ended.exitCode}`);
  if (counts.passed + counts.skipped === 0) return failure("the stage ran no tests");
  if (counts.passed === 0 && stage.maySkipAll === undefined) return failure("every test was skipped");
  return { counts, why: "" };
}
