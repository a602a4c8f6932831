/** The program of an OCI bundle, as `gantry-runtime run` would run it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { parseJsonKeepingDigits } from "#base/json.ts";
import type { Program } from "#program/encode.ts";
import { compileContainer } from "#runtime/compile/compile.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "#spec/runtime-config.ts";

/** Reads config.json of the bundle directory `bundle`. @throws CodedError `not-found`, `invalid-spec` */
export function readBundleConfig(bundle: string): RuntimeConfig {
  const path = join(bundle, "config.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new CodedError("not-found", `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  try {
    return parseRuntimeConfig(parseJsonKeepingDigits(text));
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw new CodedError("invalid-spec", `cannot read ${path}: it is no JSON (${cause instanceof Error ? cause.message : String(cause)})`, {
      cause,
    });
  }
}

/** Compiles the bundle for this machine without running anything. */
export function explainBundle(bundle: string): Program {
  return compileContainer({
    config: readBundleConfig(bundle),
    bundle,
    id: "explained",
    facts: readHostFacts(),
    supervision: { kind: "foreground" },
  }).program;
}
