/** What the guest needs of this machine: programs from Debian packages, and a place for its images. */
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, statfsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Ends the command with a sentence; its exit code tells it from those of guests. */
export class GuestError extends Error {}

/** Where programs are looked for. mke2fs is in sbin, which the PATH of a plain shell may lack. */
export const environment: Readonly<Record<string, string | undefined>> = {
  ...process.env,
  PATH: `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`,
};

/** Program to the Debian package that has it. */
const packageOf: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86",
  mmdebstrap: "mmdebstrap",
  mke2fs: "e2fsprogs",
  setpriv: "util-linux",
};

/** Space that the image and the disk of one run take at most, with room for what a guest writes. */
const neededBytes = 3 * 1024 ** 3;

function missingPackages(): string[] {
  const folders = (environment["PATH"] ?? "").split(":");
  return Object.entries(packageOf)
    .filter(([program]) => !folders.some((folder) => existsSync(join(folder, program))))
    .map(([, name]) => name);
}

/** Runs a program to its end; its output is shown only when it fails. @throws {GuestError} with that output */
export function runTool(command: readonly string[], variables: Readonly<Record<string, string>> = {}): void {
  const [program = "", ...rest] = command;
  const ended = spawnSync(program, rest, { encoding: "utf8", maxBuffer: 1 << 26, env: { ...environment, ...variables } });
  if (ended.error !== undefined) throw new GuestError(`cannot run ${program}: ${ended.error.message}`);
  if (ended.status === 0) return;
  throw new GuestError(`cannot run ${program}: exit code ${ended.status ?? "none"}\n${`${ended.stdout}${ended.stderr}`.trim()}`);
}

/** Checks that this machine can build and run a guest. @throws {GuestError} with what is missing; `install` installs it instead */
export function requireHost(install: boolean): void {
  if (process.arch !== "x64") throw new GuestError(`cannot run a guest: its image is made for x86-64, this is ${process.arch}`);
  if (process.getuid?.() !== 0) throw new GuestError("cannot build the guest: its files belong to root, so root must make them");
  const missing = missingPackages();
  if (missing.length === 0) return;
  if (!install) {
    const names = missing.join(" ");
    throw new GuestError(`cannot run a guest: missing Debian packages: ${names}\napt-get install ${names}   (or give --install)`);
  }
  console.error(`guest: installing ${missing.join(" ")}`);
  runTool(["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...missing], { DEBIAN_FRONTEND: "noninteractive" });
}

/**
 * The directory for images: $GANTRY_GUEST_CACHE, or below $XDG_CACHE_HOME, or in memory when there is room, or in the home directory.
 * It is made, for us alone. @throws {GuestError} when it belongs to somebody else, who could plant an image
 */
export function cacheDirectory(): string {
  const path = process.env["GANTRY_GUEST_CACHE"] ?? defaultCache();
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const { uid, mode } = lstatSync(path);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new GuestError(`cannot use ${path}: others may write there; set GANTRY_GUEST_CACHE to a directory of your own`);
  }
  return path;
}

function defaultCache(): string {
  const ofUser = process.env["XDG_CACHE_HOME"];
  if (ofUser !== undefined && ofUser !== "") return join(ofUser, "gantry-guest");
  const inMemory = `/dev/shm/gantry-guest-${process.getuid?.() ?? 0}`;
  return existsSync(inMemory) || freeBytes("/dev/shm") > neededBytes ? inMemory : join(homedir(), ".cache", "gantry-guest");
}

function freeBytes(path: string): number {
  if (!existsSync(path)) return 0;
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}
