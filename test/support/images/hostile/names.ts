/** Attacks by names and links of layer entries: leading out of the root, or into what the kernel means otherwise. */
import { directory, file, hardlink, opaque, symlink, whiteout } from "../cases/case.ts";
import type { TarEntry } from "../tar-writer.ts";
import { byEntries, upAndDown, type Attack } from "./attack.ts";

const traversal = "CVE-2014-6407, CVE-2014-9356: links and names in an archive that lead out of the extraction root";
const strict = "no tool writes such a name, and cleaning it would put the entry where another reader does not look";
const nothing = "layer.md#whiteouts: a whiteout names a child; '', '.' and '..' are none";

export const nameAttacks: readonly Attack[] = [
  byEntries({ name: "name-leads-up", expect: "refuse", why: `${traversal}; ${strict}` }, ({ canary }) => [
    [file(upAndDown(`${canary}/pwned`))],
  ]),
  byEntries({ name: "name-leads-up-inside", expect: "refuse", why: strict }, [[directory("a"), file("a/../b")]]),
  byEntries({ name: "name-absolute", expect: "refuse", why: `${traversal}; ${strict}` }, ({ canary }) => [[file(`${canary}/pwned`)]]),
  byEntries({ name: "name-absolute-by-pax", expect: "refuse", why: traversal }, ({ canary }) => [
    [file("x", "", { pax: { path: `${canary}/pwned` } })],
  ]),
  byEntries({ name: "name-of-parent", expect: "refuse", why: strict }, [[directory("..", { mode: 0 })]]),
  byEntries({ name: "name-of-root-as-file", expect: "refuse", why: "CVE-2021-29136: the root entry is a directory or nothing" }, [
    [file(".")],
  ]),
  byEntries(
    { name: "root-becomes-symlink", expect: "refuse", why: "CVE-2021-29136: umoci let the root entry be a symbolic link and followed it" },
    ({ canary }) => [[symlink(".", canary), file("pwned")]],
  ),
  byEntries({ name: "root-becomes-symlink-in-second-layer", expect: "refuse", why: "CVE-2021-29136" }, ({ canary }) => [
    [file("a")],
    [symlink("./", canary), file("pwned")],
  ]),
  byEntries({ name: "root-is-whited-out", expect: "refuse", why: nothing }, [[file("a")], [file(".wh..", "")]]),
  byEntries({ name: "whiteout-of-parent", expect: "refuse", why: nothing }, [[file("a")], [file(".wh...", "")]]),
  byEntries({ name: "whiteout-of-parent-below", expect: "refuse", why: nothing }, [[file("d/a")], [file("d/.wh...", "")]]),
  byEntries({ name: "whiteout-of-nothing", expect: "refuse", why: nothing }, [[file("a")], [file(".wh.", "")]]),
  byEntries({ name: "whiteout-leads-up", expect: "refuse", why: traversal }, ({ canary }) => [
    [file("a")],
    [whiteout(upAndDown(`${canary}/secret`))],
  ]),
  byEntries({ name: "entry-in-whiteout", expect: "refuse", why: "layer.md#whiteouts: no name below a .wh. name can exist" }, [
    [file("a")],
    [file(".wh.d/a")],
  ]),
  byEntries({ name: "name-with-nul", expect: "refuse", why: "the kernel would end the name there, a scanner would not" }, [
    [file("x", "", { pax: { path: "a\0b" } })],
  ]),
  byEntries({ name: "name-empty", expect: "contain", why: "an empty name is the root's or nobody's" }, [[file("")]]),
  byEntries({ name: "name-component-too-long", expect: "refuse", why: "NAME_MAX" }, [[file("n".repeat(256))]]),
  byEntries({ name: "name-too-long", expect: "refuse", why: "PATH_MAX" }, [[file(`${"d/".repeat(3000)}f`)]]),
  byEntries({ name: "symlink-target-too-long", expect: "refuse", why: "PATH_MAX" }, [[symlink("s", "t".repeat(5000))]]),
  byEntries({ name: "symlink-target-empty", expect: "refuse", why: "symlink(2): ENOENT" }, [[symlink("s", "")]]),
  byEntries({ name: "name-with-escapes-in-error", expect: "refuse", why: "an error must not carry an image's bytes to the terminal raw" }, [
    [hardlink("\x1b]0;owned\x07\x1b[2J\r\nname\u0085", "missing\x1b[31m")],
  ]),
  byEntries({ name: "file-below-file", expect: "refuse", why: "a file has no children" }, [[file("f"), file("f/x")]]),
  byEntries({ name: "symlink-loop", expect: "refuse", why: "ELOOP, not a hang" }, [[symlink("a", "b"), symlink("b", "a"), file("a/x")]]),
];

