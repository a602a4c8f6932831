/**
 * Names that say which process made a file, so that what a killed process left behind can be told from work under way.
 *
 *     PID-STARTTICKS-PIDNAMESPACE-NUMBER
 *
 * A pid means something in its namespace only: an owner in another one cannot be asked after. Its files count as
 * left behind when they were not written for a day.
 */
import { lstatSync, readdirSync, readlinkSync, rmSync } from "node:fs";
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
export function listOwned(directory: string): OwnedFile[] {
  const owned: OwnedFile[] = [];
  for (const name of readdirIfPresent(directory)) {
    const owner = parseOwnerName(name);
    const ageMs = owner === undefined ? undefined : ageOf(join(directory, name));
    if (owner !== undefined && ageMs !== undefined) owned.push({ name, owner, leftBehind: isLeftBehind(name, ageMs) });
  }
  return owned;
}

/** Removes the files and directories in `directory` that ended processes left behind. */
export function removeLeftBehind(directory: string): void {
  for (const { name, leftBehind } of listOwned(directory)) {
    if (leftBehind) rmSync(join(directory, name), { force: true, recursive: true });
  }
}

function readdirIfPresent(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function ageOf(path: string): number | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats === undefined ? undefined : Date.now() - stats.mtimeMs;
}

function findSelf(): Owner {
  const now = findProcess(process.pid);
  assert(now !== undefined, "a process finds itself in /proc");
  const [, inode] = /\[([0-9]+)\]/.exec(readlinkSync("/proc/self/ns/pid")) ?? [];
  return { pid: now.pid, startTicks: now.startTicks, namespace: Number(inode) };
}
