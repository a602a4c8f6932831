/** A root file system that has a static busybox and the usual mount points. */
import { chmodSync, copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";

/** Makes DIRECTORY/rootfs and returns its path. @throws when there is no busybox */
export function makeRootfs(directory: string): string {
  const rootfs = join(directory, "rootfs");
  for (const name of ["bin", "proc", "dev", "sys/fs/cgroup", "tmp", "etc"]) mkdirSync(join(rootfs, name), { recursive: true });
  const busybox = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path));
  if (busybox === undefined) throw new Error("busybox is not installed (Debian: busybox-static)");
  copyFileSync(busybox, join(rootfs, "bin/busybox"));
  chmodSync(join(rootfs, "tmp"), 0o1777);
  return rootfs;
}
