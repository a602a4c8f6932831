/** `restore`: from a bundle and the files that `checkpoint` wrote to the program that makes the container again. */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import type { Program, Step } from "#program/encode.ts";
import { isDirectory } from "#sys/small-files.ts";
import { resolveHostPath } from "./compile/context.ts";
import { descriptorsFile } from "./compile/criu/dump.ts";
import type { CriuOptions } from "./compile/criu/request.ts";
import { compileRestore } from "./compile/criu/restore.ts";
import type { CriuCall } from "./compile/criu/talk.ts";
import { removalSteps } from "./compile/lifecycle.ts";
import { configFileOption } from "./checkpoint.ts";
import { requireFreeId } from "./lifecycle.ts";
import { readDescriptors, resolveWithin } from "./criu-facts.ts";
import { type BundleOptions, checkContainerId, claimSteps, recordOf, supervisionOf } from "./run.ts";
import { stateFiles } from "./state-files.ts";

/** What a restored container is made of. */
export interface RestoreOptions extends Omit<BundleOptions, "mode"> {
  readonly mode: "run" | "run-detached";
  readonly call: CriuCall;
  /** What the caller asks of criu itself. */
  readonly criu: CriuOptions;
}

/** Compiles it; nothing is touched. @throws CodedError `not-found`, `corrupt`, `invalid-argument`, `invalid-spec`, `unsupported` */
export function compileRestoredBundle(options: RestoreOptions): Program {
  const { id, bundle, config, mode, call, facts, cgroupManager, warn } = options;
  const files = stateFiles(join(options.stateRoot, checkContainerId(id)));
  requireFreeId(options.stateRoot, id, "restore");
  if (isDirectory(call.imagePath) !== true)
    throw new CodedError("not-found", `cannot restore container ${JSON.stringify(id)}: there is no image directory ${call.imagePath}`);
  const rootfs = resolveHostPath(bundle, config.root?.path ?? "");
  let removal: readonly Step[] = [];
  const program = compileRestore({
    call,
    config,
    bundle,
    id,
    facts,
    cgroupManager,
    warn,
    supervision: supervisionOf(options, files),
    begin: (made) => {
      const record = recordOf(options, made);
      removal = removalSteps(record, files);
      return claimSteps(record, files, mode);
    },
    mountPoint: join(files.directory, "criu-root"),
    descriptors: readDescriptors(join(call.imagePath, descriptorsFile)),
    resolve: (path) => resolveWithin(rootfs, path),
    options: { ...options.criu, ...configFileOption(config.annotations) },
  });
  const main = options.keep === true ? program.main.filter(({ op }) => op.op !== "cleanup") : program.main;
  return { ...program, main, cleanup: removal };
}
