/** The image `odd`: Debian, changed by umoci's repack, then by layers written by hand; and `odd-common`, which every peer takes. */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, lutimesSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync, linkSync } from "node:fs";
import { join } from "node:path";
import { caseLayers, layerCases } from "./cases/all.ts";
import { directory, file, hardlink, opaque, symlink, whiteout, type LayerCase } from "./cases/case.ts";
import { refusedBy } from "./differences.ts";
import { tar, type TarEntry } from "./tar-writer.ts";
import { tool } from "./commands.ts";

const created = "2023-11-14T22:13:20Z";
const changedAt = 1_700_000_001;

/** Adds the layers of `odd` to the image `tag` of `layout`, which is Debian. Scratch must be on a file system with extended attributes. */
export function addOddLayers(image: { layout: string; tag: string }, options: { scratch: string; common: boolean }): void {
  repackWithUmoci(image, options);
  const cases = layerCases.filter((each) => !isRefused(each, options.common));
  const commonEntries = overDebian.filter((entry) => !onlyUmoci.has(entry.name));
  for (const archive of [tar(options.common ? commonEntries : overDebian), ...caseLayers(cases)]) addLayer(image, archive, options.scratch);
}

/** Whether `odd` (or `odd-common`) leaves `layerCase` out, because a reader would refuse the whole image. */
function isRefused(layerCase: LayerCase, common: boolean): boolean {
  if (layerCase.apart === true) return true;
  const refusing = refusedBy(layerCase.name);
  return common ? refusing.length > 0 : refusing.includes("umoci");
}

/** What umoci turns into a layer: deletions, changes of kind, attributes, as its own writer stores them. */
function repackWithUmoci(image: { layout: string; tag: string }, options: { scratch: string; common: boolean }): void {
  const bundle = join(options.scratch, "bundle");
  const name = `${image.layout}:${image.tag}`;
  tool(["umoci", "unpack", "--image", name, bundle]);
  const at = (path: string): string => join(bundle, "rootfs", path);
  rmSync(at("usr/share/doc"), { recursive: true });
  rmSync(at("etc/issue.net"));
  if (!options.common) {
    // umoci writes whiteouts below the new file for what was in the directory; containers/storage refuses them.
    rmSync(at("etc/cron.daily"), { recursive: true });
    writeFileSync(at("etc/cron.daily"), "a file now\n");
  }
  rmSync(at("etc/motd"));
  mkdirSync(at("etc/motd"));
  writeFileSync(at("etc/motd/part"), "a directory now\n");
  rmSync(at("etc/issue"));
  symlinkSync("motd/part", at("etc/issue"));
  renameSync(at("etc/profile.d"), at("etc/profile.moved"));
  writeFileSync(at("etc/hostname"), "odd\n");
  chmodSync(at("etc/hostname"), 0o4640);
  chownSync(at("etc/hostname"), 1234, 3_000_000_000);
  linkSync(at("etc/hostname"), at("etc/hostname.link"));
  execFileSync("setfattr", ["-n", "user.test", "-v", "value", at("etc/hostname")]);
  const touched = ["etc/cron.daily", "etc/motd/part", "etc/motd", "etc/issue", "etc/profile.moved", "etc/hostname", "etc", "usr/share"];
  // The umoci that packs sets the time of nothing but what it names, so the parents of all changes are given one.
  for (const path of touched) lutimesSync(at(path), changedAt, changedAt);
  tool(["umoci", "repack", "--history.created", created, "--image", name, bundle]);
  rmSync(bundle, { recursive: true });
}

/** Written by hand over Debian and over what umoci changed. */
const overDebian: readonly TarEntry[] = [
  directory("etc", { mtime: changedAt }),
  directory("etc/apt"),
  opaque("etc/apt"),
  file("etc/apt/sources.list", "# none\n"),
  directory("etc/profile.moved"),
  file("etc/profile.moved/after.sh", "true\n"),
  opaque("etc/profile.moved"),
  whiteout("etc/hostname.link"),
  file("lib/through-the-link", "in usr/lib\n"),
  hardlink("usr/bin/sh-of-lower", "usr/bin/dash", { mode: 0o755 }),
  directory("var/log"),
  symlink("var/log/journal", "/run/journal"),
  whiteout("usr/share/keyrings"),
];

/** What containers/storage refuses or, with overlay, turns into something else: see the table of differences. */
const onlyUmoci = new Set(["lib/through-the-link", "usr/bin/sh-of-lower"]);

function addLayer(image: { layout: string; tag: string }, archive: Buffer, scratch: string): void {
  const path = join(scratch, "layer.tar");
  writeFileSync(path, archive);
  tool(["umoci", "raw", "add-layer", "--history.created", created, "--image", `${image.layout}:${image.tag}`, path]);
  rmSync(path);
}
