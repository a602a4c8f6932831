/** Writes the default config.json into a bundle. */
import { join } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import { writeNewText } from "#sys/small-files.ts";
import { makeDefaultConfig, makeRootless } from "./default-config.ts";
import { readHostFacts } from "./facts.ts";

/** Writes config.json into the directory `bundle`. @throws CodedError `already-exists` when there is one */
export function writeDefaultConfig(bundle: string, isRootless: boolean): void {
  const facts = readHostFacts();
  const config = makeDefaultConfig({ hasOnlyCgroup2: facts.cgroup.version === "v2" });
  const path = join(bundle, "config.json");
  const text = JSON.stringify(isRootless ? makeRootless(config, facts) : config, undefined, "\t");
  try {
    writeNewText(path, `${text}\n`, 0o644);
  } catch (cause) {
    if (isErrno(cause, "EEXIST")) throw new CodedError("already-exists", `cannot write ${path}: it exists; remove it first`, { cause });
    throw cause;
  }
}
