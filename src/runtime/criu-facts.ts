/** What must be known of a machine and a container before criu is asked: paths, open files, errors in its log. */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { findInode, isDirectory, readName, readTextIfThere } from "#sys/small-files.ts";
import { normalizePath } from "./compile/context.ts";
import type { DumpSubject } from "./compile/criu/dump.ts";

/** Most symbolic links on the way to a path, as in the kernel. */
const linkLimit = 40;

/**
 * Where `path` is in the tree at `root` when links are followed as they are within it. What it names is told to criu only, which
 * compares it with mount points; nothing is opened by it.
 */
export function resolveWithin(root: string, path: string): string {
  let links = 0;
  let done = "";
  const rest = path.split("/");
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      done = done.slice(0, Math.max(0, done.lastIndexOf("/")));
      continue;
    }
    const target = linkAt(`${root}${done}/${name}`);
    if (target === undefined || ++links > linkLimit) {
      done = `${done}/${name}`;
      continue;
    }
    if (target.startsWith("/")) done = "";
    rest.unshift(...target.split("/"));
  }
  return done === "" ? "/" : done;
}

function linkAt(path: string): string | undefined {
  try {
    return readName(path);
  } catch {
    // No link, or nothing that can be looked at: the name stands for itself.
    return undefined;
  }
}

/** Looks at a container's process. @throws CodedError `not-found` when a namespace that it joined is gone */
export function readDumpSubject(pid: number, { config, rootfs }: { readonly config: RuntimeConfig; readonly rootfs: string }): DumpSubject {
  const resolve = (path: string): string => resolveWithin(rootfs, normalizePath(path));
  const ownMounts = mountIdsOf(readTextIfThere(`/proc/${pid}/mountinfo`) ?? "");
  const masked = (config.linux?.maskedPaths ?? []).map((path) => resolveWithin(`/proc/${pid}/root`, normalizePath(path)));
  return {
    pid,
    descriptors: [0, 1, 2].map((fd) => nameOfDescriptor(pid, fd, ownMounts)),
    maskedFiles: masked.filter((path) => isDirectory(`/proc/${pid}/root${path}`) === false),
    resolve,
    namespaceInode: (path) => {
      const inode = findInode(path);
      if (inode === undefined)
        throw new CodedError("not-found", `cannot find the namespace ${path}, which the container joined: it is gone`);
      return String(inode);
    },
  };
}

/** The first column of a mountinfo. */
function mountIdsOf(mountinfo: string): ReadonlySet<string> {
  return new Set(mountinfo.split("\n").map((line) => line.slice(0, line.indexOf(" "))));
}

/**
 * What a standard descriptor is: the text of its link in /proc, "pipe:[5]" for a pipe. A file of the host, which lies on no mount of
 * the container, is named as criu names one that whoever restores must have open: "file[1a:2b]", the mount and inode in hexadecimal.
 */
function nameOfDescriptor(pid: number, fd: number, ownMounts: ReadonlySet<string>): string {
  const path = `/proc/${pid}/fd/${fd}`;
  const name = readName(path) ?? "";
  const mount = /^mnt_id:\s*(\d+)$/m.exec(readTextIfThere(`/proc/${pid}/fdinfo/${fd}`) ?? "")?.[1];
  if (!name.startsWith("/") || mount === undefined || ownMounts.has(mount)) return name;
  const inode = findInode(path);
  return inode === undefined ? name : `file[${Number(mount).toString(16)}:${inode.toString(16)}]`;
}

/** What the container's standard files were. @throws CodedError `corrupt` */
export function readDescriptors(path: string): string[] {
  const text = readTextIfThere(path);
  try {
    const names: unknown = JSON.parse(text ?? "");
    if (Array.isArray(names) && names.every((name) => typeof name === "string")) return names;
  } catch (cause) {
    if (text === undefined) throw new CodedError("not-found", `cannot read ${path}: it is no image of a container`, { cause });
    throw new CodedError("corrupt", `cannot read ${path}: it is no JSON`, { cause });
  }
  throw new CodedError("corrupt", `cannot read ${path}: it is no list of names`);
}

/** The lines of criu's log that say what went wrong, as one; empty when there are none. */
export function criuErrors(workPath: string, log: string): string {
  const lines = (readTextIfThere(join(workPath, log)) ?? "").split("\n").filter((line) => line.includes("Error ("));
  // It complains of what it would have liked to have, and goes on.
  const grave = lines.filter((line) => !line.includes("RLIMIT_NOFILE") && !line.includes("Unable to create tun"));
  return grave.map((line) => line.replace(/^\([0-9.]+\)\s*(?:\d+:\s*)?/, "")).join("; ");
}
