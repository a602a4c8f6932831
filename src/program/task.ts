/** Small whole programs that supervise nothing: "do these things as root, then tell". */
import { CodedError } from "#base/errors.ts";
import { removeFile } from "#sys/small-files.ts";
import { encodeProgram, type Step } from "./encode.ts";
import { launchProgram, type SpawnExecutor, type StdioTarget } from "./launch.ts";
import type { Op } from "./ops.gen.ts";

/** The executor and how it is started. */
export interface ExecutorPort {
  readonly spawn: SpawnExecutor;
  /** Path of the binary. */
  readonly executable: string;
}

/** Runs `ops` one after another. `programPath` is a new file, which is gone as soon as the executor has it. @throws OpFailure */
export async function runTask(port: ExecutorPort, ops: readonly Op[], programPath: string): Promise<void> {
  await run(port, ops, { programPath, input: "ignore" });
}

/**
 * Takes the kernel's exclusive lock (flock) on the open file `fd`, waiting for whoever has it: Node has no flock() of its own.
 *
 * The lock belongs to the open file, which the executor shares for as long as it waits: closing `fd` gives it back, and so does the
 * kernel when this process dies, however it dies. Files are opened close-on-exec, so no other child keeps it.
 *
 * @param programPath as for runTask.
 * @throws OpFailure
 */
export async function lockDescriptor(port: ExecutorPort, fd: number, programPath: string): Promise<void> {
  await run(port, [{ op: "lock-descriptor", fd: 0, exclusive: 1 }], { programPath, input: fd });
}

async function run(
  port: ExecutorPort,
  ops: readonly Op[],
  { programPath, input }: { programPath: string; input: StdioTarget },
): Promise<void> {
  const main = ops.map((op): Step => ({ op, origin: "task" }));
  const program = encodeProgram({ main, cleanup: [], children: [] });
  const running = launchProgram(program, { ...port, programPath, mayBeElsewhere: true, stdio: [input, "ignore", "inherit"] });
  removeFile(programPath);
  const outcome = await running.outcome;
  if (outcome.failure !== undefined) throw outcome.failure;
  if (outcome.exitCode !== 0) throw new CodedError("internal", `the executor ended with exit code ${outcome.exitCode}`);
}
