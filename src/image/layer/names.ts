/** What an entry's name means in a layer: a path, a whiteout, or something that must not be there. */
import type { ByteString } from "#base/byte-string.ts";

const prefix = ".wh.";

/** KERNEL: PATH_MAX less its NUL. Longer ones name nothing, and each of their components would cost memory here. */
const maxPathBytes = 4095;

/** The meaning of a name. Paths are normalised: relative, without "." or empty components; the root is "". */
export type LayerName =
  | { readonly kind: "entry"; readonly path: ByteString }
  /** Hides `name` of lower layers in `directory`. */
  | { readonly kind: "whiteout"; readonly directory: ByteString; readonly name: ByteString }
  /** Hides all that lower layers have in `directory`. */
  | { readonly kind: "opaque"; readonly directory: ByteString }
  /** The bookkeeping of an old storage driver, which is no part of the tree. */
  | { readonly kind: "skipped" }
  /** `fact` says why the entry is refused. */
  | { readonly kind: "refused"; readonly fact: string };

/**
 * Classifies an entry's name.
 *
 * Names that are absolute or contain ".." are refused, where umoci 0.4.7 and podman 4.3.1 clean them: cleaning makes an
 * entry land where another reader of the layer (a scanner, say) does not look.
 *
 * @see image-spec layer.md#whiteouts
 */
export function classifyName(stored: ByteString): LayerName {
  const path = normalisePath(stored);
  if (path.kind === "refused" || !path.path.includes(prefix)) return path;
  return classifyWhiteout(path.path) ?? path;
}

/** `stored` without "." and empty components; the refusal of a name that is absolute or leads upward. */
export function normalisePath(
  stored: ByteString,
): { readonly kind: "entry"; readonly path: ByteString } | { readonly kind: "refused"; readonly fact: string } {
  let path: string = stored;
  // The two usual forms first, so that most names are done with one test: "./usr/bin/" of `tar -C tree .`.
  if (path.startsWith("./")) path = path.slice(2);
  if (path.endsWith("/")) path = path.slice(0, -1);
  if (stored.charCodeAt(0) === 0x2f) return { kind: "refused", fact: "its name is absolute" };
  if (unusual.test(path)) {
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..")) return { kind: "refused", fact: 'its name contains ".."' };
    path = parts.join("/");
  }
  if (path.length > maxPathBytes) return { kind: "refused", fact: `its name has ${path.length} bytes, more than ${maxPathBytes}` };
  return { kind: "entry", path: path as ByteString };
}

/** An empty component, "." or "..". */
const unusual = /(?:^|\/)\.{0,2}(?:\/|$)/;

/** Splits a normalised path at its last slash. */
export function splitName(path: ByteString): { directory: ByteString; name: ByteString } {
  const slash = path.lastIndexOf("/");
  return { directory: path.slice(0, Math.max(slash, 0)) as ByteString, name: path.slice(slash + 1) as ByteString };
}

/** A name with ".wh." somewhere in it; undefined when it is an ordinary one after all. */
function classifyWhiteout(path: ByteString): LayerName | undefined {
  const parts = path.split("/");
  // aufs kept its own files (.wh..wh.aufs, .wh..wh.plnk/...) in the tree, and Docker's early layers have them.
  const opaque = ".wh..wh..opq";
  if (parts.some((part, index) => part.startsWith(".wh..wh.") && !(part === opaque && index === parts.length - 1)))
    return { kind: "skipped" };
  if (parts.slice(0, -1).some((part) => part.startsWith(prefix)))
    return { kind: "refused", fact: "it lies in a directory whose name begins with .wh." };
  const { directory, name } = splitName(path);
  if (!name.startsWith(prefix)) return undefined;
  if (name === opaque) return { kind: "opaque", directory };
  const hidden = name.slice(prefix.length) as ByteString;
  // "." and ".." would hide the directory itself or its parent.
  if (hidden === "" || hidden === "." || hidden === "..") return { kind: "refused", fact: "it is a whiteout that names nothing" };
  return { kind: "whiteout", directory, name: hidden };
}
