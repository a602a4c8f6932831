/** How results are shown: tables for people, JSON for programs. */
import { printableJson, replaceControls } from "#base/control-characters.ts";

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

/** How long ago `then` was, in words: "5 minutes". Both in ms since 1970. */
export function formatAge(thenMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - thenMs) / 1000));
  const steps: readonly (readonly [number, string])[] = [
    [60, "second"],
    [3600, "minute"],
    [86_400, "hour"],
    [86_400 * 14, "day"],
    [86_400 * 60, "week"],
    [86_400 * 730, "month"],
    [Number.POSITIVE_INFINITY, "year"],
  ];
  const sizes = [1, 60, 3600, 86_400, 86_400 * 7, 86_400 * 30, 86_400 * 365];
  const index = steps.findIndex(([limit]) => seconds < limit);
  const count = Math.floor(seconds / (sizes[index] ?? 1));
  const unit = steps[index]?.[1] ?? "year";
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
