/** `gantry explain`: everything that would be done. */
import { explainProgram } from "#runtime/explain.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatOption } from "./common-options.ts";
import { containerOptions, containerRequest } from "./options.ts";

/** `gantry explain`. */
export const explainCommand: Command<CliContext> = {
  name: "explain",
  summary: "Print every operation that run would cause, without running it",
  operands: "IMAGE|BUNDLE [COMMAND [ARG...]]",
  minOperands: 1,
  maxOperands: Number.POSITIVE_INFINITY,
  stopAtOperand: true,
  completes: "images",
  options: [...containerOptions, formatOption],
  description:
    "Compiles the container exactly as run does and prints the program: each operation in words, with the place in the\n" +
    "configuration that it comes from. Nothing is executed or changed, and it needs no root. A directory with a config.json is a bundle.",
  examples: ["gantry explain debian", "gantry explain --memory 64m --read-only debian sh", "gantry explain --format json ./bundle"],
  run: async (context, parsed) => {
    const [subject = ""] = parsed.operands;
    const program = context.isBundle(subject)
      ? await context.explainBundle(subject)
      : await context.engine().explainContainer(containerRequest(context, parsed));
    context.output.write(explainProgram(program, { format: valueOf(parsed, "format") === "json" ? "json" : "text" }));
    return 0;
  },
};
