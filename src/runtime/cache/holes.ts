/** Where the names of one container are in what was compiled for it: where compiling with other names gives other bytes. */
import type { Hole } from "./entry.ts";

/**
 * The places of `names` in `bytes`, which become `others` in `renamed`. Undefined when the two differ in more than names: then the
 * names mean something to the compiler, and nothing can be said of a third container.
 */
export function findHoles(
  bytes: Uint8Array,
  renamed: Uint8Array,
  { names, others }: { readonly names: readonly string[]; readonly others: readonly string[] },
): Hole[] | undefined {
  if (bytes.length !== renamed.length) return undefined;
  const [before, after] = [bytes, renamed].map((one) => Buffer.from(one.buffer, one.byteOffset, one.byteLength)) as [Buffer, Buffer];
  // Longest first: the id begins with its short form.
  const known = names.map((text, name) => ({ name, text, other: others[name] ?? "" })).filter(({ text }) => text !== "");
  known.sort((a, b) => b.text.length - a.text.length);
  const holes: Hole[] = [];
  for (let at = nextDifference(before, after, 0); at < before.length; at = nextDifference(before, after, at)) {
    const here = at;
    const found = known.find(({ text, other }) => isAt(before, here, text) && isAt(after, here, other));
    if (found === undefined) return undefined;
    holes.push({ at, name: found.name });
    at += found.text.length;
  }
  return holes;
}

/** Where the two differ from `at` on; their length when they do not. Most of it is compared by the buffer: here, each byte costs. */
function nextDifference(before: Buffer, after: Buffer, at: number): number {
  const { length } = before;
  let place = at;
  for (const size of [1024, 64]) {
    while (place + size <= length && before.compare(after, place, place + size, place, place + size) === 0) place += size;
  }
  while (place < length && before[place] === after[place]) place++;
  return place;
}

function isAt(bytes: Buffer, at: number, text: string): boolean {
  return bytes.toString("latin1", at, at + text.length) === text;
}
