/** Why `start`, `state`, `kill` or `delete` failed. */
import { CodedError } from "#base/errors.ts";
import type { Program } from "#program/encode.ts";
import { describeErrno, errnoName, isStatus } from "#program/failure.ts";
import { compileExec } from "./compile/process.ts";
import { describeFailure } from "./describe-failure.ts";
import type { FoundContainer, LifecycleRequest } from "./lifecycle.ts";

/** The error for a failed op of a request's program, in the words that engines look for. */
export function describeRequestFailure(
  container: FoundContainer,
  { program, request, failure }: { program: Program; request: LifecycleRequest; failure: { opIndex: number; errno: number } },
): CodedError {
  const { id, record } = container;
  const { opIndex, errno } = failure;
  const op = program.main[opIndex]?.op;
  const name = errnoName(errno);
  const fail = (why: string): CodedError => new CodedError("wrong-state", `cannot ${request.verb} container ${JSON.stringify(id)}: ${why}`);
  if (op?.op === "start" && record?.config.process !== undefined) {
    if (name === "EALREADY") return fail("it has been started before");
    if (name === "ESRCH") return fail("container not running: its process has ended");
    if (isStatus(errno)) return fail(`one of its startContainer hooks failed: ${describeErrno(errno)} (/hooks/startContainer)`);
    // The process failed on its way to the program, of which the last op is all that can go wrong but for hooks.
    const exec = { main: [compileExec(record.config.process)], cleanup: [], children: [] };
    return describeFailure(exec, { opIndex: 0, errno });
  }
  if (op?.op === "require-ended") {
    if (name === "EBUSY") return fail("it is running (kill it first, or use --force)");
    return fail("its process does not end");
  }
  if ((op?.op === "open-process" || op?.op === "signal") && name === "ESRCH") return fail("container not running");
  if (op?.op === "signal" && name === "EINVAL") return fail("there is no such signal");
  return describeFailure(program, failure);
}
