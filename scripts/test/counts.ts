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

/** One test file of a JUnit report. */
export interface FileCounts {
  /** Relative to the directory that bun ran in. */
  readonly file: string;
  readonly counts: Counts;
  /** How many tests the report names. A hook that failed is counted as failed, and is none. */
  readonly tests: number;
  /** Name and complaint of the first that failed; empty when none did. */
  readonly firstFailure: string;
}

/** The files of a JUnit report: the suites directly below the outermost element. A file that did not load is not among them. */
export function readJunitFiles(xml: string): FileCounts[] {
  const found: FileCounts[] = [];
  let [depth, start] = [0, 0];
  for (const { 0: tag, index } of xml.matchAll(/<\/?testsuite\b[^>]*>/g)) {
    if (tag.startsWith("</")) depth--;
    else if (depth++ === 0) start = index;
    if (tag.endsWith("/>")) depth--;
    if (depth === 0) found.push(readJunitFile(xml.slice(start, index)));
  }
  return found;
}

function readJunitFile(xml: string): FileCounts {
  const head = xml.slice(0, xml.indexOf(">"));
  const file = /\bfile="([^"]*)"/.exec(head)?.[1] ?? "";
  const cases = xml.split("<testcase ").slice(1);
  const failed = cases.find((text) => text.includes("<failure"));
  const name = /^name="([^"]*)"/.exec(failed ?? "")?.[1] ?? "";
  const message = /<failure[^>]*\bmessage="([^"]*)"/.exec(failed ?? "")?.[1] ?? "";
  return {
    file: unescape(file),
    counts: countJunit(head.replace("<testsuite", "<testsuites") + ">"),
    tests: cases.filter((text) => !text.startsWith('name="(unnamed)"')).length,
    firstFailure: failed === undefined ? "" : `${unescape(name)}: ${unescape(message).split("\n")[0] ?? ""}`,
  };
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&", "#10": "\n" };

function unescape(text: string): string {
  return text.replaceAll(/&(lt|gt|quot|apos|amp|#10);/g, (_, name: string) => entities[name] ?? "");
}

/** The last line that reads `N passed, N failed` (and perhaps `, N skipped`); all zero when there is none. */
export function countLastLine(output: string): Counts {
  const lines = output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm);
  const last = [...lines].at(-1);
  return last === undefined ? none : { passed: Number(last[1]), failed: Number(last[2]), skipped: Number(last[3] ?? 0) };
}
