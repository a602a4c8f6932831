/** Synchronous operations on small files: the way to a started container is too short for promises. */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  statSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { CodedError, isErrno } from "#base/errors.ts";
import { ownerName } from "./owner.ts";

/** Most bytes that a file of state may have. */
const maxTextBytes = 16 << 20;

/** True when `path` is a directory, links followed. */
export function isDirectoryAt(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The content of the regular file `path`, links not followed; undefined when it is none, or longer than `maxBytes`. */
export function readSmallFile(path: string, maxBytes: number): Uint8Array | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > maxBytes) return undefined;
    const content = Buffer.allocUnsafe(stats.size);
    let length = 0;
    while (length < content.length) {
      const count = readSync(fd, content, length, content.length - length, length);
      if (count === 0) return undefined;
      length += count;
    }
    return content;
  } finally {
    closeSync(fd);
  }
}

/** Makes the directory and its missing parents; one that exists is kept as it is. */
export function makeDirectory(path: string, mode = 0o700): void {
  mkdirSync(path, { recursive: true, mode });
}

/** Makes a new directory with the owner, mode and time of the directory `model`: how the top of a file system looks through an overlay. */
export function makeDirectoryLike(path: string, model: string): void {
  mkdirSync(path, { mode: 0o700 });
  const { uid, gid, mode, atime, mtime } = lstatSync(model);
  chownSync(path, uid, gid);
  chmodSync(path, mode & 0o7777);
  utimesSync(path, atime, mtime);
}

/** Makes the directory, which must be new. @throws CodedError `already-exists` */
export function makeNewDirectory(path: string, mode = 0o700): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (isErrno(error, "EEXIST")) throw new CodedError("already-exists", `cannot make ${path}: it exists`, { cause: error });
    throw error;
  }
}

/** True when something is at `path`, links not followed. */
export function pathExists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** The names in a directory; none when it does not exist. */
export function listDirectory(path: string): string[] {
  return absentAs([], () => readdirSync(path));
}

/** The names of the directories in a directory; none when it does not exist. */
export function listSubdirectories(path: string): string[] {
  return absentAs([], () =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name),
  );
}

/** The text of the regular file `path`; undefined when there is none. @throws CodedError `corrupt` for a file over 16 MiB */
export function readTextIfThere(path: string): string | undefined {
  return readRegular(path, () => undefined);
}

/**
 * The same of a file that nobody but this user could have written: what is read there is acted upon.
 * @throws CodedError `permission-denied` when it is another's, or others may write to it
 */
export function readOwnTextIfThere(path: string): string | undefined {
  return readRegular(path, ({ uid, mode }) => {
    if (uid !== process.geteuid?.()) throw new CodedError("permission-denied", `cannot use ${path}: it belongs to another user`);
    if ((mode & 0o022) !== 0) throw new CodedError("permission-denied", `cannot use ${path}: others may write to it`);
  });
}

function readRegular(path: string, check: (stats: Stats) => void): string | undefined {
  return absentAs(undefined, () => {
    const fd = openSync(path, "r");
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile() || stats.size > maxTextBytes)
        throw new CodedError("corrupt", `cannot read ${path}: it is no file of at most ${maxTextBytes} bytes`);
      check(stats);
      return readFileSync(fd, "utf8");
    } finally {
      closeSync(fd);
    }
  });
}

/** When the file was last written; undefined when it does not exist. */
export function modifiedAt(path: string): Date | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.mtime;
}

/** Whether the path is a directory, links followed; undefined when nothing is there. */
export function isDirectory(path: string): boolean | undefined {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory();
}

/** The inode number of what `path` leads to, links followed; undefined when nothing is there. */
export function findInode(path: string): bigint | undefined {
  return statSync(path, { throwIfNoEntry: false, bigint: true })?.ino;
}

/** The user id of the owner of `path`; undefined when nothing is there. */
export function ownerOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.uid;
}

/** True when the path is a directory that belongs to us and that nobody else may enter. */
export function isPrivateDirectory(path: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === process.geteuid?.() && (stats.mode & 0o077) === 0;
}

/** Writes `path` so that a reader sees the old content or the new, never a part. */
export function writeTextAtomic(path: string, text: string | Uint8Array, mode = 0o600): void {
  const temporary = `${path}.${ownerName()}`;
  writeFileSync(temporary, text, { mode, flag: "wx" });
  renameSync(temporary, path);
}

/** Writes a file that must not exist yet; for files in a directory that nobody else sees yet. */
export function writeNewText(path: string, text: string, mode = 0o600): void {
  writeFileSync(path, text, { mode, flag: "wx" });
}

/** Makes a new file and keeps it open for `work`: for what another process writes. */
export async function withNewFile(path: string, work: (fd: number) => Promise<void>): Promise<void> {
  const fd = openSync(path, "wx", 0o600);
  try {
    await work(fd);
  } finally {
    closeSync(fd);
  }
}

/** Opens the file at `path` for a lock, making it (for nobody else) when it is not there, and keeps it open for `work`. */
export async function withLockFile<Result>(path: string, work: (fd: number) => Promise<Result>): Promise<Result> {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    return await work(fd);
  } finally {
    closeSync(fd);
  }
}

/** Renames a directory to a new name. False, and nothing done, when that name is taken. */
export function renameToNew(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOTEMPTY") || isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

/** Makes a symbolic link. False when the name is taken. */
export function linkName(path: string, target: string): boolean {
  try {
    symlinkSync(target, path);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

/** What the symbolic link `path` says; undefined when there is none. */
export function readName(path: string): string | undefined {
  return absentAs(undefined, () => readlinkSync(path));
}

/** Removes a file or link; one that is gone is success. */
export function removeFile(path: string): void {
  absentAs(undefined, () => {
    unlinkSync(path);
  });
}

/** Removes an empty directory; one that is gone is success. */
export function removeEmptyDirectory(path: string): void {
  absentAs(undefined, () => {
    rmdirSync(path);
  });
}

function absentAs<Value>(absent: Value, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return absent;
    throw error;
  }
}
