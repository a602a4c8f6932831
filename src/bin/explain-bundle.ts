/** The program of an OCI bundle, as `gantry-runtime run` would run it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CodedError, inaccessible } from "#base/errors.ts";
import type { BundleConfig } from "#cli/oci/context.ts";
import { parseJsonKeepingDigits } from "#base/json.ts";
import type { Program } from "#program/encode.ts";
import { compileContainer } from "#runtime/compile/compile.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { parseRuntimeConfig } from "#spec/runtime-config.ts";

/** Reads config.json of the bundle directory `bundle`, or another file. @throws CodedError `not-found`, `invalid-spec` */
export function readBundleConfig(bundle: string, path: string = join(bundle, "config.json")): BundleConfig {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw inaccessible(`read ${path}`, cause);
  }
  try {
    return { config: parseRuntimeConfig(parseJsonKeepingDigits(bytes.toString())), text: bytes.toString("latin1") };
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
    config: readBundleConfig(bundle).config,
    bundle,
    id: "explained",
    facts: readHostFacts(),
    supervision: { kind: "foreground" },
  }).program;
}
