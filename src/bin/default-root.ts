/** Where `gantry-runtime` keeps the state of containers when nobody says. */
import { lstatSync, mkdirSync } from "node:fs";
import { CodedError } from "#base/errors.ts";
import { machine } from "#runtime/machine.ts";
import { userFactsOf } from "#runtime/user-facts.ts";

/** Absolute path of the directory; a user's own below /tmp is made. @throws CodedError `permission-denied` when that is another user's */
export function defaultRoot(): string {
  const uid = process.getuid?.() ?? 0;
  const given = process.env["XDG_RUNTIME_DIR"] ?? "";
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
