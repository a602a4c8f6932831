/**
 * The files of a container's state directory, ROOT/ID. Which of them are there says where in its life it is:
 *
 *     child      its first process: a copy of /proc/PID/stat, so that pid and start time name it for ever
 *     created    `create` is complete (or, after `run`, the program was executed)
 *     start      the fifo where the process waits; `start` removes it
 *     failed     what went wrong after `start`, written by the process itself
 */
import { join } from "node:path";

/** Absolute paths of one container's files. */
export interface StateFiles {
  readonly directory: string;
  readonly child: string;
  readonly created: string;
  readonly start: string;
  readonly failed: string;
  /** What the container was made from: `ContainerRecord` as JSON. */
  readonly record: string;
}

/** Operations that are compiled when the container is made; the executor runs them by themselves (executor/front.c). */
export type PreparedVerb = "start" | "state" | "kill" | "delete" | "delete-force";

/** The state files of the container whose directory is given. */
export function stateFiles(directory: string): StateFiles {
  const at = (name: string): string => join(directory, name);
  return {
    directory,
    child: at("child"),
    created: at("created"),
    start: at("start"),
    failed: at("failed"),
    record: at("container.json"),
  };
}

/** Where the program of a verb is kept. */
export function preparedProgramPath(directory: string, verb: PreparedVerb): string {
  return join(directory, `${verb}.program`);
}
