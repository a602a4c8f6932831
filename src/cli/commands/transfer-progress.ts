/** How far a pull or push is: a bar for each blob on a terminal, one line for each event elsewhere, or events as JSON lines. */
import { formatSize } from "#base/units.ts";
import type { PullProgress } from "#engine/registry/pull.ts";
import type { CliContext } from "../context.ts";
import { formatJsonLine, printable } from "../output.ts";
import { shortId } from "./images.ts";

/** Takes events; `done` leaves the terminal as a reader wants it. May be called more than once. */
export interface ProgressDisplay {
  readonly show: (progress: PullProgress) => void;
  readonly done: () => void;
}

/** What is drawn, how often at most. */
const redrawMs = 80;
const barWidth = 26;
/** A block that is higher than the terminal could not be drawn over. */
const mostRows = 16;
/** A line that is longer than the terminal is wide is cut off: wrapped, it would be two lines, and the block lost its place. */
const withoutWrapping = (text: string): string => `\x1b[?7l${text}\x1b[?7h`;

/** The display that was asked for. */
export function transferDisplay(context: CliContext, kind: "quiet" | "json" | "people"): ProgressDisplay {
  if (kind === "quiet") return { show: () => undefined, done: () => undefined };
  if (kind === "json") return jsonDisplay(context);
  return context.output.interactive ? new Bars(context) : linesDisplay(context);
}

/** One JSON object a line; progress of one blob is told ten times a second at most. */
function jsonDisplay(context: CliContext): ProgressDisplay {
  const told = new Map<string, number>();
  return {
    show: (progress) => {
      if (progress.kind === "blob" || progress.kind === "layer") {
        const key = `${progress.kind} ${progress.digest}`;
        const isEnd = progress.doneBytes >= progress.totalBytes;
        if (!isEnd && context.now() - (told.get(key) ?? 0) < 100) return;
        told.set(key, context.now());
      }
      context.output.write(formatJsonLine(progress));
    },
    done: () => undefined,
  };
}

/** What is over is told, and nothing of what is under way. */
function linesDisplay(context: CliContext): ProgressDisplay {
  const line = (text: string): void => context.output.writeError(`${printable(text)}\n`);
  return {
    show: (progress) => {
      switch (progress.kind) {
        case "resolved":
          return line(`${progress.name}: ${progress.digest}`);
        case "blob-done":
          return line(`${shortId(progress.digest, false)}: ${wordFor(progress.outcome)} (${formatSize(progress.totalBytes)})`);
        case "layer":
          if (progress.doneBytes >= progress.totalBytes)
            line(`${shortId(progress.digest, false)}: unpacked (${progress.index + 1} of ${progress.count})`);
          return;
        case "notice":
          return line(progress.text);
        case "blob":
      }
    },
    done: () => undefined,
  };
}

interface Row {
  text: string;
  /** 0 to 1; undefined where there is nothing to measure. */
  share?: number;
  /** A layer is unpacked while it comes: how far that is says more than how much has come. */
  isUnpacking?: boolean;
}

/** A block of lines that is drawn over and over, in the order in which the blobs were first heard of. */
class Bars implements ProgressDisplay {
  readonly #context: CliContext;
  readonly #rows = new Map<string, Row>();
  #drawnLines = 0;
  #drawnAtMs = 0;

  constructor(context: CliContext) {
    this.#context = context;
  }

  readonly show = (progress: PullProgress): void => {
    if (progress.kind === "resolved") return this.#above(`${progress.name}: ${progress.digest}`);
    if (progress.kind === "notice") return this.#above(progress.text);
    const row = this.#rows.get(progress.digest) ?? { text: "" };
    this.#rows.set(progress.digest, row);
    if (progress.kind === "layer") row.isUnpacking = true;
    else if (row.isUnpacking === true) return;
    if (progress.kind === "blob-done") {
      row.text = `${wordFor(progress.outcome)} ${formatSize(progress.totalBytes)}`;
      delete row.share;
    } else {
      const verb = progress.kind === "blob" ? "" : "unpacking ";
      row.text = `${verb}${formatSize(progress.doneBytes)} of ${formatSize(progress.totalBytes)}`;
      row.share = progress.totalBytes === 0 ? 1 : progress.doneBytes / progress.totalBytes;
      if (progress.kind === "layer" && row.share >= 1) {
        row.text = `unpacked ${formatSize(progress.totalBytes)}`;
        delete row.share;
      }
    }
    if (row.share === undefined || this.#context.now() - this.#drawnAtMs >= redrawMs) this.#draw();
  };

  readonly done = (): void => {
    if (this.#drawnLines > 0) this.#draw(Number.POSITIVE_INFINITY);
    this.#drawnLines = 0;
    this.#rows.clear();
  };

  /** A line that stays, over the block. */
  #above(text: string): void {
    this.#context.output.writeError(`${this.#toTop()}${printable(text)}\x1b[K\n`);
    this.#drawnLines = 0;
    if (this.#rows.size > 0) this.#draw();
  }

  #draw(most = mostRows): void {
    this.#drawnAtMs = this.#context.now();
    // What is done makes room for what is not.
    let left = this.#rows.size - most;
    const shown = [...this.#rows].filter(([, { share }]) => !(left > 0 && share === undefined && left-- > 0)).slice(0, most);
    const lines = shown.map(([digest, { text, share }]) => {
      const bar = share === undefined ? "" : `[${"=".repeat(Math.round(share * barWidth)).padEnd(barWidth)}] `;
      return `${shortId(digest, false)} ${bar}${text}\x1b[K\n`;
    });
    if (shown.length < this.#rows.size) lines.push(`… and ${this.#rows.size - shown.length} more\x1b[K\n`);
    this.#context.output.writeError(withoutWrapping(`${this.#toTop()}\x1b[J${lines.join("")}`));
    this.#drawnLines = lines.length;
  }

  #toTop(): string {
    return this.#drawnLines === 0 ? "" : `\x1b[${this.#drawnLines}A\r`;
  }
}

function wordFor(outcome: string): string {
  switch (outcome) {
    case "present":
      return "already there";
    case "mounted":
      return "mounted";
    case "skipped":
      return "left out";
    default:
      return "done";
  }
}
