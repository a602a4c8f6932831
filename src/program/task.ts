/** Small whole programs that supervise nothing: "do these things as root, then tell". */
import { CodedError } from "#base/errors.ts";
import { removeFile } from "#sys/small-files.ts";
import { encodeProgram, type Step } from "./encode.ts";
import { launchProgram, type SpawnExecutor } from "./launch.ts";
import type { Op } from "./ops.gen.ts";

/** The executor and how it is started. */
export interface ExecutorPort {
  readonly spawn: SpawnExecutor;
  /** Path of the binary. */
  readonly executable: string;
}

/** Runs `ops` one after another. `programPath` is a new file, which is gone as soon as the executor has it. @throws OpFailure */
export async function runTask(port: ExecutorPort, ops: readonly Op[], programPath: string): Promise<void> {
  const main = ops.map((op): Step => ({ op, origin: "task" }));
  const program = encodeProgram({ main, cleanup: [], children: [] });
  const running = launchProgram(program, { ...port, programPath, mayBeElsewhere: true, stdio: ["ignore", "ignore", "inherit"] });
  removeFile(programPath);
  const outcome = await running.outcome;
  if (outcome.failure !== undefined) throw outcome.failure;
  if (outcome.exitCode !== 0) throw new CodedError("internal", `the executor ended with exit code ${outcome.exitCode}`);
}
