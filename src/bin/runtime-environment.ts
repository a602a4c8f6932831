/** What `gantry-runtime` takes from its environment. */
import { statSync } from "node:fs";
import type { ProgramCache } from "#runtime/cache/store.ts";

/** The program cache (docs/program-cache.md). What the executor's front does not look for need not be kept either (executor/front.c, executor/cached.c). */
export function findCache(): ProgramCache | undefined {
  const { GANTRY_NO_CACHE: off = "", GANTRY_CACHE: given = "", LISTEN_FDS: listening = "" } = process.env;
  if (process.geteuid?.() !== 0 || off !== "" || listening !== "") return undefined;
  const { ino, size, ctimeNs } = statSync(process.execPath, { bigint: true });
  return { directory: given === "" ? "/run/gantry-cache" : given, compiler: { ino, size, changedNs: ctimeNs } };
}

/** Where the state of containers is, unless --root says. */
export function defaultRoot(): string {
  const uid = process.getuid?.() ?? 0;
  return uid === 0 ? "/run/gantry" : `${process.env["XDG_RUNTIME_DIR"] ?? `/tmp/gantry-${uid}`}/gantry`;
}

/** sd_listen_fds(3): meant is the executor, which has started this process or, after a failure, has become it. */
export function listenDescriptors(): number {
  const meant = Number(process.env["LISTEN_PID"]);
  const count = Number(process.env["LISTEN_FDS"]);
  return (meant === process.ppid || meant === process.pid) && Number.isSafeInteger(count) && count > 0 ? count : 0;
}
