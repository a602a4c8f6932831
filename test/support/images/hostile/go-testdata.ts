/**
 * The archives with which Go tests its archive/tar: sound ones of every format, and broken ones. They are Debian's (golang-*-src), fetched
 * once and not part of this repository. Of each, loading must end with one clear sentence or a sound image.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../commands.ts";
import { byArchive, type Attack } from "./attack.ts";

const sourcePackage = "golang-1.19-src";

/** The archives, fetched into `work`/cache when they are not there; the reason when they cannot be had. */
export function goArchives(work: string): { readonly attacks: readonly Attack[]; readonly missing?: string } {
  const directory = join(work, "cache", "go-archive-tar");
  const missing = existsSync(directory) ? undefined : fetchInto(directory);
  if (missing !== undefined) return { attacks: [], missing };
  const attacks = readdirSync(directory)
    .filter((name) => name.endsWith(".tar"))
    .sort()
    .map((name) =>
      byArchive({ name: `go-${name}`, expect: "contain", why: "Go's archive/tar/testdata" }, () => readFileSync(join(directory, name))),
    );
  return { attacks };
}

function fetchInto(directory: string): string | undefined {
  if (!installed("apt-get", "dpkg-deb", "tar")) return "apt-get, dpkg-deb or tar is not installed";
  const scratch = `${directory}.partial`;
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  const run = (command: string): boolean => Bun.spawnSync(["timeout", "120", "sh", "-c", command], { cwd: scratch }).exitCode === 0;
  if (!run(`apt-get download -qq ${sourcePackage}`)) return `apt-get cannot download ${sourcePackage}`;
  const inside = "./usr/share/go-1.19/src/archive/tar/testdata";
  if (!run(`dpkg-deb --fsys-tarfile *.deb | tar -x --strip-components=8 ${inside} && rm *.deb`))
    return `${sourcePackage} cannot be unpacked`;
  renameSync(scratch, directory);
  return undefined;
}
