/** How far work on images has come, for people. */
import { formatSize } from "#base/units.ts";
import type { LoadProgress } from "#engine/requests.ts";
import type { CliContext } from "../context.ts";
import { shortId } from "./images.ts";

/** A line that is drawn over on a terminal; elsewhere one line when a layer is unpacked. Call `done` at the end, more than once if need be. */
export function progressPrinter(context: CliContext): { show: (progress: LoadProgress) => void; done: () => void } {
  let drawnAtMs = 0;
  let drawn = false;
  const clear = (): void => {
    if (drawn) context.output.writeError("\r\x1b[K");
    drawn = false;
  };
  return {
    show: (progress) => {
      const finished = progress.doneBytes >= progress.totalBytes;
      if (!context.output.interactive) {
        if (finished && progress.kind === "layer")
          context.output.writeError(
            `unpacked layer ${progress.index + 1}/${progress.count} ${shortId(progress.digest, false)}  ${formatSize(progress.totalBytes)}\n`,
          );
        return;
      }
      if (!finished && context.now() - drawnAtMs < 100) return;
      drawnAtMs = context.now();
      drawn = true;
      context.output.writeError(`\r\x1b[K\x1b[?7l${describe(progress)}\x1b[?7h`);
    },
    done: clear,
  };
}

function describe(progress: LoadProgress): string {
  const digest = shortId(progress.digest, false);
  const share = progress.totalBytes === 0 ? 1 : progress.doneBytes / progress.totalBytes;
  const size = `${formatSize(progress.doneBytes)} of ${formatSize(progress.totalBytes)}`;
  if (progress.kind === "blob") return `storing ${digest}  ${size}`;
  const bar = "=".repeat(Math.round(share * 24)).padEnd(24, " ");
  return `unpacking layer ${progress.index + 1}/${progress.count} ${digest} [${bar}] ${size}`;
}
