/** Whiteouts and opaque directories: what they hide, of which layer, in which order. */
import { defaultSeconds } from "../tar-writer.ts";
import { directory, file, holds, nanos, opaque, symlink, whiteout, type LayerCase } from "./case.ts";

const whiteouts = "layer.md#whiteouts";
const opaqueRule = "layer.md#opaque-whiteout";
const kept = { mode: "0750", uid: 7, gid: 8, mtimeNanos: nanos(1000) };
const odd = { mode: 0o750, uid: 7, gid: 8, mtime: 1000 };

export const whiteoutCases: readonly LayerCase[] = [
  {
    name: "whiteout-file",
    layers: [[file("a"), file("b")], [whiteout("a")]],
    expect: { a: "absent", b: holds("b"), ".wh.a": "absent" },
    why: whiteouts,
  },
  {
    name: "whiteout-directory",
    layers: [[directory("d"), file("d/x"), directory("d/y"), file("d/y/z"), file("e")], [whiteout("d")]],
    expect: { d: "absent", e: holds("e") },
    why: whiteouts,
  },
  {
    name: "whiteout-missing",
    layers: [[file("a")], [whiteout("nothing")]],
    expect: { a: holds("a"), nothing: "absent", ".wh.nothing": "absent" },
    why: `${whiteouts}: hiding what is not there changes nothing`,
  },
  {
    name: "whiteout-before-same-name",
    layers: [[file("f", "old")], [whiteout("f"), file("f", "new")]],
    expect: { f: holds("new") },
    why: `${whiteouts}: only lower layers are hidden`,
  },
  {
    name: "whiteout-after-same-name",
    layers: [[file("f", "old")], [file("f", "new"), whiteout("f"), file("g"), whiteout("g")]],
    expect: { f: holds("new"), g: holds("g") },
    why: `${whiteouts}: files in the same layer as a whiteout can only be hidden by later layers`,
  },
  {
    name: "whiteout-before-same-directory",
    layers: [
      [directory("d"), file("d/old"), directory("d/s"), file("d/s/old")],
      [whiteout("d"), directory("d"), file("d/new")],
    ],
    expect: { "d/new": holds("d/new"), "d/old": "absent", "d/s": "absent" },
    why: `${whiteouts}: the lower directory with all below it is hidden, the new one is not`,
  },
  {
    name: "whiteout-after-same-directory",
    layers: [
      [directory("d"), file("d/old"), directory("d/s"), file("d/s/old")],
      [directory("d"), directory("d/s"), file("d/s/new"), file("d/new"), whiteout("d")],
    ],
    expect: { "d/new": holds("d/new"), "d/old": "absent", "d/s/new": holds("d/s/new"), "d/s/old": "absent" },
    why: `${whiteouts}: the order within a layer does not matter`,
  },
  {
    name: "whiteout-after-implied-directory",
    layers: [
      [directory("d"), file("d/old")],
      [file("d/new"), whiteout("d")],
    ],
    expect: { "d/new": holds("d/new"), "d/old": "absent" },
    why: `${whiteouts}: as above, where the new directory is only implied`,
  },
  {
    name: "whiteout-in-directory-without-entry",
    layers: [[directory("d", odd), file("d/a"), file("d/b")], [whiteout("d/a")]],
    expect: { d: kept, "d/a": "absent", "d/b": holds("d/b") },
    why: "layer.md#applying-changesets: a directory that the layer does not name keeps its attributes",
  },
  {
    name: "whiteout-in-missing-directory",
    layers: [[file("a")], [whiteout("no/such/b")]],
    expect: { "no/such/b": "absent", a: holds("a") },
    why: `${whiteouts}: whether no/such is made is open`,
  },
  {
    name: "whiteout-under-whiteout",
    layers: [
      [directory("d"), directory("d/e"), file("d/e/f")],
      [whiteout("d"), whiteout("d/e"), whiteout("d/e/f")],
    ],
    expect: { "d/e": "absent" },
    why: whiteouts,
  },
  {
    name: "whiteout-through-lower-symlink",
    layers: [[directory("real"), file("real/a"), file("real/b"), symlink("link", "real")], [whiteout("link/a")]],
    expect: { "real/a": "absent", "real/b": holds("real/b"), link: { kind: "l", target: "real" } },
    why: "practice: names resolve in the tree that lower layers made (as in lower-symlinked-directory)",
  },
  {
    name: "whiteout-of-symlink",
    layers: [[directory("real"), file("real/a"), symlink("link", "real")], [whiteout("link")]],
    expect: { "real/a": holds("real/a"), link: "absent" },
    why: `${whiteouts}: the link is named, not what it points to`,
  },
  {
    name: "whiteout-then-later-layer",
    layers: [[directory("d"), file("d/a")], [whiteout("d")], [directory("d"), file("d/b")]],
    expect: { "d/a": "absent", "d/b": holds("d/b") },
    why: whiteouts,
  },
  {
    name: "opaque-first",
    layers: [
      [directory("d"), file("d/a"), directory("d/s"), file("d/s/x")],
      [directory("d", odd), opaque("d"), file("d/c")],
    ],
    expect: { d: kept, "d/a": "absent", "d/s": "absent", "d/c": holds("d/c"), "d/.wh..wh..opq": "absent" },
    why: opaqueRule,
  },
  {
    name: "opaque-last",
    layers: [
      [directory("d"), file("d/a"), file("d/c", "old"), directory("d/s"), file("d/s/x")],
      [directory("d", odd), file("d/c", "new"), directory("d/s"), file("d/s/y"), opaque("d")],
    ],
    expect: { d: kept, "d/a": "absent", "d/c": holds("new"), "d/s/x": "absent", "d/s/y": holds("d/s/y") },
    why: `${opaqueRule}: siblings of the same layer stay, whatever the order`,
  },
  {
    name: "opaque-without-directory-entry",
    layers: [[directory("d", odd), file("d/a"), directory("d/s")], [opaque("d")]],
    expect: { d: kept, "d/a": "absent", "d/s": "absent" },
    why: `${opaqueRule}; the directory keeps its attributes`,
  },
  {
    name: "opaque-nested",
    layers: [
      [directory("d"), file("d/a"), directory("d/s"), file("d/s/x"), directory("d/t"), file("d/t/x")],
      [directory("d"), directory("d/s"), opaque("d/s"), file("d/s/y")],
    ],
    expect: { "d/a": holds("d/a"), "d/s/x": "absent", "d/s/y": holds("d/s/y"), "d/t/x": holds("d/t/x") },
    why: opaqueRule,
  },
  {
    name: "opaque-then-later-layer",
    layers: [
      [directory("d"), file("d/a")],
      [directory("d"), opaque("d"), file("d/b")],
      [directory("d"), file("d/c")],
    ],
    expect: { "d/a": "absent", "d/b": holds("d/b"), "d/c": holds("d/c") },
    why: opaqueRule,
  },
  {
    name: "opaque-through-lower-symlink",
    layers: [
      [directory("real"), file("real/a"), symlink("link", "real")],
      [opaque("link"), file("link/b")],
    ],
    expect: { "real/a": "absent", "real/b": holds("link/b"), link: { kind: "l", target: "real" } },
    why: `${opaqueRule}; practice: names resolve in the tree that lower layers made`,
    apart: true,
  },
  {
    name: "opaque-twice",
    layers: [
      [directory("d"), file("d/a")],
      [opaque("d"), file("d/b"), opaque("d")],
    ],
    expect: { "d/a": "absent", "d/b": holds("d/b") },
    why: opaqueRule,
  },
  {
    name: "aufs-metadata",
    layers: [[file("a")], [directory(".wh..wh.plnk"), file(".wh..wh.plnk/1.2"), file(".wh..wh.aufs", ""), directory(".wh..wh.orph")]],
    expect: { a: holds("a"), ".wh..wh.plnk": "absent", ".wh..wh.aufs": "absent", ".wh..wh.orph": "absent", ".wh.plnk": "absent" },
    why: "practice: the marks that aufs left in old images are skipped",
  },
  {
    name: "almost-whiteouts",
    layers: [[file(".wh"), file(".whatever"), file("a.wh.b"), directory(".white", { mtime: defaultSeconds })]],
    expect: { ".wh": holds(".wh"), ".whatever": holds(".whatever"), "a.wh.b": holds("a.wh.b"), ".white": { kind: "d" } },
    why: `${whiteouts}: only names that begin with ".wh."`,
  },
];
