/** `start`, `state`, `kill` and `delete`: from a container's directory to the program that does it. */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import type { Program } from "#program/encode.ts";
import { pathExists } from "#sys/small-files.ts";
import { byDefault, step } from "./compile/context.ts";
import { compileKillAll } from "./compile/cgroup/freeze.ts";
import { compileDelete, compileKill, compileStart, compileState, hasOwnProcesses, type ContainerRecord } from "./compile/lifecycle.ts";
import { readHostFacts } from "./facts.ts";
import { readRecord } from "./record.ts";
import { checkContainerId } from "./run.ts";
import { stateFiles, type StateFiles } from "./state-files.ts";

/** A container that exists, or what is left of one that was being made when its runtime was killed (without a record). */
export interface FoundContainer {
  readonly id: string;
  readonly files: StateFiles;
  readonly record: ContainerRecord | undefined;
}

/** What is to be done with a container. */
export type LifecycleRequest =
  | { readonly verb: "start" | "state" }
  | { readonly verb: "kill"; readonly signal: number; readonly all: boolean }
  | { readonly verb: "delete"; readonly force: boolean };

/** Looks for a container; undefined when there is none. @throws CodedError `invalid-argument` for an id that none can have */
export function findContainer(stateRoot: string, id: string): FoundContainer | undefined {
  const files = stateFiles(join(stateRoot, checkContainerId(id)));
  if (!pathExists(files.directory)) return undefined;
  return { id, files, record: readRecord(files.record) };
}

/** @throws CodedError `already-exists` when a container has the id that is to be made by `verb` */
export function requireFreeId(stateRoot: string, id: string, verb: "create" | "restore"): void {
  if (pathExists(stateFiles(join(stateRoot, checkContainerId(id))).directory)) throw idTaken(id, verb);
}

/** The error for an id that a container has, in words that engines look for. */
export function idTaken(id: string, verb: "create" | "restore"): CodedError {
  return new CodedError("already-exists", `cannot ${verb} container ${JSON.stringify(id)}: a container with that id exists`);
}

/** @throws CodedError `not-found`, in words that engines look for */
export function requireContainer(stateRoot: string, id: string): FoundContainer & { readonly record: ContainerRecord } {
  const found = findContainer(stateRoot, id);
  if (found === undefined) throw new CodedError("not-found", `container ${JSON.stringify(id)} does not exist`);
  const { record } = found;
  if (record === undefined)
    throw new CodedError("wrong-state", `container ${JSON.stringify(id)} was never made: delete --force removes what is left of it`);
  return { ...found, record };
}

/** The program of a request. @throws CodedError `not-found` */
export function compileRequest(stateRoot: string, id: string, request: LifecycleRequest): Program {
  if (request.verb === "delete" && request.force) {
    const found = findContainer(stateRoot, id);
    if (found?.record === undefined) return found === undefined ? { main: [], cleanup: [], children: [] } : removeRest(found.files);
  }
  const { record, files } = requireContainer(stateRoot, id);
  switch (request.verb) {
    case "start":
      return compileStart(record, files);
    case "state":
      return compileState(record, files);
    case "kill":
      return request.all && !hasOwnProcesses(record.config)
        ? { main: compileKillAll({ cgroups: record.cgroups, facts: readHostFacts() }, request.signal), cleanup: [], children: [] }
        : compileKill(files, request.signal);
    case "delete":
      return compileDelete(record, files, request.force);
  }
}

/** A runtime was killed before it wrote the record, or while it deleted the container: nothing else is left by then. */
function removeRest(files: StateFiles): Program {
  const origin = byDefault("nothing is kept of a container that is deleted");
  return { main: [step({ op: "remove-tree", path: files.directory }, origin)], cleanup: [], children: [] };
}
