/** `checkpoint`: from a container that runs to the program that writes it to files. */
import { isAbsolute, join } from "node:path";
import { CodedError } from "#base/errors.ts";
import type { Program } from "#program/encode.ts";
import { isDirectory } from "#sys/small-files.ts";
import { compileDump } from "./compile/criu/dump.ts";
import type { CriuOptions } from "./compile/criu/request.ts";
import type { CriuCall } from "./compile/criu/talk.ts";
import { readDumpSubject } from "./criu-facts.ts";
import { readHostFacts } from "./facts.ts";
import { requireContainer } from "./lifecycle.ts";
import { readState } from "./state.ts";

/** What the caller of `checkpoint` asks for. */
export interface CheckpointRequest {
  readonly stateRoot: string;
  readonly id: string;
  readonly call: CriuCall;
  /** The image of an earlier pre-dump, relative to this one. */
  readonly parentPath?: string;
  readonly preDump: boolean;
  readonly leaveRunning: boolean;
  /** What the caller asks of criu itself. */
  readonly options: CriuOptions;
}

/** The file whose settings criu takes over ours, unless the annotation "org.criu.config" names another; a missing one is no matter. @see runc(8) */
export const criuConfigFile = "/etc/criu/runc.conf";

/** criu's settings file for a container. */
export function configFileOption(annotations: Readonly<Record<string, string>> | undefined): CriuOptions {
  const configFile = annotations?.["org.criu.config"] ?? criuConfigFile;
  return configFile === "" ? {} : { configFile };
}

/** Compiles it. @throws CodedError `not-found`, `wrong-state`, `invalid-argument` */
export function compileCheckpoint(request: CheckpointRequest): Program {
  const { stateRoot, id, call, parentPath, preDump, leaveRunning } = request;
  const { record, files } = requireContainer(stateRoot, id);
  const { status, pid } = readState(stateRoot, id).state;
  if (status !== "running" && status !== "paused")
    throw new CodedError(
      "wrong-state",
      `cannot checkpoint container ${JSON.stringify(id)}: ${status === "stopped" ? "container not running" : `it is ${status}`}`,
    );
  if (parentPath !== undefined && (isAbsolute(parentPath) || isDirectory(join(call.imagePath, parentPath)) !== true))
    throw new CodedError("invalid-argument", "option --parent-path must be a directory relative to --image-path");
  return compileDump({
    call,
    record,
    files,
    facts: readHostFacts(),
    subject: readDumpSubject(pid, record),
    preDump,
    leaveRunning,
    options: {
      ...request.options,
      ...configFileOption(record.config.annotations),
      ...(parentPath === undefined ? {} : { parentImage: parentPath }),
      ...(parentPath === undefined && !preDump ? {} : { trackMemory: 1 }),
    },
  });
}
