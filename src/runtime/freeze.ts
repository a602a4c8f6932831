/** `pause` and `resume`: a container's processes are held and let go by the freezer of its cgroup. */
import { CodedError } from "#base/errors.ts";
import type { Program } from "#program/encode.ts";
import { errnoName } from "#program/failure.ts";
import { freezeLimitMs, freezeStep } from "./compile/cgroup/freeze.ts";
import { describeFailure } from "./describe-failure.ts";
import type { FoundState } from "./state.ts";

/** What is done to a container's processes. */
export type FreezeVerb = "pause" | "resume";

/**
 * The program that freezes or thaws the container and waits until all of it is. It is the executor's to run: whoever kills
 * that has ended it, and nothing freezes the container later on.
 * @throws CodedError `wrong-state`, `unsupported`
 */
export function compileFreezing({ state, stored }: FoundState, verb: FreezeVerb): Program {
  const fail = (code: "wrong-state" | "unsupported", why: string): CodedError =>
    new CodedError(code, `cannot ${verb} container ${JSON.stringify(state.id)}: ${why}`);
  if (state.status === "stopped") throw fail("wrong-state", "container not running");
  if (verb === "resume" && state.status !== "paused") throw fail("wrong-state", `container not paused: it is ${state.status}`);
  if (verb === "pause" && state.status === "paused") throw fail("wrong-state", "it is paused");
  if (verb === "pause" && state.status === "creating") throw fail("wrong-state", "it is being created");
  if (stored.freezer === undefined) throw fail("unsupported", "it has no cgroup with a freezer");
  return { main: [freezeStep(stored.freezer, verb === "pause" ? "frozen" : "thawed")], cleanup: [], children: [] };
}

/** The error for a failed op of that program. */
export function describeFreezingFailure(
  id: string,
  { verb, program, ...failure }: { readonly verb: FreezeVerb; readonly program: Program; readonly opIndex: number; readonly errno: number },
): CodedError {
  if (errnoName(failure.errno) !== "ETIMEDOUT") return describeFailure(program, failure);
  const done = verb === "pause" ? "frozen" : "thawed";
  return new CodedError(
    "deadline-exceeded",
    `cannot ${verb} container ${JSON.stringify(id)}: its processes were not all ${done} after ${freezeLimitMs} ms`,
  );
}
