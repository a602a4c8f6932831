/** The image `layers`: a hundred small layers, each with new, changed and deleted files: what a layer costs by itself. */
import { directory, file, whiteout } from "./cases/case.ts";
import type { TarEntry } from "./tar-writer.ts";

const layers = 100;
const filesPerLayer = 40;

/** The entries of each layer, lowest first. */
export function manyLayers(): (() => Iterable<TarEntry>)[] {
  return Array.from({ length: layers }, (_, index) => () => entriesOf(index));
}

function* entriesOf(index: number): Iterable<TarEntry> {
  if (index === 0) yield directory("srv");
  yield directory(folder(index));
  for (let each = 0; each < filesPerLayer; each += 1) yield file(`${folder(index)}/file-${each}`, `${index}.${each} `.repeat(200));
  if (index === 0) return;
  for (let each = 0; each < 4; each += 1) yield file(`${folder(index - 1)}/file-${each}`, `changed by ${index}`);
  for (let each = 4; each < 8; each += 1) yield whiteout(`${folder(index - 1)}/file-${each}`);
}

function folder(index: number): string {
  return `srv/folder-${index}`;
}
