/** Where `gantry` keeps its state. */
import { join, resolve } from "node:path";

/** Absolute path of the root: what `--root` says, else `GANTRY_ROOT`, else root's or the user's own. */
export function stateRoot(told: string | undefined): string {
  // An empty variable is one that was not set: taken for a path, it would be the current directory.
  return resolve(told ?? (process.env["GANTRY_ROOT"] || defaultRoot()));
}

function defaultRoot(): string {
  if (process.getuid?.() === 0) return "/var/lib/gantry";
  const data = process.env["XDG_DATA_HOME"] ?? "";
  // The XDG base directory specification: a relative one is ignored.
  return join(data.startsWith("/") ? data : join(process.getBuiltinModule("node:os").homedir(), ".local", "share"), "gantry");
}
