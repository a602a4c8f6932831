/** The verdicts of several runtimes as a Markdown table, and its place in a document. */
import { explanations } from "./explanations.ts";
import type { Verdict } from "./run-file.ts";

/** The verdicts of one runtime. */
export interface Column {
  readonly title: string;
  readonly isGantry: boolean;
  readonly verdicts: readonly Verdict[];
}

const [begin, end] = ["<!-- validation: begin (npm run test:validation -- --write) -->", "<!-- validation: end -->"];

/** The table: a row for each file, a column for each runtime, and why Gantry does not pass the file. */
export function formatTable(columns: readonly Column[]): string {
  const files = columns[0]?.verdicts.map(({ file }) => file) ?? [];
  const rows = files.map((file) => [file, ...columns.map((column) => cell(verdictOf(column, file))), explain(columns, file)]);
  const totals = [
    "**files passed**",
    ...columns.map(({ verdicts }) => `${verdicts.filter(({ passed }) => passed).length} of ${verdicts.length}`),
    "",
  ];
  return [
    ["file", ...columns.map(({ title }) => title), "why Gantry does not pass"],
    ["---", ...columns.map(() => "---"), "---"],
    ...rows,
    totals,
  ]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");
}

/** The files that Gantry fails and that nothing excuses. */
export function unexplained(columns: readonly Column[]): string[] {
  return columns
    .filter(({ isGantry }) => isGantry)
    .flatMap(({ verdicts }) => verdicts)
    .filter(({ file, passed }) => !passed && !(file in explanations))
    .map(({ file }) => file);
}

/** `document` with the table between its markers. Throws when it has none. */
export function withTable(document: string, table: string): string {
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`cannot write the table: the document lacks the lines ${begin} and ${end}`);
  return `${document.slice(0, from + begin.length)}\n\n${table}\n\n${document.slice(to)}`;
}

function verdictOf(column: Column, file: string): Verdict | undefined {
  return column.verdicts.find((verdict) => verdict.file === file);
}

/** "pass 4/0/0": good, bad and skipped points. */
function cell(verdict: Verdict | undefined): string {
  if (verdict === undefined) return "";
  const { ok, failed, skipped } = verdict.points;
  const again = verdict.attempts > 1 ? ` (attempt ${verdict.attempts})` : "";
  return `${verdict.passed ? "pass" : "**fail**"} ${ok}/${failed}/${skipped}${again}`;
}

function explain(columns: readonly Column[], file: string): string {
  const judged = columns.find(({ isGantry }) => isGantry) ?? columns.find((column) => verdictOf(column, file)?.passed === false);
  if (judged === undefined || verdictOf(judged, file)?.passed !== false) return "";
  const explanation = explanations[file];
  if (explanation !== undefined) return `${explanation[0]}: ${explanation[1]}`;
  return judged.isGantry ? "**not explained**" : "";
}
