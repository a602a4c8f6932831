/** Holding a container still while its files are read. */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { OpFailure } from "#program/failure.ts";
import { runTask } from "#program/task.ts";
import { freezeStep } from "#runtime/compile/cgroup/freeze.ts";
import { ownerName } from "#sys/owner.ts";
import { pathExists } from "#sys/small-files.ts";
import type { Place } from "../place.ts";
import type { Container } from "./record.ts";

/** Runs `work` while no process of the container runs; one that is not running is left as it is. @throws CodedError `unsupported`, `deadline-exceeded` */
export async function whilePaused<T>(place: Place, { record, state }: Container, work: () => Promise<T>): Promise<T> {
  if (state.status !== "running") return await work();
  const freezer = record.cgroups.flatMap((path) => ["freezer.state", "cgroup.freeze"].map((name) => join(path, name))).find(pathExists);
  if (freezer === undefined) {
    const way = "--pause=false reads it as it runs";
    throw new CodedError("unsupported", `cannot pause container ${record.name}: it has no cgroup with a freezer (${way})`);
  }
  const freeze = (wanted: "frozen" | "thawed"): Promise<void> =>
    runTask(place.executor, [freezeStep(freezer, wanted).op], join(place.paths.temporary, ownerName()));
  try {
    await freeze("frozen");
  } catch (error) {
    if (!(error instanceof OpFailure)) throw error;
    throw new CodedError(error.code, `cannot pause container ${record.name}: ${error.message}`, { cause: error });
  }
  try {
    return await work();
  } finally {
    // It may have been killed meanwhile, and its cgroup be gone.
    if (pathExists(freezer)) await freeze("thawed");
  }
}
