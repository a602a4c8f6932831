/** What ends the container that a command is about, for a warning about one of these steps. */
import type { Step } from "#program/encode.ts";
import { removalSteps } from "#runtime/compile/lifecycle.ts";
import { findContainer } from "#runtime/lifecycle.ts";
import type { ParsedArguments } from "../command.ts";
import { type RuntimeContext, stateRootOf } from "./context.ts";

/** The steps as the container's record says, since config.json may be another by then; undefined where there is no record. */
export function removalOf(context: RuntimeContext, parsed: ParsedArguments): readonly Step[] | undefined {
  const found = findContainer(stateRootOf(context), parsed.operands[0] ?? "");
  return found?.record === undefined ? undefined : removalSteps(found.record, found.files);
}
