/** Removing containers, whatever state they and their supervisors are in. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CodedError, isErrno } from "#base/errors.ts";
import { runTask } from "#program/task.ts";
import type { Op } from "#program/ops.gen.ts";
import { ownerName } from "#sys/owner.ts";
import { readName, removeFile, renameToNew } from "#sys/small-files.ts";
import { containerPaths } from "../paths.ts";
import type { Place } from "../place.ts";
import { readContainer, readContainers } from "./list.ts";
import { findContainer } from "./names.ts";
import type { Container } from "./record.ts";

/** How long a killed container may take to be gone. */
const killTimeoutMs = 10_000;

/** Removes the container that `reference` means and resolves with its id. @throws CodedError `not-found`, `wrong-state`, `deadline-exceeded` */
export async function removeContainer(place: Place, reference: string, options: { readonly force: boolean }): Promise<string> {
  const all = readContainers(place.paths);
  const record = findContainer(
    reference,
    all.map((container) => container.record),
  );
  const container = readContainer(place.paths, record.id);
  if (container === undefined) return record.id;
  if (container.state.status === "running") {
    if (!options.force)
      throw new CodedError("wrong-state", `cannot remove container ${record.name}: it is running (use --force to kill it first)`);
    await kill(place, container);
  }
  await removeFiles(place, container);
  return record.id;
}

async function kill(place: Place, { record, state }: Container): Promise<void> {
  if (state.status !== "running") return;
  try {
    process.kill(state.pid, "SIGKILL");
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
  for (let waitedMs = 0; waitedMs < killTimeoutMs; waitedMs += 10) {
    if (readContainer(place.paths, record.id)?.state.status !== "running") return;
    await sleep(10);
  }
  throw new CodedError(
    "deadline-exceeded",
    `cannot remove container ${record.name}: it still runs ${killTimeoutMs / 1000} s after SIGKILL`,
  );
}

/** The cgroups go first (their supervisor may have been killed), then the directory, by a rename that nobody can see half of. */
async function removeFiles(place: Place, { record }: Container): Promise<void> {
  const files = containerPaths(place.paths, record.id);
  const temporary = place.makeTemporary();
  const ops: Op[] = record.cgroups.map((path) => ({ op: "remove-cgroup", path }));
  await runTask(place.executor, ops, join(place.paths.temporary, ownerName()));
  const name = join(place.paths.names, record.name);
  if (readName(name) === record.id) removeFile(name);
  try {
    renameToNew(files.directory, join(temporary, "container"));
  } catch (error) {
    // The supervisor was faster: it removes what ran with --rm.
    if (!isErrno(error, "ENOENT")) throw error;
  }
  await place.removeTrees([temporary]);
}
