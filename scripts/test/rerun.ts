/**
 * Which test files of a stage are run once more, alone. The slow suites drive other people's programs (podman, dockerd, registries) on
 * machines of two cores, and a file that fails beside all others may hold alone. It is counted by how it does then, and told as unsteady.
 */
import type { Counts, FileCounts } from "./counts.ts";

/** More files than this are no accident. */
const mostFiles = 4;

/** How a stage of bun tests has ended. */
export interface EndedTests {
  readonly exitCode: number;
  readonly timedOut: boolean;
  readonly output: string;
  readonly counts: Counts;
  readonly files: readonly FileCounts[];
}

/**
 * The files that are to be run again; none when the stage failed by anything but failing tests. bun leaves a file that does not load out of
 * its report, and its exit code is 1 as for a failing test: so each of `expected`, the files of the stage, must be in the report.
 */
export function filesToRunAgain(first: EndedTests, expected: readonly string[]): FileCounts[] {
  if (first.timedOut || first.exitCode !== 1) return [];
  if (/^# Unhandled error between tests$/m.test(first.output) || /^ *[1-9]\d* errors?$/m.test(first.output)) return [];
  const known = new Set(first.files.map(({ file }) => file));
  if (expected.length === 0 || expected.some((file) => !known.has(file))) return [];
  const failing = first.files.filter(({ counts }) => counts.failed > 0);
  const explained = failing.reduce((sum, { counts }) => sum + counts.failed, 0);
  return explained === first.counts.failed && failing.length <= mostFiles ? failing : [];
}

/** Whether a file that failed `before` holds: this time every test that it has passed, and none was left out. */
export function holdsAlone(before: FileCounts, alone: EndedTests): boolean {
  const { passed, failed, skipped } = alone.counts;
  if (alone.exitCode !== 0 || alone.timedOut || failed > 0 || passed === 0) return false;
  return passed + skipped >= before.tests && skipped <= before.counts.skipped;
}

/** The counts of a stage, with the file's first ones replaced. */
export function replaceCounts(all: Counts, before: Counts, after: Counts): Counts {
  return {
    passed: all.passed - before.passed + after.passed,
    failed: all.failed - before.failed + after.failed,
    skipped: all.skipped - before.skipped + after.skipped,
  };
}
