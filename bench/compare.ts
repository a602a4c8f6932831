/**
 * Compares commands by alternating rounds, so that what else the machine does falls on all of them alike.
 *
 * CPU times are the kernel's account of the whole process tree that was waited for (wait4), wall time is ours. The minimum is the
 * number to compare on a machine with other work; user and system time hardly depend on that.
 *
 * Peak memory is the resident set of the largest process of that tree (ru_maxrss), and needs Debian's `time`: a process that this one starts
 * itself is born with the size of this one, because exec counts the memory that it leaves behind.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";

/** One thing that is measured. */
export interface Contender {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** Before and after each run; not part of the time. */
  readonly prepare?: () => void;
  readonly cleanUp?: () => void;
}

/** What the runs of one contender took. */
export interface Result {
  readonly name: string;
  readonly rounds: number;
  readonly wallMinMs: number;
  readonly wallMedianMs: number;
  readonly userMedianMs: number;
  readonly systemMedianMs: number;
  readonly cpuMinMs: number;
  /** The largest of all runs; undefined when it was not asked for, or cannot be told. */
  readonly peakMegabytes: number | undefined;
}

/** How often is measured, and what. */
export interface Rounds {
  readonly rounds: number;
  /** Rounds before, which do not count. */
  readonly warmups?: number;
  /** Whether peak memory is wanted. It costs each run a process more, about 1 ms. */
  readonly memory?: boolean;
}

/** All results, and how many times as long each took as the first. */
export interface Comparison {
  readonly title: string;
  readonly loadBefore: number;
  readonly loadAfter: number;
  readonly results: readonly Result[];
  readonly ratios: readonly { readonly name: string; readonly wallMin: number; readonly wallMedian: number; readonly cpuMin: number }[];
}

interface Sample {
  readonly wallMs: number;
  readonly userMs: number;
  readonly systemMs: number;
  readonly peakMegabytes: number | undefined;
}

/** Runs every contender `rounds` times in turn, after `warmups` rounds that do not count. Throws when one fails. */
export function compare(title: string, contenders: readonly Contender[], options: Rounds): Comparison {
  const samples = new Map(contenders.map((each) => [each.name, [] as Sample[]]));
  const loadBefore = loadavg()[0] ?? 0;
  for (let round = -(options.warmups ?? 1); round < options.rounds; round += 1) {
    // Every other round backwards: nobody always runs after the same one.
    for (const contender of round % 2 === 0 ? contenders : [...contenders].reverse()) {
      const sample = measure(contender, options.memory === true);
      if (round >= 0) samples.get(contender.name)?.push(sample);
    }
  }
  const results = contenders.map((each) => summarise(each.name, samples.get(each.name) ?? []));
  const [first] = results;
  const ratios = results.map((each) => ({
    name: each.name,
    wallMin: ratio(each.wallMinMs, first?.wallMinMs),
    wallMedian: ratio(each.wallMedianMs, first?.wallMedianMs),
    cpuMin: ratio(each.cpuMinMs, first?.cpuMinMs),
  }));
  return { title, loadBefore, loadAfter: loadavg()[0] ?? 0, results, ratios };
}

/** Prints a table for people, or JSON when the program was called with --json. */
export function report(comparison: Comparison): void {
  if (process.argv.includes("--json")) {
    console.log(JSON.stringify(comparison));
    return;
  }
  console.log(`${comparison.title} (load ${comparison.loadBefore.toFixed(1)} to ${comparison.loadAfter.toFixed(1)})`);
  const rows = comparison.results.map((each, index) => [
    each.name,
    String(each.rounds),
    ...[each.wallMinMs, each.wallMedianMs, each.userMedianMs, each.systemMedianMs, each.cpuMinMs].map((value) => value.toFixed(1)),
    each.peakMegabytes?.toFixed(0) ?? "-",
    `${comparison.ratios[index]?.wallMin.toFixed(2)}x`,
    `${comparison.ratios[index]?.cpuMin.toFixed(2)}x`,
  ]);
  printTable([["name", "rounds", "min ms", "median", "user", "system", "cpu min", "peak MB", "min", "cpu"], ...rows]);
}

/** Prints rows with the columns aligned: the first to the left, the others to the right. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows)
    console.log(
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  "),
    );
}

/** The middle of `values`. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** The value after `--NAME=` on the command line, as a number. */
export function numberOption(name: string, fallback: number): number {
  const found = process.argv.find((word) => word.startsWith(`--${name}=`));
  return found === undefined ? fallback : Number(found.slice(name.length + 3));
}

function measure(contender: Contender, memory: boolean): Sample {
  contender.prepare?.();
  const note = memory && Bun.which("time") !== null ? mkdtempSync(join(tmpdir(), "gantry-bench-")) : undefined;
  const words = note === undefined ? [] : ["time", "-q", "-o", join(note, "peak"), "-f", "%M"];
  const startedMs = performance.now();
  const result = Bun.spawnSync([...words, ...contender.command], {
    stdin: "ignore",
    ...(contender.directory === undefined ? {} : { cwd: contender.directory }),
    env: { ...process.env, ...contender.environment },
  });
  const wallMs = performance.now() - startedMs;
  if (result.exitCode !== 0) throw new Error(`cannot measure ${contender.name}: exit code ${result.exitCode}\n${result.stderr.toString()}`);
  contender.cleanUp?.();
  const peakMegabytes = note === undefined ? undefined : Number(readFileSync(join(note, "peak"), "utf8")) / 1024;
  if (note !== undefined) rmSync(note, { recursive: true });
  const { user, system } = result.resourceUsage.cpuTime;
  return { wallMs, userMs: Number(user) / 1000, systemMs: Number(system) / 1000, peakMegabytes };
}

function summarise(name: string, samples: readonly Sample[]): Result {
  const wall = samples.map((each) => each.wallMs);
  return {
    name,
    rounds: samples.length,
    wallMinMs: Math.min(...wall),
    wallMedianMs: median(wall),
    userMedianMs: median(samples.map((each) => each.userMs)),
    systemMedianMs: median(samples.map((each) => each.systemMs)),
    cpuMinMs: Math.min(...samples.map((each) => each.userMs + each.systemMs)),
    peakMegabytes: samples[0]?.peakMegabytes === undefined ? undefined : Math.max(...samples.map((each) => each.peakMegabytes ?? 0)),
  };
}

function ratio(value: number, base: number | undefined): number {
  return base === undefined || base === 0 ? 0 : value / base;
}
