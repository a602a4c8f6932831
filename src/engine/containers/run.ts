/** Running a container in the foreground. */
import { join } from "node:path";
import { encodeProgram } from "#program/encode.ts";
import { launchProgram, type ProgramOutcome } from "#program/launch.ts";
import { CodedError } from "#base/errors.ts";
import { describeFailure } from "#runtime/describe-failure.ts";
import { removeFile } from "#sys/small-files.ts";
import type { ForegroundContainer } from "../requests.ts";
import type { Place } from "../place.ts";
import { makeContainer, type PlannedContainer } from "./create.ts";

/** Makes the planned container and starts it with this process's stdio. `fillRootfs` puts the tree in place where no overlay does. */
export async function runPlanned(
  place: Place,
  planned: PlannedContainer,
  fillRootfs: (() => Promise<void>) | undefined,
): Promise<ForegroundContainer> {
  await makeContainer(place, planned);
  const { record, files, compiled } = planned;
  try {
    await fillRootfs?.();
    const running = launchProgram(encodeProgram(compiled.program), {
      ...place.executor,
      programPath: files.program,
      stdio: ["inherit", "inherit", "inherit"],
    });
    return {
      id: record.id,
      signal: running.signal,
      exitCode: running.outcome.then((outcome) => settle(place, planned, outcome)),
    };
  } catch (error) {
    await discard(place, planned);
    throw error;
  }
}

async function settle(place: Place, planned: PlannedContainer, outcome: ProgramOutcome): Promise<number> {
  if (outcome.failure !== undefined) {
    // A container that never ran is of no use to anybody: nothing of it stays.
    await discard(place, planned);
    throw describeFailure(planned.compiled.program, outcome.failure);
  }
  const [warning] = outcome.warnings;
  if (warning !== undefined) {
    const { message } = describeFailure(planned.compiled.program, warning);
    throw new CodedError("internal", `the container ended with ${outcome.exitCode}, but not all of it could be cleaned up: ${message}`);
  }
  return outcome.exitCode;
}

async function discard(place: Place, { record, files }: PlannedContainer): Promise<void> {
  removeFile(join(place.paths.names, record.name));
  await place.removeTrees([files.directory]);
}
