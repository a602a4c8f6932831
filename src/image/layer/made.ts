/**
 * What the layer under way has made so far, as a tree.
 *
 * Whiteouts hide only what lower layers have, whatever the order of entries (image-spec layer.md#whiteouts), and
 * directories get their times last: both need a memory. A file costs one map slot, so a million entries are fine.
 * The tree knows names as the layer writes them; what a lower layer's symbolic link makes of them only the kernel knows. So a
 * whiteout through such a link also takes what this layer has already made by the other name.
 */
import type { ByteString } from "#base/byte-string.ts";

/** A directory that this layer has made, or made something in. */
export class MadeDirectory {
  /** By name; `undefined` stands for anything but a directory. */
  readonly children = new Map<ByteString, MadeDirectory | undefined>();
  /**
   * - `explicit`: it has an entry in this layer.
   * - `implied`: only things in it have.
   * - `through`: it is a symbolic link or the like of this layer and an entry leads through it, or it lies beyond one: it
   *   then has a second name, by which it may be replaced, so nothing is left to do to it under this one at the end.
   */
  kind: "explicit" | "implied" | "through";
  /** True when nothing of a lower layer can be in it: it needs no clearing. Holds for all directories in it too. */
  lowerGone: boolean;
  /** True when something was made in it after its own entry, so that its times must be set again. */
  touched = false;
  seconds = 0;
  nanos = 0;

  constructor(kind: "explicit" | "implied" | "through", lowerGone: boolean) {
    this.kind = kind;
    this.lowerGone = lowerGone;
  }
}

/** What `MadeTree.find` has found of a path. */
export type Found =
  | { readonly kind: "directory"; readonly directory: MadeDirectory }
  | { readonly kind: "other" }
  | { readonly kind: "nothing" };

/** The tree, with the memory of the directory last used: neighbours in a layer mostly share theirs. */
export class MadeTree {
  readonly root: MadeDirectory;
  #lastPath = "" as ByteString;
  #last: MadeDirectory;

  /** @param base whether there is no lower layer at all */
  constructor(base: boolean) {
    this.root = new MadeDirectory("implied", base);
    this.#last = this.root;
  }

  /** The directory at `path`; `made` says how many on the way to it, itself included, were not known and are now remembered as implied. */
  ensure(path: ByteString): { directory: MadeDirectory; made: number } {
    if (path === this.#lastPath) return { directory: this.#last, made: 0 };
    let directory = this.root;
    let made = 0;
    for (const name of componentsOf(path)) {
      let child = directory.children.get(name);
      if (child === undefined) {
        // What this layer has put there is no directory: if it is a link, the kernel follows it to wherever it leads.
        const isThrough = directory.kind === "through" || directory.children.has(name);
        child = new MadeDirectory(isThrough ? "through" : "implied", directory.lowerGone);
        directory.children.set(name, child);
        directory.touched = true;
        made++;
      }
      directory = child;
    }
    this.#lastPath = path;
    this.#last = directory;
    return { directory, made };
  }

  /** What this layer has at `path`, remembering nothing. Below something that is no directory there is `other`. */
  find(path: ByteString): Found {
    let directory = this.root;
    for (const name of componentsOf(path)) {
      const child = directory.children.get(name);
      if (child === undefined) return { kind: directory.children.has(name) ? "other" : "nothing" };
      if (child.kind === "through") return { kind: "other" };
      directory = child;
    }
    return { kind: "directory", directory };
  }

  /** Remembers that `name` in `parent` is now something other than a directory. */
  setOther(parent: MadeDirectory, name: ByteString): void {
    if (parent.children.get(name) !== undefined) this.#forget();
    parent.children.set(name, undefined);
  }

  /** Remembers the entry of a directory; `isRepeated` when this layer may have had one for it. */
  setDirectory(parent: MadeDirectory, name: ByteString): { directory: MadeDirectory; isRepeated: boolean } {
    const before = parent.children.get(name);
    if (before !== undefined && before.kind !== "through") {
      const isRepeated = before.kind === "explicit";
      before.kind = "explicit";
      before.touched = false;
      return { directory: before, isRepeated };
    }
    this.#forget();
    if (parent.kind === "through") {
      const beyond = new MadeDirectory("through", parent.lowerGone);
      parent.children.set(name, beyond);
      return { directory: beyond, isRepeated: true };
    }
    // Where this layer had put something else, the new directory begins empty.
    const directory = new MadeDirectory("explicit", parent.lowerGone || parent.children.has(name));
    parent.children.set(name, directory);
    return { directory, isRepeated: false };
  }

  /** Explicit directories whose times must be set again, with their paths. */
  *touched(): Generator<{ path: ByteString; directory: MadeDirectory }, void, undefined> {
    const open: { path: ByteString; directory: MadeDirectory }[] = [{ path: "" as ByteString, directory: this.root }];
    for (let place = open.pop(); place !== undefined; place = open.pop()) {
      const { path, directory } = place;
      if (directory.kind === "explicit" && directory.touched) yield place;
      if (directory.kind === "through") continue;
      for (const [name, child] of directory.children) if (child !== undefined) open.push({ path: childPath(path, name), directory: child });
    }
  }

  #forget(): void {
    this.#lastPath = "" as ByteString;
    this.#last = this.root;
  }
}

/** `name` in the directory `path`. */
export function childPath(path: ByteString, name: ByteString): ByteString {
  return (path === "" ? name : `${path}/${name}`) as ByteString;
}

function componentsOf(path: ByteString): ByteString[] {
  return path === "" ? [] : (path.split("/") as ByteString[]);
}
