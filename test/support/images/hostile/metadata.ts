/** Attacks by attributes, devices and special files of layer entries. */
import { directory, file, symlink } from "../cases/case.ts";
import { byEntries, type Attack } from "./attack.ts";

const overlay = "overlayfs reads these attributes of a lower layer: an image must not speak to it";
const accounts = "CVE-2024-9676: reading an image's account files must not follow links out, nor block, nor be endless";

export const metadataAttacks: readonly Attack[] = [
  byEntries({ name: "device-0-0", expect: "refuse", why: "overlayfs takes it for a whiteout" }, [
    [file("f")],
    [{ name: "f", type: "char", major: 0, minor: 0 }],
  ]),
  byEntries({ name: "device-0-0-in-base", expect: "refuse", why: "overlayfs takes it for a whiteout" }, [
    [{ name: "f", type: "char", major: 0, minor: 0 }],
  ]),
  byEntries({ name: "overlay-redirect", expect: "contain", why: overlay, forbidden: ["d/secret", "d/secret-file"] }, [
    [directory("hidden"), file("hidden/secret")],
    [directory("d", { xattrs: { "trusted.overlay.redirect": "/hidden", "user.overlay.redirect": "/hidden" } })],
  ]),
  byEntries({ name: "overlay-metacopy", expect: "contain", why: overlay }, [
    [file("secret", "the secret")],
    [file("f", "", { xattrs: { "trusted.overlay.metacopy": "", "trusted.overlay.redirect": "/secret" } })],
  ]),
  byEntries({ name: "overlay-opaque", expect: "contain", why: overlay }, [
    [directory("d"), file("d/a")],
    [directory("d", { xattrs: { "trusted.overlay.opaque": "y", "user.overlay.opaque": "y" } })],
  ]),
  byEntries({ name: "overlay-xattr-whiteout", expect: "contain", why: overlay }, [
    [file("d/a")],
    [directory("d", { xattrs: { "trusted.overlay.opaque": "x" } }), file("d/a", "", { xattrs: { "trusted.overlay.whiteout": "" } })],
  ]),
  byEntries({ name: "xattr-name-too-long", expect: "refuse", why: "XATTR_NAME_MAX" }, [
    [file("f", "", { xattrs: { [`user.${"n".repeat(300)}`]: "1" } })],
  ]),
  byEntries({ name: "xattr-value-too-long", expect: "refuse", why: "XATTR_SIZE_MAX" }, [
    [file("f", "", { xattrs: { "user.v": "v".repeat(70_000) } })],
  ]),
  byEntries({ name: "xattr-name-empty", expect: "refuse", why: "no such name" }, [[file("f", "", { pax: { "SCHILY.xattr.": "1" } })]]),
  byEntries({ name: "xattr-without-namespace", expect: "refuse", why: "setxattr(2): EOPNOTSUPP" }, [
    [file("f", "", { xattrs: { nonsense: "1" } })],
  ]),
  byEntries({ name: "xattr-nul-in-name", expect: "refuse", why: "the kernel would end the name there" }, [
    [file("f", "", { pax: { "SCHILY.xattr.user.a\0b": "1" } })],
  ]),
  byEntries({ name: "owner-over-32-bits", expect: "refuse", why: "it would wrap round to another user, perhaps root" }, [
    [file("f", "", { uid: 2 ** 32 })],
  ]),
  byEntries({ name: "owner-minus-one", expect: "refuse", why: "chown(2) takes 2^32-1 for 'leave as it is': the file would be root's" }, [
    [file("f", "", { uid: 2 ** 32 - 1, mode: 0o4755 })],
  ]),
  byEntries({ name: "owner-negative", expect: "refuse", why: "no such user" }, [[file("f", "", { uid: -5 })]]),
  byEntries({ name: "owner-by-pax-over-32-bits", expect: "refuse", why: "it would wrap round to root" }, [
    [file("f", "", { pax: { uid: "4294967296" } })],
  ]),
  byEntries({ name: "owner-by-pax-not-a-number", expect: "refuse", why: "no such user" }, [[file("f", "", { pax: { uid: "0x10" } })]]),
  byEntries({ name: "time-out-of-range", expect: "contain", why: "64 bits of seconds overflow in nanoseconds" }, [
    [file("f", "", { pax: { mtime: "9223372036854775807.999999999" } })],
  ]),
  byEntries({ name: "time-not-a-number", expect: "refuse", why: "not a time" }, [[file("f", "", { pax: { mtime: "NaN" } })]]),
  byEntries({ name: "time-endless-digits", expect: "contain", why: "a number of a megabyte" }, [
    [file("f", "", { pax: { mtime: `1.${"3".repeat(500_000)}` } })],
  ]),
  byEntries({ name: "accounts-are-a-symlink-out", expect: "contain", why: accounts }, ({ canary }) => [
    [directory("etc"), symlink("etc/passwd", `${canary}/secret`), symlink("etc/group", `${canary}/secret`)],
  ]),
  byEntries({ name: "accounts-are-a-fifo", expect: "contain", why: `${accounts}: opening a fifo waits for a writer` }, [
    [directory("etc"), { name: "etc/passwd", type: "fifo" }, { name: "etc/group", type: "fifo" }],
  ]),
  byEntries({ name: "accounts-are-endless", expect: "contain", why: `${accounts}: /dev/zero` }, [
    [
      directory("etc"),
      { name: "etc/passwd", type: "char", major: 1, minor: 5, mode: 0o666 },
      { name: "etc/group", type: "char", major: 1, minor: 5 },
    ],
  ]),
  byEntries({ name: "accounts-are-a-directory", expect: "contain", why: accounts }, [
    [directory("etc"), directory("etc/passwd"), directory("etc/group")],
  ]),
  byEntries({ name: "accounts-are-large", expect: "contain", why: accounts }, [
    [directory("etc"), file("etc/passwd", "x:x:1:1:x:/:/bin/sh\n".repeat(500_000))],
  ]),
];
