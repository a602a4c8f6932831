/**
 * How long `run` of one bundle takes in gantry-runtime, crun and runc: the default config that runc writes, /bin/true of busybox.
 *
 *     bun bench/run-true.ts [--rounds=40] [--json]
 *
 * crun needs every cgroup v1 controller mounted that the kernel has; on such a machine, before:
 * mkdir -p /sys/fs/cgroup/hugetlb && mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { scratchDirectory } from "../test/support/scratch-directory.ts";
import { tool } from "../test/support/images/commands.ts";
import { compare, numberOption, report, type Contender } from "./compare.ts";

interface BundleConfig {
  process: { terminal: boolean; args: string[] };
}

/** Makes a bundle of runc's default config that runs `true` without a terminal. */
function makeBundle(directory: string): void {
  mkdirSync(join(directory, "rootfs/bin"), { recursive: true });
  for (const folder of ["proc", "dev", "sys"]) mkdirSync(join(directory, "rootfs", folder));
  copyFileSync(["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path)) ?? "/bin/busybox", join(directory, "rootfs/bin/true"));
  tool(["chmod", "755", join(directory, "rootfs/bin/true")]);
  tool(["runc", "spec", "--bundle", directory]);
  const path = join(directory, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8")) as BundleConfig;
  config.process.terminal = false;
  config.process.args = ["/bin/true"];
  writeFileSync(path, JSON.stringify(config));
}

using scratch = scratchDirectory();
const bundle = join(scratch.path, "bundle");
makeBundle(bundle);
const ours = process.env["GANTRY_RUNTIME"] ?? resolve(import.meta.dir, "../dist/gantry-runtime");
const runtimes = [ours, ...["crun", "runc"].flatMap((name) => Bun.which(name) ?? [])].filter((path) => existsSync(path));
const contenders = runtimes.map((path, index): Contender => {
  const name = path === ours ? "gantry-runtime" : (path.split("/").at(-1) ?? path);
  return {
    name,
    command: [path, "--root", join(scratch.path, `state-${name}`), "run", "--bundle", bundle, `bench-${process.pid}-${index}`],
  };
});
report(compare("run true from one bundle", contenders, { rounds: numberOption("rounds", 40), warmups: 2 }));
