/** How results are shown: tables for people, JSON for programs. */
import { printableJson, replaceControls } from "#base/control-characters.ts";
import { formatRoughDuration } from "#base/units.ts";

/** Where a command writes. */
export interface Output {
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** True when standard error is a terminal: progress may then be drawn in place. */
  readonly interactive: boolean;
}

/** Rows under a header, columns as wide as their widest cell; control characters are shown, not sent. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows].map((row) => row.map(printable));
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("   ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** JSON for programs, indented so that people can read it too; text in it may be foreign. */
export function formatJson(value: unknown): string {
  return `${printableJson(JSON.stringify(value, null, 2))}\n`;
}

/** `text` without anything that a terminal would obey (names from images and registries are foreign). */
export function printable(text: string): string {
  return replaceControls(text);
}

/** JSON on one line, for programs that read line by line. */
export function formatJsonLine(value: unknown): string {
  return `${printableJson(JSON.stringify(value))}\n`;
}

/** How long ago `thenMs` was, as docker's listings say it: `5 minutes ago`. Both in ms since 1970. */
export function formatAge(thenMs: number, nowMs: number): string {
  return `${formatRoughDuration(Math.max(0, nowMs - thenMs))} ago`;
}
