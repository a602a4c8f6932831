/** What the compiler may ask about cgroups and systemd on this machine; read when it asks, so nobody else pays for it. */
import type { Machine } from "./machine.ts";

/** systemd as the manager of cgroups. */
export interface SystemdFacts {
  /** The cgroup of process 1 without "init.scope", where systemd's units are: "/" but in a container. */
  readonly root: string;
}

/** Questions about the cgroups of a machine. */
export interface CgroupFiles {
  /** The content of a file of a cgroup (host path); `undefined` when there is none or it cannot be read. */
  readonly read: (path: string) => string | undefined;
  /**
   * Whether cgroups below the mount point have a file of this name, `undefined` when none is there to tell.
   * Of v2, only cgroups that have the controller in the file's name tell.
   */
  readonly has: (mountPoint: string, file: string) => boolean | undefined;
  /** systemd, when the machine was booted with it. */
  readonly systemd: () => SystemdFacts | undefined;
}

/** The answers of a machine. */
export function cgroupFilesOf(machine: Machine): CgroupFiles {
  return { read: machine.read, has: (mountPoint, file) => hasCgroupFile(machine, mountPoint, file), systemd: () => findSystemd(machine) };
}

/** The answers of a machine about which nothing is known. */
export const unknownCgroupFiles: CgroupFiles = { read: () => undefined, has: () => undefined, systemd: () => undefined };

/** How many cgroups are asked whether they have a file. */
const witnessLimit = 8;

function hasCgroupFile(machine: Machine, mountPoint: string, file: string): boolean | undefined {
  const exists = (path: string): boolean => machine.isDirectory(path) !== undefined;
  if (exists(`${mountPoint}/${file}`)) return true;
  const isUnified = exists(`${mountPoint}/cgroup.controllers`);
  const controller = file.slice(0, file.indexOf("."));
  const witnesses = machine
    .listDirectories(mountPoint, witnessLimit)
    .map((name) => `${mountPoint}/${name}`)
    .filter((path) => !isUnified || (machine.read(`${path}/cgroup.controllers`) ?? "").trim().split(" ").includes(controller));
  if (witnesses.length === 0) return undefined;
  return witnesses.some((path) => exists(`${path}/${file}`));
}

/** @see sd_booted(3) */
function findSystemd({ isDirectory, read }: Machine): SystemdFacts | undefined {
  if (isDirectory("/run/systemd/system") !== true) return undefined;
  const lines = (read("/proc/1/cgroup") ?? "").split("\n");
  const line = lines.find((one) => one.includes(":name=systemd:")) ?? lines.find((one) => one.startsWith("0::")) ?? "0::/";
  const path = line.slice(line.indexOf(":", line.indexOf(":") + 1) + 1).replace(/\/init\.scope$/, "");
  return { root: path === "" ? "/" : path };
}
