/** What a test file of the suite printed: lines in the Test Anything Protocol, with YAML or JSON between them. */

/** The test points of one file. */
export interface Points {
  readonly ok: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Counts the test points in `text`. A point that is to be skipped is neither good nor bad. */
export function countPoints(text: string): Points {
  let [ok, failed, skipped] = [0, 0, 0];
  for (const line of text.split("\n")) {
    if (/^(?:not )?ok\b.*#\s*skip\b/i.test(line)) skipped += 1;
    else if (/^ok\b/.test(line)) ok += 1;
    else if (/^not ok\b/.test(line)) failed += 1;
  }
  return { ok, failed, skipped };
}

/**
 * Whether a file passed. Some files print no test points at all, only diagnostics: then one with an `error` is a failure, because those
 * files end with 0 nevertheless.
 */
export function isPass(exitCode: number, points: Points, text: string): boolean {
  if (exitCode !== 0 || points.failed > 0) return false;
  return points.ok + points.skipped > 0 || !/^\s*"error":/m.test(text);
}

/** The lines that tell why a file failed: failed points and errors, at most `limit` of them. */
export function reasonsIn(text: string, limit: number): string[] {
  const telling = text
    .split("\n")
    .filter((line) => /^not ok\b|^\s*"(?:error|stderr)":|fail|error|panic/i.test(line) && !/^ok\b/.test(line));
  return telling.slice(0, limit).map((line) => line.trim().slice(0, 400));
}
