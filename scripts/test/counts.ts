/** Reading how many tests passed, from what test programs print. */

/** Tests by outcome. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const none: Counts = { passed: 0, failed: 0, skipped: 0 };

/** The totals of a JUnit report's outermost element; all zero when there is none. */
export function countJunit(xml: string): Counts {
  const head = /<testsuites\b[^>]*>/.exec(xml)?.[0] ?? "";
  const attribute = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failed = attribute("failures") + attribute("errors");
  const skipped = attribute("skipped");
  return { passed: attribute("tests") - failed - skipped, failed, skipped };
}

/** The last line that reads `N passed, N failed` (and perhaps `, N skipped`); all zero when there is none. */
export function countLastLine(output: string): Counts {
  const lines = output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm);
  const last = [...lines].at(-1);
  return last === undefined ? none : { passed: Number(last[1]), failed: Number(last[2]), skipped: Number(last[3] ?? 0) };
}
