/** Attributes, names and header forms of single entries. */
import { defaultSeconds } from "../tar-writer.ts";
import { directory, file, holds, nanos, symlink, type LayerCase } from "./case.ts";

const attributes = "layer.md#file-attributes";
const deep = Array.from({ length: 30 }, (_, index) => `level-${index}-${"x".repeat(20)}`).join("/");
/** struct vfs_ns_cap_data, revision 2: effective cap_net_bind_service. */
const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
/** struct posix_acl_xattr_header and entries: user::rw-, user:1000:r--, group::r--, mask::r--, other::r--. */
const acl = Buffer.from("0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000400ffffffff", "hex");
const long = "n".repeat(255);

export const metadataCases: readonly LayerCase[] = [
  {
    name: "modes",
    layers: [
      [
        file("setuid", "", { mode: 0o4755, uid: 9 }),
        file("setgid", "", { mode: 0o2755, gid: 9 }),
        file("all", "", { mode: 0o7777, uid: 9, gid: 9 }),
        file("none", "x", { mode: 0 }),
        directory("sticky", { mode: 0o1777 }),
        directory("closed", { mode: 0 }),
        file("closed/in"),
        file("typed", "", { mode: 0o100644 }),
      ],
    ],
    expect: {
      setuid: { mode: "4755", uid: 9 },
      setgid: { mode: "2755", gid: 9 },
      all: { mode: "7777" },
      none: { mode: "0000" },
      sticky: { mode: "1777" },
      closed: { mode: "0000" },
      "closed/in": holds("closed/in"),
      typed: { kind: "-", mode: "0644" },
    },
    why: attributes,
  },
  {
    name: "setgid-directory",
    layers: [[directory("d", { mode: 0o2755, gid: 50 }), file("d/f"), directory("d/e"), file("implied/f")]],
    expect: { d: { mode: "2755", gid: 50 }, "d/f": { gid: 0 }, "d/e": { gid: 0, mode: "0755" } },
    why: `${attributes}: the entry says the group, not the parent`,
  },
  {
    name: "owners",
    layers: [
      [
        file("big", "", { uid: 3_000_000_000, gid: 4_000_000_000 }),
        file("pax", "", { pax: { uid: "3000000001", gid: "4000000001" } }),
        directory("d", { uid: 65534, gid: 65534 }),
        symlink("s", "nowhere", { uid: 4, gid: 5 }),
        { name: "p", type: "fifo", uid: 6, gid: 7 },
        file("named", "", { uid: 8, gid: 9, pax: { uname: "root", gname: "root" } }),
      ],
    ],
    expect: {
      big: { uid: 3_000_000_000, gid: 4_000_000_000 },
      pax: { uid: 3_000_000_001, gid: 4_000_000_001 },
      d: { uid: 65534, gid: 65534 },
      s: { uid: 4, gid: 5 },
      p: { uid: 6, gid: 7 },
      named: { uid: 8, gid: 9 },
    },
    why: `${attributes}: uid and gid are restored, uname and gname are not looked at`,
  },
  {
    name: "times",
    layers: [
      [
        file("nanos", "", { mtime: { seconds: defaultSeconds, nanos: 123_456_789 } }),
        file("before-epoch", "", { mtime: { seconds: -2, nanos: 500_000_000 } }),
        file("base256", "", { mtime: -86_400 }),
        file("far", "", { mtime: { seconds: 4_102_444_800, nanos: 1 } }),
        file("epoch", "", { mtime: 0 }),
        file("longer", "", { pax: { mtime: "1700000000.1234567899" } }),
        directory("d", { mtime: { seconds: 5, nanos: 7 } }),
        symlink("s", "nowhere", { mtime: { seconds: 6, nanos: 8 } }),
        { name: "p", type: "fifo", mtime: { seconds: 7, nanos: 9 } },
        file("atime", "", { pax: { atime: "1000000000", ctime: "1000000000" } }),
      ],
    ],
    expect: {
      nanos: { mtimeNanos: nanos(defaultSeconds, 123_456_789) },
      "before-epoch": { mtimeNanos: -1_500_000_000n },
      base256: { mtimeNanos: nanos(-86_400) },
      far: { mtimeNanos: nanos(4_102_444_800, 1) },
      epoch: { mtimeNanos: 0n },
      longer: { mtimeNanos: nanos(defaultSeconds, 123_456_789) },
      d: { mtimeNanos: nanos(5, 7) },
      s: { mtimeNanos: nanos(6, 8) },
      p: { mtimeNanos: nanos(7, 9) },
      atime: { mtimeNanos: nanos(defaultSeconds) },
    },
    why: attributes,
  },
  {
    name: "xattrs",
    layers: [
      [
        file("user", "x", { xattrs: { "user.text": "value", "user.binary": "a\0b\n\xff=", "user.empty": "" } }),
        file("capable", "x", { mode: 0o755, uid: 3, xattrs: { "security.capability": capability } }),
        directory("d", { xattrs: { "user.d": "1", "trusted.d": "2" } }),
        symlink("s", "nowhere", { xattrs: { "trusted.s": "3" } }),
        file("acl", "x", { mode: 0o644, xattrs: { "system.posix_acl_access": acl } }),
        file("locked", "x", { mode: 0, xattrs: { "user.l": "4" } }),
      ],
    ],
    expect: {
      user: { xattrs: "user.binary=0x6100620aff3d user.empty=0x user.text=0x76616c7565" },
      capable: { xattrs: `security.capability=0x${capability.toString("hex")}`, uid: 3 },
      d: { xattrs: "trusted.d=0x32 user.d=0x31" },
      s: { xattrs: "trusted.s=0x33" },
      acl: { xattrs: `system.posix_acl_access=0x${acl.toString("hex")}` },
      locked: { mode: "0000", xattrs: "user.l=0x34" },
    },
    why: `${attributes}: extended attributes are restored`,
  },
  {
    name: "libarchive-xattrs",
    layers: [[file("f", "x", { pax: { "LIBARCHIVE.xattr.user.b": Buffer.from("hi").toString("base64") } })]],
    expect: { f: holds("x") },
    why: "open: layer.md names no PAX key; GNU tar, star and bsdtar write SCHILY.xattr (bsdtar both)",
  },
  {
    name: "devices",
    layers: [
      [
        { name: "null", type: "char", major: 1, minor: 3, mode: 0o666 },
        { name: "loop", type: "block", major: 7, minor: 0, mode: 0o660, gid: 6 },
        { name: "large", type: "char", major: 259, minor: 1_048_575 },
        { name: "fifo", type: "fifo", mode: 0o620 },
      ],
    ],
    expect: {
      null: { kind: "c", device: "1:3", mode: "0666" },
      loop: { kind: "b", device: "7:0", mode: "0660", gid: 6 },
      large: { kind: "c", device: "259:1048575" },
      fifo: { kind: "p", mode: "0620" },
    },
    why: "layer.md#file-types",
  },
  {
    name: "sizes",
    layers: [
      [
        file("empty", ""),
        file("block", "b".repeat(512)),
        file("odd", "o".repeat(300_001)),
        file("megabyte", "m".repeat(1 << 20)),
        file("last"),
      ],
    ],
    expect: {
      empty: holds(""),
      block: holds("b".repeat(512)),
      odd: holds("o".repeat(300_001)),
      megabyte: holds("m".repeat(1 << 20)),
      last: holds("last"),
    },
    why: "POSIX ustar",
  },
  {
    name: "names",
    layers: [
      [
        file("a".repeat(100 - "cases/names/".length)),
        file("b".repeat(101 - "cases/names/".length)),
        file(long),
        file("c".repeat(255), "gnu", { longNames: "gnu" }),
        directory("gnu-directory-".repeat(9), { longNames: "gnu" }),
        symlink("long-target", "t".repeat(300)),
        symlink("long-target-gnu", "u".repeat(300), { longNames: "gnu" }),
        file("not-utf8-\xff\xfe"),
        file(`long-not-utf8-${"\xff".repeat(120)}`, "x", { longNames: "gnu" }),
        file("new\nline\tand\\backslash"),
        file("-dash"),
        file(" space "),
        file(Buffer.from("ünï-日本").toString("latin1")),
        file(Buffer.from("pax-日本").toString("latin1"), "p", { pax: { path: Buffer.from("cases/names/pax-日本").toString("latin1") } }),
      ],
    ],
    expect: {
      ["a".repeat(100 - "cases/names/".length)]: { kind: "-" },
      ["b".repeat(101 - "cases/names/".length)]: { kind: "-" },
      [long]: holds(long),
      ["c".repeat(255)]: holds("gnu"),
      ["gnu-directory-".repeat(9)]: { kind: "d" },
      "long-target": { target: "t".repeat(300) },
      "long-target-gnu": { target: "u".repeat(300) },
      "not-utf8-\xff\xfe": { kind: "-" },
      [`long-not-utf8-${"\xff".repeat(120)}`]: { kind: "-" },
      "new\nline\tand\\backslash": { kind: "-" },
      "-dash": { kind: "-" },
      " space ": { kind: "-" },
      [Buffer.from("ünï-日本").toString("latin1")]: { kind: "-" },
      [Buffer.from("pax-日本").toString("latin1")]: holds("p"),
    },
    why: "POSIX ustar and pax; GNU tar's L and K headers; names are bytes",
  },
  {
    name: "deep",
    layers: [[file(`${deep}/f`, "deep")], [file(`${deep}/g`, "deeper")]],
    expect: { [`${deep}/f`]: holds("deep"), [`${deep}/g`]: holds("deeper") },
    why: "POSIX pax path",
  },
  {
    name: "contiguous-file",
    layers: [[{ name: "f", flag: "7", data: "y" }]],
    expect: { f: holds("y") },
    why: "POSIX ustar: flag 7 is a regular file where there is no such thing as a contiguous one; see the table of differences",
    apart: true,
  },
  {
    name: "regular-flag-with-slash",
    layers: [[{ name: "f/", flag: "0", data: "" }]],
    expect: { f: {} },
    why: "open: a name that ends in a slash is a directory to GNU tar, a file to Go's reader; it must not fail",
  },
  {
    name: "header-forms",
    layers: [
      [
        { name: "nul-flag", flag: "\0", data: "x" },
        { name: "prefixed", prefix: "cases/header-forms/in", data: "z" },
        { name: "slash-directory/", flag: "\0" },
        file("sized-by-pax", "12345", { rawSize: "00000000000\0", pax: { size: "5" } }),
        symlink("symlink-with-size", "t", { rawSize: "00000000000\0" }),
        { name: "./dotted/./file", type: "file", data: "d" },
        { name: "doubled//slash", type: "file", data: "s" },
      ],
    ],
    expect: {
      "nul-flag": holds("x"),
      "in/cases/header-forms/prefixed": holds("z"),
      "slash-directory": { kind: "d" },
      "sized-by-pax": holds("12345"),
      "symlink-with-size": { kind: "l", target: "t" },
      "dotted/file": holds("d"),
      "doubled/slash": holds("s"),
    },
    why: "POSIX ustar and pax; a regular entry whose name ends in a slash is a directory (v7)",
  },
];
