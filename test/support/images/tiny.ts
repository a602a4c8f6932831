/** The image `tiny`: a static busybox with a few names, in a layout and in both archive formats. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { directory, file, symlink } from "./cases/case.ts";
import { installed, tool } from "./commands.ts";
import { tar } from "./tar-writer.ts";

const applets = "sh cat echo ls id env sleep true false mount ps stat touch rm mkdir hostname ip grep head tail wc tr dd test date".split(
  " ",
);

/** The archive of the one layer. */
export function tinyLayer(): Buffer {
  const folders = ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var"];
  return tar([
    ...folders.map((name) => directory(name, { mode: name === "tmp" ? 0o1777 : 0o755 })),
    file("bin/busybox", "", { data: readFileSync(busyboxPath()), mode: 0o755 }),
    ...applets.map((name) => symlink(`bin/${name}`, "busybox")),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    file("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
  ]);
}

/** Writes tiny.docker.tar and tiny.oci.tar beside the layout, where skopeo is installed. */
export function writeTinyArchives(layout: string, work: string): void {
  if (!installed("skopeo")) return;
  for (const kind of ["docker", "oci"]) {
    const target = join(work, `tiny.${kind}.tar`);
    if (!existsSync(target))
      tool(["skopeo", "--insecure-policy", "copy", "-q", `oci:${layout}:tiny`, `${kind}-archive:${target}:gantry.test/tiny:latest`]);
  }
}

function busyboxPath(): string {
  const found = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path));
  if (found === undefined) throw new Error("cannot build tiny: busybox is not installed (Debian: busybox-static)");
  return found;
}
