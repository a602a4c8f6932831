/** Published attacks on programs that take container images, each by its number. Those on archives in general are in advisories.ts. */
import { directory, file, hardlink, symlink, whiteout } from "../cases/case.ts";
import { mediaTypes, type LayoutWriter } from "../layout-writer.ts";
import { tar, type TarEntry } from "../tar-writer.ts";
import { tinyLayer } from "../tiny.ts";
import { byArchive, byEntries, byLayout, soundLayer, upAndDown, type Attack } from "./attack.ts";

const architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** An image that runs, with `entries` over it. */
function byRunning(
  attack: Omit<Attack, "build" | "run" | "expect">,
  entries: (canary: string) => readonly TarEntry[],
  more: object = {},
): Attack {
  return byLayout({ ...attack, expect: "contain", run: true }, (writer, { canary }) => {
    const layers = [writer.layer(tinyLayer()), writer.layer(tar(entries(canary)))];
    const config = { Cmd: ["/bin/busybox", "true"], Env: ["PATH=/bin"], ...more };
    writer.tag(writer.image(layers, { architecture, config }), "hostile");
  });
}

/** Accounts of so many lines, which are asked for the user's groups. */
const manyGroups = Array.from({ length: 400_000 }, (_, index) => `g${index}:x:${index}:root\n`).join("");

/** Opaque marks and whiteouts that each walk the same tree, where every one is taken as it comes. */
function* repeatedMarks(): Iterable<TarEntry> {
  for (let index = 0; index < 20_000; index++) {
    yield file(`d/.wh..wh..opq`, "");
    if (index % 4 === 0) yield file(`d/new${index}`, "");
    if (index % 4 === 1) yield whiteout(`d/f${index}`);
  }
}

/** A directory that is a file, a link and a directory in turn, with all that is in it. */
function* turns(canary: string): Iterable<TarEntry> {
  for (let index = 0; index < 300; index++) {
    yield directory("d");
    yield directory("d/sub");
    yield file("d/sub/file");
    yield symlink("d", canary);
    yield file("d/secret", "overwritten");
  }
}

