/** Published attacks on programs that extract archives or layers, each by its number, in the form in which it was told. */
import { directory, file, hardlink, symlink, whiteout } from "../cases/case.ts";
import { header, member, padding, tar, type TarEntry } from "../tar-writer.ts";
import { byArchive, byEntries, upAndDown, type Attack } from "./attack.ts";

/** So many directories that their path with its links is longer than PATH_MAX. */
const deep = Array.from({ length: 16 }, (_, index) => `${"d".repeat(247)}${index}`);

/** CVE-2025-4517: a chain of links that is too long to be resolved by text, and at its end the way up. */
function* longLinks(): Iterable<TarEntry> {
  let path = "";
  for (const [index, name] of deep.entries()) {
    yield directory(`${path}${name}`);
    yield symlink(`${path}${"abcdefghijklmnop"[index] ?? "z"}`, name);
    path += `${"abcdefghijklmnop"[index] ?? "z"}/`;
  }
  yield symlink(`${path}l`, "../".repeat(16));
  yield symlink("escape", `${path}l/../../..`);
}

const nodeTar = "node-tar looked at the text of a path, and the system resolved it otherwise";

export const advisoryAttacks: readonly Attack[] = [
  byEntries(
    { name: "CVE-2016-6321", expect: "refuse", why: "GNU tar took the member below ../ out of a longer name and wrote it" },
    ({ canary }) => [[file(`x/../../../../../../../../..${canary}/pwned`)]],
  ),
  byArchive({ name: "CVE-2018-20482", expect: "refuse", why: "GNU tar looped for ever over a sparse file that ends too early" }, () =>
    tar([
      file("s", "d".repeat(512), {
        pax: { "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": "99999999", "GNU.sparse.map": "0,512,4096,99995903" },
      }),
    ]).subarray(0, 2048),
  ),
  byArchive(
    { name: "CVE-2019-9923", expect: "contain", why: "GNU tar followed a null pointer at a sparse header whose extension is missing" },
    () => {
      const block = header({ name: "s", flag: "S" }, { seconds: 0, nanos: 0 }, 0);
      return Buffer.concat([block, Buffer.alloc(1024)]);
    },
  ),
  byEntries({ name: "CVE-2018-20990", expect: "contain", why: "tar-rs wrote through a hard link to a symbolic link" }, ({ canary }) => [
    [symlink("a", `${canary}/secret`), hardlink("b", "a"), file("b", "overwritten")],
  ]),
  byArchive({ name: "CVE-2019-20907", expect: "refuse", why: "Python's tarfile looped for ever over a record of length 0" }, () =>
    Buffer.concat([...member({ name: "x", flag: "x", data: "0 path=x\n" }), ...member(file("after")), Buffer.alloc(1024)]),
  ),
  byArchive({ name: "CVE-2025-8194", expect: "refuse", why: "Python's tarfile went backwards by a negative size, for ever" }, () =>
    tar([file("f", "", { rawSize: `\xff${"\xff".repeat(10)}\0` }), file("after")]),
  ),
  byEntries(
    { name: "CVE-2021-32803", expect: "contain", why: `${nodeTar}: a directory was remembered, and had become a link` },
    ({ canary }) => [[directory("d"), symlink("d", canary), file("d/pwned")]],
  ),
  byEntries({ name: "CVE-2021-32804", expect: "refuse", why: `${nodeTar}: of ////name one slash was taken away` }, ({ canary }) => [
    [file(`///${canary}/pwned`)],
  ]),
  byEntries({ name: "CVE-2021-37701", expect: "contain", why: `${nodeTar}: a name with a backslash` }, ({ canary }) => [
    [directory("a\\x"), symlink("a\\x", canary), file("a/x/pwned"), file("a\\x/pwned")],
  ]),
  byEntries({ name: "CVE-2021-37712", expect: "contain", why: `${nodeTar}: two names that Unicode calls one` }, ({ canary }) => [
    [directory("caf\xc3\xa9"), symlink("cafe\xcc\x81", canary), file("caf\xc3\xa9/pwned"), file("cafe\xcc\x81/pwned")],
  ]),
  byEntries(
    { name: "CVE-2026-23950", expect: "contain", why: `${nodeTar}: names that fold into one on some file systems` },
    ({ canary }) => [[directory("ss"), symlink("\xc3\x9f", canary), file("ss/pwned"), file("\xc3\x9f/pwned")]],
  ),
  byEntries({ name: "CVE-2026-23745", expect: "refuse", why: `${nodeTar}: the target of a hard link was not looked at` }, ({ canary }) => [
    [hardlink("link", `${canary}/secret`), file("link", "overwritten")],
  ]),
  byEntries(
    {
      name: "CVE-2026-24842",
      expect: "refuse",
      why: `${nodeTar}: the target was checked from the entry's directory and used from the root`,
    },
    ({ canary }) => [[directory("a/b/c/d"), hardlink("a/b/c/d/link", `../../../../${canary.slice(1)}/secret`)]],
  ),
  byEntries(
    { name: "CVE-2026-26960", expect: "refuse", why: `${nodeTar}: a hard link through a chain of symbolic links` },
    ({ canary }) => [[symlink("a", "b"), symlink("b", upAndDown(canary)), hardlink("link", "a/secret"), file("link", "overwritten")]],
  ),
  byEntries({ name: "CVE-2026-29786", expect: "refuse", why: `${nodeTar}: C: before the way up` }, () => [
    [hardlink("link", "C:../../../../../../etc/passwd")],
  ]),
  byEntries({ name: "CVE-2026-31802", expect: "contain", why: `${nodeTar}: C: before the way up, in a symbolic link` }, ({ canary }) => [
    [symlink("link", `C:${upAndDown(canary)}`), file("link/pwned")],
  ]),
  byEntries({ name: "CVE-2024-28863", expect: "refuse", why: "node-tar made directories of any depth until it had no stack" }, () => [
    [file(`${"a/".repeat(40_000)}f`)],
  ]),
  byEntries(
    { name: "CVE-2025-48387", expect: "contain", why: "tar-fs wrote beside its directory through a link into one of a like name" },
    ({ canary }) => [[symlink("link", `../${canary.slice(canary.lastIndexOf("/") + 1)}`), file("link/pwned")]],
  ),
  byEntries(
    { name: "CVE-2025-4517", expect: "contain", why: "Python's realpath() gives up at PATH_MAX, and its filter believed it" },
    () => [[...longLinks(), file("escape/pwned")]],
  ),
  byEntries(
    { name: "CVE-2025-4330", expect: "contain", why: "Python's filter let a symbolic link to a symbolic link out" },
    ({ canary }) => [[directory("dir"), symlink("dir/link", ".."), symlink("out", `dir/link/..${canary}`), hardlink("pwned", "out")]],
  ),
  byEntries(
    { name: "CVE-2025-45582", expect: "contain", why: "GNU tar writes through a link that an archive before has left" },
    ({ canary }) => [[symlink("x", upAndDown(canary))], [file("x/pwned")]],
  ),
  byArchive(
    {
      name: "CVE-2025-62518",
      expect: "refuse",
      why: "tokio-tar went on by the size of the header where PAX gave another: what is data became entries",
    },
    () =>
      Buffer.concat([
        ...member({ name: "outer", data: Buffer.concat(member(file("smuggled"))), pax: { size: "1024" }, rawSize: "00000000000\0" }),
        Buffer.from("not a header".padEnd(512, "!")),
        Buffer.alloc(1024),
      ]),
  ),
  byEntries(
    { name: "CVE-2026-33055", expect: "contain", why: "tar-rs took the header's size where PAX gave another", forbidden: ["smuggled"] },
    () => [
      [
        {
          name: "outer",
          data: Buffer.concat([Buffer.alloc(512, "x"), ...member(file("smuggled"))]),
          pax: { size: "1536" },
          rawSize: "00000001000\0",
        },
        file("after"),
      ],
    ],
  ),
  byEntries(
    {
      name: "CVE-2026-33056",
      expect: "contain",
      why: "tar-rs gave the directory that a link leads to the mode of an entry of the link's name",
    },
    ({ canary }) => [
      [symlink("foo", canary), directory("foo", { mode: 0o777, uid: 1 })],
      [symlink("bar", canary), directory("bar/.", { mode: 0o777, uid: 1 })],
    ],
  ),
  byEntries({ name: "CVE-2026-46703", expect: "contain", why: "boxlite followed a layer's link on the way to an entry" }, ({ canary }) => [
    [symlink("app", canary)],
    [directory("app/sub"), file("app/sub/pwned")],
  ]),
  byEntries({ name: "CVE-2025-11395", expect: "contain", why: "podman load: a layer's links led to files of the host" }, ({ canary }) => [
    [symlink("etc", canary), file("etc/secret", "overwritten"), whiteout("etc/secret")],
    [whiteout("etc/secret"), file("etc/secret", "overwritten")],
  ]),
  byEntries({ name: "CVE-2021-38511", expect: "contain", why: "tar-rs made directories through a link" }, ({ canary }) => [
    [symlink("s", canary), file("s/made/pwned")],
  ]),
  byEntries(
    { name: "GHSA-ww5g-h6rh-8wm3", expect: "contain", why: "containerd checked a directory and used it later, when it was a link" },
    ({ canary }) => [
      [directory("d"), file("d/x"), symlink("e", canary)],
      [symlink("d", canary), file("d/secret", "overwritten"), directory("e"), file("e/x")],
    ],
  ),
  byArchive({ name: "CVE-2022-48303", expect: "refuse", why: "GNU tar read beyond a base-256 field of nothing but its mark" }, () =>
    Buffer.concat([header({ name: "f", rawSize: `\x80${" ".repeat(10)}\0` }, { seconds: 0, nanos: 0 }, 0), padding(0), Buffer.alloc(1024)]),
  ),
  byEntries({ name: "CVE-2023-39804", expect: "refuse", why: "GNU tar put the name of an attribute on its stack" }, () => [
    [file("f", "", { pax: { [`SCHILY.xattr.user.${"n".repeat(200_000)}`]: "1" } })],
  ]),
];
