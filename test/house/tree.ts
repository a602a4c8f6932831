/** The project's own files, for tests that read them. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** The project's root, with a slash at the end. */
export const root = new URL("../..", import.meta.url).pathname;

const foreign = new Set([".git", "node_modules", "dist"]);

/** Paths, relative to the root and sorted, of the files below `folder` whose names end in one of `endings`; none when it does not exist. */
export function filesBelow(folder: string, endings: readonly string[]): string[] {
  return walk(folder)
    .filter((path) => endings.length === 0 || endings.some((ending) => path.endsWith(ending)))
    .toSorted();
}

function walk(folder: string): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = folder === "." ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return foreign.has(entry.name) ? [] : walk(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Like `filesBelow`, for a folder that need not exist. */
export function filesIfAny(folder: string, endings: readonly string[]): string[] {
  return statSync(join(root, folder), { throwIfNoEntry: false }) === undefined ? [] : filesBelow(folder, endings);
}

/** The text of the file at `path`, relative to the root. */
export function textOf(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** True for a test file, which may do what production code may not. */
export function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || path.startsWith("test/");
}

/** `text` without comments. Good enough for our own formatted sources: strings that hold `//` keep what stands before it. */
export function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|[\s;{}(),])\/\/.*$/gm, "$1");
}
