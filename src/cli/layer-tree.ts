/** The files of a layer as a tree with sums, and as lines of text. */
import { displayByteString, type ByteString } from "#base/byte-string.ts";
import { formatSize } from "#base/units.ts";
import type { LayerFile } from "#image/layer/report.ts";

/** A path with what is below it. */
export interface Folder {
  readonly children: Map<string, Folder>;
  /** What the layer says of the path itself. */
  file: LayerFile | undefined;
  /** Bytes of all files here and below. */
  sizeBytes: number;
  /** How many of them there are. */
  files: number;
}

/** The tree of `files`. */
export function folderOf(files: readonly LayerFile[]): Folder {
  const root = emptyFolder();
  for (const file of files) {
    let folder = root;
    add(folder, file);
    for (const name of file.path.split("/")) {
      let child = folder.children.get(name);
      if (child === undefined) {
        child = emptyFolder();
        folder.children.set(name, child);
      }
      folder = child;
      add(folder, file);
    }
    folder.file = file;
  }
  return root;
}

function emptyFolder(): Folder {
  return { children: new Map(), file: undefined, sizeBytes: 0, files: 0 };
}

function add(folder: Folder, file: LayerFile): void {
  folder.sizeBytes += file.sizeBytes;
  folder.files++;
}

const letters = { added: "A", changed: "C", deleted: "D" } as const;

/** Lines for people: what lies deeper than `depth` is summed up in its directory. */
export function formatFolder(folder: Folder, depth: number, indent = "  "): string[] {
  return [...folder.children].flatMap(([name, child]) => {
    const isFolder = child.children.size > 0;
    const letter = child.file === undefined ? " " : letters[child.file.change];
    const count = isFolder ? `, ${child.files} ${child.files === 1 ? "path" : "paths"}` : "";
    const line = `${indent}${letter} ${displayByteString(name as ByteString)}${isFolder || child.file?.isDirectory === true ? "/" : ""}  ${formatSize(child.sizeBytes)}${count}`;
    return [line, ...(isFolder && depth > 1 ? formatFolder(child, depth - 1, `${indent}  `) : [])];
  });
}
