/** Changes of kind and attributes between layers, repeated entries, names that lead through links. */
import { directory, file, hardlink, holds, nanos, symlink, whiteout, type LayerCase } from "./case.ts";

const changes = "layer.md#applying-changesets";
const kept = { mode: "0750", uid: 7, gid: 8, mtimeNanos: nanos(1000) };
const odd = { mode: 0o750, uid: 7, gid: 8, mtime: 1000 };
const through = "practice: names resolve in the tree that lower layers made, kept within the root";

export const changeCases: readonly LayerCase[] = [
  {
    name: "file-to-directory",
    layers: [[file("x")], [directory("x"), file("x/y")]],
    expect: { x: { kind: "d" }, "x/y": holds("x/y") },
    why: changes,
  },
  {
    name: "directory-to-file",
    layers: [[directory("x"), file("x/y"), directory("x/z"), file("x/z/a")], [file("x")]],
    expect: { x: holds("x") },
    why: changes,
  },
  {
    name: "whiteouts-below-replaced-directory",
    layers: [
      [directory("d"), file("d/a"), directory("e"), file("e/a")],
      [file("d"), whiteout("d/a"), whiteout("e/a"), file("e")],
    ],
    expect: { d: holds("d"), e: holds("e") },
    why: "layer.md#whiteouts: what they name is gone already; umoci's repack writes such layers when a file takes a directory's place",
  },
  {
    name: "whiteouts-below-replacing-symlink",
    layers: [
      [directory("l"), file("l/a"), directory("t"), file("t/a")],
      [symlink("l", "t"), whiteout("l/a")],
    ],
    expect: { l: { kind: "l", target: "t" }, "t/a": holds("t/a") },
    why: "layer.md#whiteouts: they apply to the lower layers, where l is a directory; umoci's repack writes such layers",
  },
  {
    name: "directory-to-symlink",
    layers: [[directory("x"), file("x/y"), directory("t"), file("t/f")], [symlink("x", "t")]],
    expect: { x: { kind: "l", target: "t" }, "t/f": holds("t/f"), "t/y": "absent" },
    why: changes,
  },
  {
    name: "symlink-to-directory",
    layers: [
      [directory("t"), file("t/f"), symlink("x", "t")],
      [directory("x"), file("x/y")],
    ],
    expect: { x: { kind: "d" }, "x/y": holds("x/y"), "x/f": "absent", "t/f": holds("t/f"), "t/y": "absent" },
    why: `${changes}: an entry that is not a directory over a directory is unlinked and made anew`,
  },
  {
    name: "file-to-symlink",
    layers: [[file("x"), file("t")], [symlink("x", "t")]],
    expect: { x: { kind: "l", target: "t" }, t: holds("t") },
    why: changes,
  },
  {
    name: "symlink-to-file",
    layers: [
      [file("t"), symlink("x", "t"), symlink("dangling", "nowhere")],
      [file("x", "new"), file("dangling", "new")],
    ],
    expect: { x: holds("new"), t: holds("t"), dangling: holds("new"), nowhere: "absent" },
    why: `${changes}: the link is replaced, not written through`,
  },
  {
    name: "symlink-to-symlink",
    layers: [[directory("t"), symlink("x", "t")], [symlink("x", "u", { mtime: 5 })]],
    expect: { x: { kind: "l", target: "u", mtimeNanos: nanos(5) }, u: "absent" },
    why: changes,
  },
  {
    name: "fifo-to-file-and-back",
    layers: [
      [{ name: "x", type: "fifo" }, file("y")],
      [file("x"), { name: "y", type: "fifo", mode: 0o600 }],
    ],
    expect: { x: holds("x"), y: { kind: "p", mode: "0600" } },
    why: changes,
  },
  {
    name: "directory-to-hardlink",
    layers: [
      [directory("x"), file("x/y")],
      [file("a"), hardlink("x", "a")],
    ],
    expect: { x: holds("a") },
    why: changes,
  },
  {
    name: "directory-file-directory",
    layers: [[directory("x"), file("x/old")], [file("x")], [directory("x"), file("x/new")]],
    expect: { "x/old": "absent", "x/new": holds("x/new") },
    why: changes,
  },
  {
    name: "directory-attributes",
    layers: [
      [directory("d", { mode: 0o777, xattrs: { "user.old": "1", "user.both": "1" } }), file("d/a")],
      [directory("d", { ...odd, xattrs: { "user.both": "2", "user.new": "3" } })],
    ],
    expect: { d: { ...kept, xattrs: "user.both=0x32 user.new=0x33" }, "d/a": holds("d/a") },
    why: `${changes}: a directory over a directory has its attributes replaced (all of them) and keeps its content`,
  },
  {
    name: "file-attributes",
    layers: [[file("f", "x", { mode: 0o4755, xattrs: { "user.old": "1" } })], [file("f", "x", { mode: 0o600 })]],
    expect: { f: { mode: "0600", xattrs: "" } },
    why: changes,
  },
  {
    name: "file-in-directory-without-entry",
    layers: [[directory("d", odd), file("d/a")], [file("d/b")]],
    expect: { d: kept, "d/a": holds("d/a"), "d/b": holds("d/b") },
    why: `${changes}: a directory that the layer does not name keeps its attributes`,
  },
  {
    name: "implied-parents",
    layers: [[file("a")], [file("no/entry/for/these")]],
    expect: {
      no: { kind: "d", mode: "0755", uid: 0, gid: 0 },
      "no/entry/for": { kind: "d", mode: "0755" },
      "no/entry/for/these": holds("no/entry/for/these"),
    },
    why: "practice: parents without an entry are 0755 root; their time is open",
  },
  {
    name: "entry-after-children",
    layers: [[file("d/a"), directory("d", odd)]],
    expect: { d: kept, "d/a": holds("d/a") },
    why: "layer.md#file-attributes: the entry says the time, whenever it comes",
  },
  {
    name: "times-survive-children",
    layers: [[directory("d", odd), file("d/a"), directory("d/e", odd), file("d/e/f"), hardlink("d/h", "d/a"), symlink("d/s", "a")]],
    expect: { d: kept, "d/e": kept },
    why: "layer.md#file-attributes",
  },
  {
    name: "repeated-file",
    layers: [[file("f", "first", { mode: 0o4755 }), file("g"), file("f", "second")]],
    expect: { f: { ...(holds("second") as object), mode: "0644" }, g: holds("g") },
    why: "practice: the later entry wins (layer.md forbids writers to repeat one)",
  },
  {
    name: "repeated-as-other-kind",
    layers: [
      [directory("d"), file("d/x"), file("d", "now a file"), file("f"), directory("f"), file("f/x"), symlink("s", "f"), file("s", "plain")],
    ],
    expect: { d: holds("now a file"), f: { kind: "d" }, "f/x": holds("f/x"), s: holds("plain") },
    why: "practice: the later entry wins",
  },
  {
    name: "lower-symlinked-directory",
    layers: [
      [directory("usr"), directory("usr/lib", odd), file("usr/lib/a"), symlink("lib", "usr/lib")],
      [file("lib/b"), directory("lib/sub"), file("lib/sub/c")],
    ],
    expect: {
      lib: { kind: "l", target: "usr/lib" },
      "usr/lib": kept,
      "usr/lib/a": holds("usr/lib/a"),
      "usr/lib/b": holds("lib/b"),
      "usr/lib/sub/c": holds("lib/sub/c"),
    },
    why: through,
  },
  {
    name: "lower-absolute-symlink",
    layers: [[directory("real"), file("real/a"), symlink("abs", "/cases/lower-absolute-symlink/real")], [file("abs/b")]],
    expect: { abs: { kind: "l" }, "real/a": holds("real/a"), "real/b": holds("abs/b") },
    why: `${through} (an absolute target starts at the image's root)`,
  },
  {
    name: "lower-symlink-above-root",
    layers: [[directory("real"), symlink("up", "../../../../../../cases/lower-symlink-above-root/real")], [file("up/b")]],
    expect: { "real/b": holds("up/b") },
    why: `${through} (.. at the root stays there, path_resolution(7))`,
  },
  {
    name: "same-layer-symlinked-directory",
    layers: [[directory("real"), symlink("link", "real"), file("link/a"), directory("link/d", odd), file("link/d/b")]],
    expect: { link: { kind: "l", target: "real" }, "real/a": holds("link/a"), "real/d": kept, "real/d/b": holds("link/d/b") },
    why: "practice: names resolve in the tree as it stands",
  },
  {
    name: "directory-replaced-then-followed",
    layers: [
      [directory("d"), file("d/x"), directory("e")],
      [symlink("d", "e"), file("d/y")],
    ],
    expect: { d: { kind: "l", target: "e" }, "e/y": holds("d/y") },
    why: "practice: names resolve in the tree as it stands",
  },
];
