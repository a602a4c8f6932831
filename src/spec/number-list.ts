/** Lists of small numbers, as the kernel writes sets of CPUs and memory nodes. */

/**
 * The numbers in a list such as "0-3,7", rising and without repetition; `undefined` when `text` is no such list or a
 * number is `limit` or more. An empty text is the empty list. @see cpuset(7), "List format"
 */
export function parseNumberList(text: string, limit: number): number[] | undefined {
  if (text.trim() === "") return [];
  const numbers = new Set<number>();
  for (const part of text.split(",")) {
    const [, from, to] = /^\s*(\d{1,9})(?:-(\d{1,9}))?\s*$/.exec(part) ?? [];
    if (from === undefined) return undefined;
    const first = Number(from);
    const last = Number(to ?? from);
    if (first > last || last >= limit) return undefined;
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return [...numbers].sort((a, b) => a - b);
}
