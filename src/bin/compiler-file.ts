/** This executable's file as the program cache names it. */
import { statSync } from "node:fs";
import type { CompilerFile } from "#runtime/cache/entry.ts";

/** What the executor's front does not look for need not be kept either (executor/front.c). */
export function findCompilerFile(): CompilerFile | undefined {
  if (process.geteuid?.() !== 0 || (process.env["GANTRY_NO_CACHE"] ?? "") !== "" || process.env["LISTEN_FDS"] !== undefined)
    return undefined;
  const { ino, size, ctimeNs } = statSync(process.execPath, { bigint: true });
  return { ino, size, changedNs: ctimeNs };
}
