/** What a layer case is: entries per layer, and what must be seen of them after all layers are applied. */
import type { TreeEntry } from "../../tree.ts";
import type { TarEntry } from "../tar-writer.ts";

/** Facts of one path after the last layer; `"absent"` when nothing may be there. */
export type Expected = Partial<TreeEntry> | "absent";

/**
 * One question about layers, in a directory of its own (`cases/NAME`), so that all cases fit one image.
 *
 * Names in entries, hard link targets and expectations are relative to that directory. The first layer of the case is given
 * the directory itself unless `bare`.
 */
export interface LayerCase {
  readonly name: string;
  readonly layers: readonly (readonly TarEntry[])[];
  readonly expect: Readonly<Record<string, Expected>>;
  /** The authority: image-spec section, or the practice that decides where the spec is silent. */
  readonly why: string;
  readonly bare?: boolean;
  /** Not part of the images with all cases: where it is refused, the others shall still be compared. */
  readonly apart?: boolean;
}

/** The directory of a case in the image, without a slash at its end. */
export function caseDirectory(name: string): string {
  return `cases/${name}`;
}

/** The entries of layer `index` of `layerCase`, with the names as they stand in the archive. */
export function caseEntries(layerCase: LayerCase, index: number): TarEntry[] {
  const base = caseDirectory(layerCase.name);
  const entries = (layerCase.layers[index] ?? []).map((entry) => ({
    ...entry,
    name: `${base}/${entry.name}`,
    ...(entry.type === "hardlink" ? { link: `${base}/${entry.link ?? ""}` } : {}),
  }));
  if (index > 0 || layerCase.bare === true) return entries;
  return [{ name: `${base}/`, type: "directory" }, ...entries];
}

export function file(name: string, data = name, more: Partial<TarEntry> = {}): TarEntry {
  return { name, type: "file", data, ...more };
}

export function directory(name: string, more: Partial<TarEntry> = {}): TarEntry {
  return { name: `${name}/`, type: "directory", ...more };
}

export function symlink(name: string, link: string, more: Partial<TarEntry> = {}): TarEntry {
  return { name, type: "symlink", link, mode: 0o777, ...more };
}

export function hardlink(name: string, link: string, more: Partial<TarEntry> = {}): TarEntry {
  return { name, type: "hardlink", link, ...more };
}

/** A whiteout of `path`. */
export function whiteout(path: string): TarEntry {
  const slash = path.lastIndexOf("/") + 1;
  return file(`${path.slice(0, slash)}.wh.${path.slice(slash)}`, "");
}

/** The mark that hides what lower layers have in the directory `path`. */
export function opaque(path: string): TarEntry {
  return file(`${path}/.wh..wh..opq`, "");
}

/** Expectation of a regular file with this content. */
export function holds(data: string): Expected {
  const sha256 = new Bun.CryptoHasher("sha256").update(Buffer.from(data, "latin1")).digest("hex");
  return { kind: "-", size: BigInt(data.length), sha256 };
}

/** The nanoseconds of a test time. */
export function nanos(seconds: number, more = 0): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(more);
}