/** Links whose target is on the host when it is resolved outside of the root. */
const linkTargets: readonly (readonly [label: string, target: (canary: string) => string])[] = [
  ["absolute", (canary) => canary],
  ["upward", (canary) => upAndDown(canary)],
  ["proc", (canary) => `/proc/1/root${canary}`],
  ["proc-cwd", (canary) => `/proc/self/cwd/${upAndDown(canary)}`],
];

/** A symbolic link to the host, and then what is done through it. In the image the directory is there, so that it may succeed inside. */
const throughLinks: readonly (readonly [label: string, entries: TarEntry[]])[] = [
  ["write", [file("link/pwned")]],
  ["overwrite", [file("link/secret", "overwritten")]],
  ["directory", [directory("link/pwned"), file("link/pwned/x")]],
  ["chmod", [directory("link/.", { mode: 0o777, uid: 1 })]],
  ["whiteout", [whiteout("link/secret")]],
  ["opaque", [opaque("link")]],
  ["symlink", [symlink("link/pwned", "/etc/passwd")]],
  ["device", [{ name: "link/pwned", type: "char", major: 1, minor: 3 }]],
  ["xattr", [directory("link/", { xattrs: { "user.pwned": "1" } })]],
];

export const linkAttacks: readonly Attack[] = linkTargets.flatMap(([kind, target]) =>
  throughLinks.flatMap(([action, entries]) => [
    byEntries({ name: `symlink-${kind}-${action}`, expect: "contain", why: traversal }, ({ canary }) => [
      [symlink("link", target(canary)), ...entries],
    ]),
    byEntries({ name: `symlink-${kind}-${action}-in-next-layer`, expect: "contain", why: traversal }, ({ canary }) => [
      [symlink("link", target(canary)), file("keep")],
      entries,
    ]),
  ]),
);

const hardlinks = "CVE-2014-6407: a hard link to a host file makes it writable from the container";

export const hardlinkAttacks: readonly Attack[] = [
  byEntries({ name: "hardlink-absolute", expect: "refuse", why: hardlinks }, ({ canary }) => [[hardlink("h", `${canary}/secret`)]]),
  byEntries({ name: "hardlink-upward", expect: "refuse", why: hardlinks }, ({ canary }) => [
    [hardlink("h", upAndDown(`${canary}/secret`))],
  ]),
  byEntries({ name: "hardlink-through-symlink", expect: "refuse", why: hardlinks }, ({ canary }) => [
    [symlink("link", canary), hardlink("h", "link/secret")],
  ]),
  byEntries({ name: "hardlink-through-lower-symlink", expect: "refuse", why: hardlinks }, ({ canary }) => [
    [symlink("link", canary)],
    [hardlink("h", "link/secret")],
  ]),
  byEntries(
    { name: "hardlink-to-symlink-then-write", expect: "contain", why: `${hardlinks}; the name is replaced, not followed` },
    ({ canary }) => [[symlink("s", `${canary}/secret`), hardlink("h", "s"), file("h", "overwritten")]],
  ),
  byEntries(
    {
      name: "hardlink-to-symlink-with-mode",
      expect: "contain",
      why: "CVE-2021-32760: chmod of a hard link to a symbolic link changed the host's file",
    },
    ({ canary }) => [[symlink("s", `${canary}/secret`), hardlink("h", "s", { mode: 0o777, uid: 1, gid: 1, mtime: 1 })]],
  ),
  byEntries({ name: "hardlink-to-lower-symlink-with-mode", expect: "contain", why: "CVE-2021-32760" }, ({ canary }) => [
    [symlink("s", `${canary}/secret`)],
    [hardlink("h", "s", { mode: 0o777, uid: 1 }), hardlink("s2", "s", { mode: 0o4777 })],
  ]),
  byEntries({ name: "hardlink-to-directory", expect: "refuse", why: "layer.md#hardlinks: all types but directories" }, [
    [directory("d"), hardlink("h", "d")],
  ]),
  byEntries({ name: "hardlink-to-root", expect: "refuse", why: "layer.md#hardlinks: all types but directories" }, [[hardlink("h", ".")]]),
  byEntries({ name: "hardlink-to-missing", expect: "refuse", why: "there is no such file" }, [[hardlink("h", "missing")]]),
  byEntries({ name: "hardlink-to-itself", expect: "refuse", why: "there is no such file" }, [[hardlink("h", "h")]]),
];
