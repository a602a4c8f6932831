/** Layers on real trees, by the real executor. */
import { applyLayer } from "#image/layer/apply.ts";
import type { Place } from "#image/tree/survey.ts";
import { openProgramStream, openReadingStream } from "#program/spawn-node.ts";
import { digestOf } from "#spec/digest.ts";
import { executorPath } from "./executor-harness.ts";

/** Where trees are listed and read: below `directory`. */
export function placeAt(directory: string): Place {
  return { open: () => Promise.resolve(openReadingStream(executorPath())), setup: [{ op: "root", path: directory }] };
}

/** Applies `archive`, an uncompressed layer, to `tree`. */
export async function applyArchive(archive: Buffer, tree: string): Promise<void> {
  const digest = digestOf(archive);
  await applyLayer({
    source: (async function* () {
      yield archive;
      await Promise.resolve();
    })(),
    descriptor: { digest, size: archive.length, mediaType: "application/vnd.oci.image.layer.v1.tar" },
    diffId: digest,
    stream: openProgramStream(executorPath()),
    base: false,
    setup: [
      { op: "root", path: tree },
      { op: "enter-root", path: tree },
    ],
    teardown: [{ op: "leave-root" }],
    limits: { maxBytes: 1 << 30, maxEntries: 1e6 },
  });
}
