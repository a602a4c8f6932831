/**
 * Compiled layers against the spec's model of them.
 *
 * One side runs the ops on a tree in memory that holds the lower layers, as the executor would on disk. The other is
 * the definition: the layer's entries make a tree of their own, whiteouts and replaced names hide lower paths, the result is
 * the union. They share no code.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { RecordWriter } from "#program/record-writer.ts";
import { directory, file, opaque, symlink, whiteout } from "../../../test/support/images/cases/case.ts";
import { decodeRecords, type DecodedOp } from "../../../test/support/program-stream.ts";
import { tar, type TarEntry } from "../../../test/support/images/tar-writer.ts";
import { TarReader } from "../tar/read.ts";
import { LayerCompiler } from "./compile.ts";

/** Path to what is there: `d` and a time for a directory, anything else for its content. No symbolic link is ever followed here. */
type Tree = Map<string, string>;

class Impossible extends Error {}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const isDirectory = (tree: Tree, path: string): boolean => path === "" || path === "." || tree.get(path)?.startsWith("d") === true;
const removeTree = (tree: Tree, path: string): void => {
  for (const key of Array.from(tree.keys())) if (key === path || key.startsWith(`${path}/`)) tree.delete(key);
};

function runOps(lower: Tree, ops: readonly DecodedOp[]): Tree {
  const tree = new Map(lower);
  const put = (path: string, what: string): void => {
    if (!isDirectory(tree, parentOf(path))) throw new Impossible(`ENOTDIR or ENOENT: ${path}`);
    if (!(what.startsWith("d") && isDirectory(tree, path))) removeTree(tree, path);
    tree.set(path, what);
  };
  for (const { op, fields, chunks } of ops) {
    const path = String(fields["path"]);
    if (op === "file") put(path, `f${Buffer.concat(chunks.map((chunk) => chunk.data)).toString()}`);
    else if (op === "symlink") put(path, `l${String(fields["target"])}`);
    else if (op === "directory") put(path, `d${String(fields["seconds"])}`);
    else if (op === "times") tree.set(path, `d${String(fields["seconds"])}`);
    else if (op === "remove") removeTree(tree, path);
    else if (op === "parents") makeParents(tree, path);
    else if (op === "clear") {
      const keep = new Set(fields["keep"] as string[]);
      const prefix = path === "." ? "" : `${path}/`;
      for (const key of Array.from(tree.keys()))
        if (key.startsWith(prefix) && !keep.has(key.slice(prefix.length).split("/")[0] ?? "")) tree.delete(key);
    } else if (op !== "clear-xattrs") throw new Error(`no model of ${op}`);
  }
  return tree;
}

function makeParents(tree: Tree, path: string): void {
  if (path === "") return;
  makeParents(tree, parentOf(path));
  if (!tree.has(path)) tree.set(path, "dnew");
  if (!isDirectory(tree, path)) throw new Impossible(`ENOTDIR: ${path}`);
}

const secondsOf = (made: TarEntry): number => (typeof made.mtime === "number" ? made.mtime : 0);

/** What the spec says: lower paths that nothing hides, and the layer's own tree over them. */
function merge(lower: Tree, entries: readonly TarEntry[]): Tree {
  const upper: Tree = new Map();
  const hidden = new Set<string>();
  for (const entry of entries) {
    const path = entry.name.replace(/\/$/, "");
    const name = path.slice(path.lastIndexOf("/") + 1);
    const parent = parentOf(path);
    if (name === ".wh..wh..opq") {
      for (const key of lower.keys()) if (parent === "" || key.startsWith(`${parent}/`)) hidden.add(key);
    } else if (name.startsWith(".wh.")) hidden.add(parent === "" ? name.slice(4) : `${parent}/${name.slice(4)}`);
    else {
      makeParents(upper, parent);
      if (entry.type === "directory" && isDirectory(upper, path)) upper.set(path, `d${secondsOf(entry)}`);
      else {
        removeTree(upper, path);
        upper.set(
          path,
          entry.type === "directory"
            ? `d${secondsOf(entry)}`
            : entry.type === "symlink"
              ? `l${entry.link ?? ""}`
              : `f${String(entry.data)}`,
        );
        // Something that is no directory ends what lower layers have under its name, even if a directory follows.
        if (entry.type !== "directory") hidden.add(path);
      }
    }
  }
  const result: Tree = new Map();
  for (const [path, what] of lower) {
    let isHidden = false;
    for (let at = path; at !== ""; at = parentOf(at))
      isHidden ||=
        hidden.has(at) ||
        (at !== path && upper.has(at) && !isDirectory(upper, at)) ||
        (at !== path && lower.has(at) && !isDirectory(lower, at));
    if (!isHidden) result.set(path, what);
  }
  for (const [path, what] of upper) {
    if (!(what.startsWith("d") && isDirectory(result, path))) removeTree(result, path);
    result.set(path, what);
  }
  return result;
}

const path = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const entry: fc.Arbitrary<TarEntry> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(path, fc.integer({ min: 0, max: 99 })).map(([name, n]) => file(name, `new${n}`)) },
  { weight: 3, arbitrary: fc.tuple(path, fc.integer({ min: 1, max: 99 })).map(([name, n]) => directory(name, { mtime: n })) },
  { weight: 1, arbitrary: path.map((name) => symlink(name, "nowhere")) },
  { weight: 3, arbitrary: path.map((name) => whiteout(name)) },
  { weight: 2, arbitrary: path.map((name) => opaque(name)) },
  { weight: 1, arbitrary: fc.constant(file(".wh..wh..opq", "")) },
);
const lowerTree = fc.array(fc.tuple(path, fc.boolean()), { maxLength: 8 }).map((places) => {
  const tree: Tree = new Map();
  for (const [name, asDirectory] of places) {
    try {
      makeParents(tree, parentOf(name));
      if (!tree.has(name)) tree.set(name, asDirectory ? "d0" : "fold");
    } catch {
      // A file is in the way: this lower tree does without.
    }
  }
  return tree;
});

test("R9 R5 a compiled layer makes of the lower tree what the spec says, whatever the order of its entries", () => {
  let compared = 0;
  fc.assert(
    fc.property(lowerTree, fc.array(entry, { maxLength: 10 }), (lower, entries) => {
      const writer = new RecordWriter();
      const compiler = new LayerCompiler(writer, { base: false, limits: { maxBytes: 1e9, maxEntries: 100 }, firstOp: 0 });
      const reader = new TarReader(compiler);
      reader.push(tar(entries));
      compiler.finish();
      const ops = decodeRecords(writer.take(), { header: false });
      let expected: Tree;
      let result: Tree;
      try {
        expected = merge(lower, entries);
        result = runOps(lower, ops);
      } catch (error) {
        // An entry below a file or a link: the kernel refuses it, and the layer is refused with it.
        if (error instanceof Impossible) return;
        throw error;
      }
      compared++;
      // The spec does not say what attributes a directory has that is only implied.
      for (const [name, what] of expected) if (what === "dnew" && isDirectory(result, name)) result.set(name, what);
      expect(Object.fromEntries(result)).toEqual(Object.fromEntries(expected));
    }),
    { numRuns: 3000 },
  );
  expect(compared).toBeGreaterThan(1000);
});
