/** Reads a whole archive into values that tests can compare. */
import type { TarHeader } from "./header.ts";
import { TarReader } from "./read.ts";

/** An entry with its file's content, holes filled with zeros. */
export interface ReadEntry extends TarHeader {
  readonly content: Buffer;
}

/** The entries of `archive`, pushed in pieces whose lengths repeat `cuts`; in one piece without. Checks the order of calls. */
export function readArchive(archive: Uint8Array, cuts: readonly number[] = [archive.length]): ReadEntry[] {
  const entries: ReadEntry[] = [];
  let open: { header: TarHeader; content: Buffer; end: number } | undefined;
  const reader = new TarReader({
    entry: (header) => {
      if (open !== undefined) throw new Error("an entry began within another");
      open = { header, content: Buffer.alloc(Math.min(header.size, 1 << 24)), end: 0 };
    },
    data: (bytes, offset) => {
      if (open === undefined || offset < open.end || offset + bytes.length > open.header.size || bytes.length === 0)
        throw new Error("data out of place");
      open.content.set(bytes, offset);
      open.end = offset + bytes.length;
    },
    endEntry: () => {
      if (open === undefined) throw new Error("no entry to end");
      entries.push({ ...open.header, content: open.content });
      open = undefined;
    },
  });
  for (let at = 0, index = 0; at < archive.length; index++) {
    const size = cuts[index % cuts.length] ?? archive.length;
    reader.push(archive.subarray(at, at + size));
    at += size;
  }
  reader.end();
  return entries;
}
