/** The guest's disks: Debian with systemd, built once and kept, and the project, built for each run. Both are ext4; no run changes them. */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runTool } from "./host.ts";

const projectRoot = new URL("../..", import.meta.url).pathname;

/** What every guest has. A compiler is too slow there to be of use. */
const packages = [
  "linux-image-cloud-amd64",
  "systemd-sysv",
  "dbus",
  "udev",
  "kmod",
  "runc",
  "crun",
  "podman",
  "conmon",
  "criu",
  "buildah",
  "skopeo",
  "umoci",
  "busybox-static",
  "attr",
  "acl",
  "uidmap",
  "iproute2",
  "procps",
  "libcap2-bin",
  "apparmor",
  "strace",
  "jq",
];

/** The kernel's modules for the root disk; all others are on it. With this list the initrd has 7 MB and not 30. */
const bootModules = ["virtio_pci", "virtio_blk", "ext4"];

/** Of node_modules, what tests import. Compilers and linters are 100 MB that no guest runs; bunx is a second copy of bun. */
const leftOut = /^node_modules\/(@oxlint|@oxlint-tsgolint|@oxfmt|oxlint|oxfmt|@typescript|typescript|knip)(\/|$)|\/bunx\.exe$/;

const rootDiskSize = "4G";
const projectDiskSize = "2G";

function unit(description: string, lines: readonly string[]): string {
  return `${[
    "[Unit]",
    `Description=${description}`,
    "ConditionKernelCommandLine=gantry.guest",
    ...lines,
    // The runtimes under test make cgroups; as many processes and files as they like.
    "Type=exec",
    "Delegate=yes",
    "TasksMax=infinity",
    "LimitNOFILE=524288",
    "ExecStopPost=/usr/bin/systemctl poweroff --no-block",
    "[Install]",
    "WantedBy=multi-user.target",
  ].join("\n")}\n`;
}

/** Path in the guest to content. */
function guestFiles(): Record<string, string> {
  const program = "/usr/local/sbin/gantry-guest";
  return {
    [program]: readFileSync(new URL("inside.sh", import.meta.url), "utf8"),
    "/etc/systemd/system/gantry-guest.service": unit("The command of the host", [
      "ConditionKernelCommandLine=!gantry.shell",
      "After=multi-user.target",
      "[Service]",
      `ExecStart=${program}`,
      "StandardOutput=journal+console",
    ]),
    "/etc/systemd/system/gantry-shell.service": unit("A shell on the host's terminal", [
      "ConditionKernelCommandLine=gantry.shell",
      "After=multi-user.target",
      "[Service]",
      `ExecStart=${program} shell`,
      "TTYPath=/dev/ttyS0",
      "StandardInput=tty-force",
      "StandardOutput=tty",
      "StandardError=tty",
    ]),
    "/etc/hostname": "guest\n",
  };
}

/** What is booted. */
export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
  readonly disk: string;
}

/** The image with `extra` Debian packages, built when the cache has none of the same recipe. A minute and 600 MB. */
export function ensureImage(cache: string, options: { readonly extra: readonly string[]; readonly rebuild: boolean }): GuestImage {
  const wanted = [...packages, ...options.extra].toSorted();
  const recipe = JSON.stringify([wanted, bootModules, guestFiles(), rootDiskSize]);
  const directory = join(cache, `image-${createHash("sha256").update(recipe).digest("hex").slice(0, 16)}`);
  if (options.rebuild) rmSync(directory, { recursive: true, force: true });
  if (!existsSync(directory)) {
    console.error(`guest: building ${directory} (once)`);
    buildImage(directory, wanted);
  }
  const [kernel, initrd, disk] = ["vmlinuz", "initrd.img", "root.ext4"].map((name) => join(directory, name));
  return { kernel: kernel ?? "", initrd: initrd ?? "", disk: disk ?? "" };
}

function buildImage(directory: string, wanted: readonly string[]): void {
  const scratch = mkdtempSync(`${directory}.new-`);
  try {
    const tree = join(scratch, "tree");
    const result = join(scratch, "result");
    mkdirSync(result);
    const bootFiles = join(scratch, "initramfs");
    mkdirSync(join(bootFiles, "conf.d"), { recursive: true });
    writeFileSync(join(bootFiles, "conf.d", "gantry"), "MODULES=list\n");
    writeFileSync(join(bootFiles, "modules"), `${bootModules.join("\n")}\n`);
    runTool([
      "mmdebstrap",
      "--mode=root",
      "--variant=minbase",
      "--format=directory",
      `--include=${wanted.join(",")}`,
      ...["doc", "man", "locale", "info"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
      `--essential-hook=mkdir -p "$1/etc/initramfs-tools" && cp -r "${bootFiles}/." "$1/etc/initramfs-tools/"`,
      "bookworm",
      tree,
    ]);
    addFiles(tree);
    for (const name of ["vmlinuz", "initrd.img"]) {
      const found = readdirSync(join(tree, "boot")).find((file) => file.startsWith(`${name}-`)) ?? name;
      cpSync(join(tree, "boot", found), join(result, name));
    }
    makeDisk(tree, join(result, "root.ext4"), rootDiskSize);
    // Another run may have been faster; its image is as good.
    if (!existsSync(directory)) renameSync(result, directory);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function addFiles(tree: string): void {
  for (const [path, text] of Object.entries(guestFiles())) {
    writeFileSync(join(tree, path), text, { mode: path.includes("/sbin/") ? 0o755 : 0o644 });
  }
  // Nobody logs in, and timers would only disturb.
  runTool(["chroot", tree, "systemctl", "--quiet", "enable", "gantry-guest.service", "gantry-shell.service"]);
  runTool(["chroot", tree, "systemctl", "--quiet", "mask", "serial-getty@ttyS0.service", "getty@tty1.service", "timers.target"]);
}

/** The tree as an ext4 file with holes. Without a journal, for what a run writes is thrown away. */
function makeDisk(tree: string, path: string, size: string): void {
  runTool(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0", "-d", tree, path, size]);
}

/** A disk with the project as it is now: sources, dist/, and what tests need of node_modules. Two seconds, 230 MB. */
export function buildProjectDisk(scratch: string): string {
  const tree = join(scratch, "project");
  const path = join(scratch, "project.ext4");
  const keep = (source: string): boolean => {
    const below = source.slice(projectRoot.length);
    return !below.startsWith(".git") && !leftOut.test(below);
  };
  // node_modules may be a link, which would lead nowhere in the guest.
  cpSync(projectRoot, tree, { recursive: true, verbatimSymlinks: true, filter: (source) => keep(source) && !isModules(source) });
  cpSync(join(projectRoot, "node_modules/"), join(tree, "node_modules/"), { recursive: true, verbatimSymlinks: true, filter: keep });
  makeDisk(tree, path, projectDiskSize);
  rmSync(tree, { recursive: true });
  return path;
}

function isModules(path: string): boolean {
  return path === join(projectRoot, "node_modules");
}
