/** `--preserve-fds` and socket activation. */
import { CodedError } from "#base/errors.ts";
import type { PassedDescriptors } from "#runtime/compile/supervision.ts";
import { type ParsedArguments, valueOf } from "../command.ts";
import type { RuntimeProgram } from "./context.ts";

/** The descriptors that are passed on. @throws CodedError `invalid-argument` */
export function passedDescriptors(
  { listenDescriptors }: Pick<RuntimeProgram, "listenDescriptors">,
  parsed: ParsedArguments,
): PassedDescriptors {
  const preserved = valueOf(parsed, "preserve-fds") ?? "0";
  if (!/^\d{1,9}$/.test(preserved))
    throw new CodedError("invalid-argument", `option --preserve-fds is ${JSON.stringify(preserved)}, not a count`);
  return { listening: listenDescriptors, preserved: Number(preserved) };
}
