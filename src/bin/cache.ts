/** The program cache of this machine (docs/program-cache.md). */
import { statSync } from "node:fs";
import type { ProgramCache } from "#runtime/cache/store.ts";

/** What the executor's front does not look for need not be kept either (executor/front.c, executor/cached.c). */
export function findCache(): ProgramCache | undefined {
  const { GANTRY_NO_CACHE: off = "", GANTRY_CACHE: given = "", LISTEN_FDS: listening = "" } = process.env;
  if (process.geteuid?.() !== 0 || off !== "" || listening !== "") return undefined;
  const { ino, size, ctimeNs } = statSync(process.execPath, { bigint: true });
  return { directory: given === "" ? "/run/gantry-cache" : given, compiler: { ino, size, changedNs: ctimeNs } };
}
