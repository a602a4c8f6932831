/** What `gantry-runtime` takes from its environment. */
import { lstatSync, mkdirSync, statSync } from "node:fs";
import { CodedError } from "#base/errors.ts";
import { machine } from "#runtime/machine.ts";
import { userFactsOf } from "#runtime/user-facts.ts";
import type { ProgramCache } from "#runtime/cache/store.ts";

/** The program cache (docs/program-cache.md). What the executor's front does not look for need not be kept either (executor/front.c, executor/cached.c). */
export function findCache(): ProgramCache | undefined {
  const { GANTRY_NO_CACHE: off = "", GANTRY_NO_FRONT: frontOff = "", GANTRY_CACHE: given = "", LISTEN_FDS: listening = "" } = process.env;
  if (process.geteuid?.() !== 0 || off !== "" || frontOff !== "" || listening !== "" || userFactsOf(machine).isNested()) return undefined;
  const { ino, size, ctimeNs } = statSync(process.execPath, { bigint: true });
  return { directory: given === "" ? "/run/gantry-cache" : given, compiler: { ino, size, changedNs: ctimeNs } };
}

/** Absolute path of the directory; a user's own below /tmp is made. @throws CodedError `permission-denied` when that is another user's */
export function defaultRoot(): string {
  const uid = process.getuid?.() ?? 0;
  const told = process.env["XDG_RUNTIME_DIR"] ?? "";
  // The XDG base directory specification: a relative one is ignored.
  const given = told.startsWith("/") ? told : "";
  // As executor/prepared.c. Rootless engines call as root of a user namespace, who may not write to /run either.
  if (uid === 0 && (given === "" || !userFactsOf(machine).isNested())) return "/run/gantry";
  return `${given === "" ? ownDirectory(`/tmp/gantry-${uid}`) : given}/gantry`;
}

/** SECURITY: everybody may make directories in /tmp, by this name too. @throws CodedError `permission-denied` when it is another user's */
function ownDirectory(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stats = lstatSync(path);
  if (stats.isDirectory() && stats.uid === process.getuid?.() && (stats.mode & 0o022) === 0) return path;
  throw new CodedError("permission-denied", `cannot keep state in ${path}: it is not this user's alone (set XDG_RUNTIME_DIR or --root)`);
}

/** sd_listen_fds(3): meant is the executor, which has started this process or, after a failure, has become it. */
export function listenDescriptors(): number {
  const meant = Number(process.env["LISTEN_PID"]);
  const count = Number(process.env["LISTEN_FDS"]);
  return (meant === process.ppid || meant === process.pid) && Number.isSafeInteger(count) && count > 0 ? count : 0;
}
