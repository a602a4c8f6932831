import { expect, test } from "bun:test";
import type { PullProgress } from "#engine/registry/pull.ts";
import type { CliContext } from "../context.ts";
import { transferDisplay } from "./transfer-progress.ts";

const digestOf = (index: number): string => `sha256:${String(index).padStart(2, "0").repeat(32)}`;

/** What stands on a terminal after `text`: only as much of one is played as the display needs. */
function screenAfter(text: string): string[] {
  const lines: string[] = [""];
  let row = 0;
  for (const [, up, clear, feed, plain] of text.matchAll(/\x1b\[(\d+)A\r|(\x1b\[J)|\x1b\[(?:K|\?7[lh])|(\n)|([^\x1b\n]+)/g)) {
    if (up !== undefined) row -= Number(up);
    else if (clear !== undefined) lines.splice(row, lines.length, "");
    else if (feed !== undefined) lines[++row] ??= "";
    else if (plain !== undefined) lines[row] = plain;
  }
  return lines;
}

function displayed(events: readonly PullProgress[], isOver: boolean): string[] {
  let text = "";
  let nowMs = 0;
  const output = { write: () => undefined, writeError: (part: string) => void (text += part), interactive: true };
  const display = transferDisplay({ output, now: () => (nowMs += 1000) } as unknown as CliContext, "people");
  for (const event of events) display.show(event);
  if (isOver) display.done();
  return screenAfter(text);
}

const digests = Array.from({ length: 30 }, (_, index) => digestOf(index));
const started = digests.map((digest): PullProgress => ({ kind: "blob", digest, doneBytes: 1, totalBytes: 2 }));
const ended = digests.slice(0, 20).map((digest): PullProgress => ({ kind: "blob-done", digest, totalBytes: 2, outcome: "fetched" }));

test("a block of many blobs is never higher than a small terminal, and what is done makes room", () => {
  const screen = displayed([...started, ...ended], false);
  expect(screen).toHaveLength(18);
  expect(screen[6]).toStartWith("202020202020 [");
  expect(screen[16]).toBe("… and 14 more");
});

test("at the end all of it stands there once", () => {
  const screen = displayed([...started, ...ended], true);
  expect(screen).toHaveLength(31);
  expect(screen.map((line) => line.slice(0, 12))).toEqual([...digests.map((digest) => digest.slice(7, 19)), ""]);
});
