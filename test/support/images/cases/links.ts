/** Hard links: within a layer, into lower layers, to things that are not regular files, and what a change of one does to the other. */
import { directory, file, hardlink, holds, nanos, symlink, whiteout, type LayerCase } from "./case.ts";

const rule = "layer.md#hardlinks";
const same = { mode: 0o755, uid: 5, mtime: 77 };
const group = (name: string, ...names: string[]): string => names.map((each) => `cases/${name}/${each}`).join(" = ");

export const linkCases: readonly LayerCase[] = [
  {
    name: "hardlink-in-layer",
    layers: [[file("a", "data", same), hardlink("b", "a", same), directory("d"), hardlink("d/c", "b", same)]],
    expect: {
      a: { ...(holds("data") as object), links: group("hardlink-in-layer", "a", "b", "d/c"), mode: "0755", uid: 5 },
      "d/c": holds("data"),
    },
    why: rule,
  },
  {
    name: "hardlink-to-lower",
    layers: [
      [file("a", "data", { mode: 0o4755, uid: 5, gid: 6, mtime: 77, xattrs: { "user.x": "1" } })],
      [hardlink("b", "a", { mode: 0o4755, uid: 5, gid: 6, mtime: 77 })],
    ],
    expect: {
      a: {
        ...(holds("data") as object),
        links: group("hardlink-to-lower", "a", "b"),
        mode: "4755",
        uid: 5,
        gid: 6,
        mtimeNanos: nanos(77),
        xattrs: "user.x=0x31",
      },
      b: { ...(holds("data") as object), mode: "4755", uid: 5, gid: 6, mtimeNanos: nanos(77), xattrs: "user.x=0x31" },
    },
    why: `${rule}; applied to one tree the two names are one file`,
  },
  {
    name: "hardlink-to-lower-group",
    layers: [[file("a", "data"), hardlink("b", "a")], [hardlink("c", "b")]],
    expect: { a: holds("data"), b: holds("data"), c: holds("data") },
    why: `${rule}: whether a stays the same file is open, "union file systems may have limited support"`,
  },
  {
    name: "hardlink-to-lower-through-symlink",
    layers: [[directory("usr"), file("usr/a"), symlink("link", "usr")], [hardlink("h", "link/a")]],
    expect: { h: holds("usr/a"), "usr/a": holds("usr/a") },
    why: "practice: names resolve in the tree that lower layers made",
  },
  {
    name: "hardlink-to-symlink",
    layers: [[file("t"), symlink("s", "t", { mtime: 9 }), hardlink("h", "s")]],
    expect: { h: { kind: "l", target: "t", links: group("hardlink-to-symlink", "h", "s") }, t: { links: "" } },
    why: `${rule}: the link itself, linkat(2) without AT_SYMLINK_FOLLOW`,
  },
  {
    name: "hardlink-to-fifo-and-device",
    layers: [[{ name: "p", type: "fifo" }, hardlink("q", "p"), { name: "c", type: "char", major: 1, minor: 3 }, hardlink("e", "c")]],
    expect: { q: { kind: "p", links: group("hardlink-to-fifo-and-device", "p", "q") }, e: { kind: "c", device: "1:3" } },
    why: `${rule}: any kind but a directory`,
  },
  {
    name: "hardlink-target-replaced-later",
    layers: [[file("a", "one"), hardlink("b", "a"), file("a", "two")]],
    expect: { a: holds("two"), b: { ...(holds("one") as object), links: "" } },
    why: "practice: a later entry replaces the name, not the file behind it",
  },
  {
    name: "lower-group-one-replaced",
    layers: [[file("a", "one"), hardlink("b", "a"), hardlink("c", "a")], [file("a", "two")]],
    expect: { a: holds("two"), b: { ...(holds("one") as object), links: group("lower-group-one-replaced", "b", "c") } },
    why: "layer.md#applying-changesets: unlink, then create",
  },
  {
    name: "lower-group-one-removed",
    layers: [[file("a", "one"), hardlink("b", "a"), hardlink("c", "a")], [whiteout("a")]],
    expect: { a: "absent", b: { ...(holds("one") as object), links: group("lower-group-one-removed", "b", "c") } },
    why: "layer.md#whiteouts",
  },
  {
    name: "hardlink-over-itself",
    layers: [
      [file("a"), hardlink("b", "a")],
      [file("a", "new"), hardlink("b", "a")],
    ],
    expect: { a: { ...(holds("new") as object), links: group("hardlink-over-itself", "a", "b") } },
    why: rule,
  },
  {
    name: "hardlink-repeated",
    layers: [[file("a"), hardlink("b", "a"), hardlink("b", "a")]],
    expect: { a: { links: group("hardlink-repeated", "a", "b") } },
    why: "practice: the later entry wins",
  },
  {
    name: "hardlink-to-file-with-whiteout",
    layers: [[file("a", "old")], [file("a", "new"), whiteout("a"), hardlink("b", "a")]],
    expect: { a: holds("new"), b: holds("new") },
    why: "layer.md#whiteouts: only lower layers are hidden",
  },
  {
    name: "hardlink-moves-lower-file",
    layers: [[file("a", "data")], [hardlink("b", "a"), whiteout("a")]],
    expect: { a: "absent", b: holds("data") },
    why: "a rename in the producer's tree, told as link and whiteout; see the table of differences",
  },
  {
    name: "hardlink-own-attributes",
    layers: [[file("a", "data", { mode: 0o600, uid: 1, mtime: 10 }), hardlink("b", "a", { mode: 0o644, uid: 2, mtime: 20 })]],
    expect: { b: holds("data") },
    why: "open: a link's header should repeat its target's; see the table of differences",
  },
];
