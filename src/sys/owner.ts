/**
 * Names that say which process made a file, so that what a killed process left behind can be told from work under way.
 *
 *     PID-STARTTICKS-PIDNAMESPACE-NUMBER
 *
 * A pid means something in its namespace only: an owner in another one cannot be asked after. Its files count as
 * left behind when they were not written for a day.
 */
import { readlinkSync } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { assert, isErrno } from "#base/errors.ts";
import { findProcess, isRunning, type ProcessIdentity } from "./process.ts";

/** Who made a file. */
export interface Owner extends ProcessIdentity {
  /** Inode of the pid namespace. */
  readonly namespace: number;
}

const foreignPatienceMs = 24 * 3600 * 1000;
const pattern = /(?:^|[.-])([0-9]{1,10})-([0-9]{1,15})-([0-9]{1,15})-[0-9]+$/;
let self: Owner | undefined;
let count = 0;

/** A new name that no other process and no other call will make. */
export function ownerName(): string {
  self ??= findSelf();
  return `${self.pid}-${self.startTicks}-${self.namespace}-${count++}`;
}

/** The owner that the name of a file says, at its end; undefined when it says none. */
export function parseOwnerName(name: string): Owner | undefined {
  const [, pid, startTicks, namespace] = pattern.exec(name) ?? [];
  if (namespace === undefined) return undefined;
  return { pid: Number(pid), startTicks: Number(startTicks), namespace: Number(namespace) };
}

/** True when the owner of the file has ended; false, too, for a name without an owner. `ageMs`: how long ago the file was written. */
export function isLeftBehind(name: string, ageMs: number): boolean {
  const owner = parseOwnerName(name);
  if (owner === undefined) return false;
  self ??= findSelf();
  return owner.namespace === self.namespace ? !isRunning(owner) : ageMs > foreignPatienceMs;
}

/** A file whose name says its owner. */
export interface OwnedFile {
  readonly name: string;
  readonly owner: Owner;
  /** The owner has ended. */
  readonly leftBehind: boolean;
}

/** Lists the files in `directory` whose names say an owner; none when there is no such directory. */
export async function listOwned(directory: string): Promise<OwnedFile[]> {
  const owned: OwnedFile[] = [];
  for (const name of await readdirIfPresent(directory)) {
    const owner = parseOwnerName(name);
    const ageMs = owner === undefined ? undefined : await ageOf(join(directory, name));
    if (owner !== undefined && ageMs !== undefined) owned.push({ name, owner, leftBehind: isLeftBehind(name, ageMs) });
  }
  return owned;
}

/** Removes the files and directories in `directory` that ended processes left behind. */
export async function removeLeftBehind(directory: string): Promise<void> {
  for (const { name, leftBehind } of await listOwned(directory)) {
    if (leftBehind) await rm(join(directory, name), { force: true, recursive: true });
  }
}

async function readdirIfPresent(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

async function ageOf(path: string): Promise<number | undefined> {
  try {
    return Date.now() - (await lstat(path)).mtimeMs;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function findSelf(): Owner {
  const now = findProcess(process.pid);
  assert(now !== undefined, "a process finds itself in /proc");
  const [, inode] = /\[([0-9]+)\]/.exec(readlinkSync("/proc/self/ns/pid")) ?? [];
  return { pid: now.pid, startTicks: now.startTicks, namespace: Number(inode) };
}