export const imageAdvisoryAttacks: readonly Attack[] = [
  byArchive(
    { name: "CVE-2014-9357", expect: "refuse", why: "docker ran the image's own xz to unpack it; CVE-2026-41567 is its like" },
    () => Buffer.from("fd377a585a000004e6d6b4460200210116000000742fe5a3", "hex"),
  ),
  byEntries({ name: "CVE-2020-10696", expect: "contain", why: "buildah followed links of an archive that it unpacked" }, ({ canary }) => [
    [symlink("a", canary), symlink("b", "a"), file("b/pwned"), directory("b/made"), file("a/secret", "overwritten")],
  ]),
  byArchive({ name: "CVE-2021-20291", expect: "refuse", why: "containers/storage waited for ever when a layer was no archive" }, () =>
    Buffer.from("this is no tar archive\n".repeat(100_000)),
  ),
  byArchive({ name: "CVE-2021-20291-plain", expect: "refuse", why: "the same, not compressed" }, () => Buffer.alloc(100_000, "x"), "none"),
  byEntries(
    { name: "CVE-2021-32760", expect: "contain", why: "containerd changed the mode of the file that a hard link or link led to" },
    ({ canary }) => [
      [symlink("s", `${canary}/secret`), hardlink("h", "s", { mode: 0o4777 })],
      [hardlink("again", "s", { mode: 0o4777, uid: 1 }), symlink("h", `${canary}/secret`, { mode: 0o4777 })],
    ],
  ),
  byEntries(
    { name: "CVE-2021-29136", expect: "refuse", why: "umoci let an entry for the root be a link, and what followed went through it" },
    ({ canary }) => [[{ name: ".", type: "symlink", link: canary }, file("pwned")]],
  ),
  byRunning(
    {
      name: "CVE-2022-23648",
      why: "containerd copied what the volumes of an image name from the host into it",
    },
    () => [file("f")],
    { Volumes: { "/../../../../../../etc": {}, "/var/../../../../root": {} } },
  ),
  byRunning(
    {
      name: "CVE-2024-1753",
      why: "buildah mounted over what a link of the image leads to: here the files that are bound into a container",
    },
    (canary) => [
      symlink("etc/hosts", `${canary}/secret`),
      symlink("etc/hostname", upAndDown(`${canary}/secret`)),
      symlink("etc/resolv.conf", "../../../../../../../../../../../../etc/passwd"),
    ],
  ),
  byRunning({ name: "CVE-2024-1753-directories", why: "the same, of the directories that things are mounted on" }, (canary) => [
    symlink("proc", canary),
    symlink("dev", canary),
    symlink("sys", canary),
    symlink("etc", canary),
  ]),
  byRunning({ name: "CVE-2026-47262", why: "containerd read all groups of an image into memory, however many" }, () => [
    file("etc/group", manyGroups),
  ]),
  byEntries(
    { name: "CVE-2025-47290", expect: "contain", why: "containerd 2.1 checked a path and used it later, when it was a link" },
    ({ canary }) => [[...turns(canary)]],
  ),
  byEntries(
    { name: "CVE-2026-17106", expect: "contain", why: "moby/go-archive: links that were checked one by one led out together" },
    ({ canary }) => [
      [
        directory("a/b"),
        symlink("a/b/up", "../.."),
        symlink("x", "a/b/up"),
        symlink("y", `x/..${canary}`),
        file("y/pwned"),
        directory("y/made", { mode: 0o777 }),
      ],
      [symlink("z", "y"), file("z/secret", "overwritten"), whiteout("z/secret")],
    ],
  ),
  byEntries(
    { name: "CVE-2026-50163", expect: "refuse", why: "oras-go made hard links to what their names mean in its own working directory" },
    () => [[hardlink("link", "package.json"), file("link", "overwritten")]],
  ),
  byEntries(
    {
      name: "GHSA-rp3h-jf77-q9p4",
      expect: "contain",
      why: "containerd walked a directory again for each mark in a layer: hours for few bytes",
    },
    () => [
      [directory("d"), ...Array.from({ length: 20_000 }, (_, index) => file(`d/f${index}`, ""))],
      [directory("d"), ...repeatedMarks()],
    ],
  ),
  byLayout(
    {
      name: "CVE-2024-24557",
      expect: "refuse",
      why: "moby took a cached layer for what it was not: a config that names the content of another layer than the one that is there",
    },
    (writer: LayoutWriter) => {
      const [first, second] = [soundLayer(writer, "first"), soundLayer(writer, "second")];
      const honest = writer.image([first]);
      const lying = writer.image([{ descriptor: second.descriptor, diffId: first.diffId }], { author: "liar" });
      writer.index(
        [honest, lying].map((image, index) => ({ ...image, annotations: { "org.opencontainers.image.ref.name": `image${index}` } })),
      );
    },
  ),
  byLayout(
    {
      name: "CVE-2024-24557-order",
      expect: "refuse",
      why: "the same layers in another order: the stack below a layer is part of what it is known by",
    },
    (writer: LayoutWriter) => {
      const [first, second] = [soundLayer(writer, "first"), soundLayer(writer, "second")];
      const swapped = [
        { descriptor: second.descriptor, diffId: first.diffId },
        { descriptor: first.descriptor, diffId: second.diffId },
      ];
      writer.index(
        [writer.image([first, second]), writer.image(swapped, { author: "liar" })].map((image, index) => ({
          ...image,
          annotations: { "org.opencontainers.image.ref.name": `image${index}` },
        })),
      );
    },
  ),
  byLayout(
    { name: "CVE-2022-24778", expect: "refuse", why: "imgcrypt looked at the first manifest of an index, and another one was run" },
    (writer) => {
      const sound = writer.image([soundLayer(writer)], { architecture: "s390x" });
      const layer = soundLayer(writer, "other");
      const other = writer.image([{ descriptor: layer.descriptor, diffId: `sha256:${"0".repeat(64)}` }], { architecture });
      const manifests = [
        { ...sound, platform: { os: "linux", architecture: "s390x" } },
        { ...other, platform: { os: "linux", architecture } },
      ];
      writer.tag(writer.json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }, mediaTypes.index), "hostile");
    },
  ),
];
