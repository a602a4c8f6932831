/** `gantry layout`: image layouts that need not be ours. */
import { UsageError } from "../arguments.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJson, printable } from "../output.ts";
import { formatOption } from "./common-options.ts";

/** `gantry layout`. */
export const layoutCommand: Command<CliContext> = {
  name: "layout",
  summary: "Check an image layout: every byte, every reference, every document",
  operands: "verify DIR",
  minOperands: 2,
  maxOperands: 2,
  completes: "files",
  description: "Prints every fault with the document and the place in it. Exits with 1 when there is one. Nothing is changed.",
  options: [
    { name: "allow-missing", help: "blobs may be missing, as the specification allows" },
    { name: "deep", help: "unpack layers and compare them with the diff ids of the configs" },
    formatOption,
  ],
  run: async (context, parsed) => {
    const [verb, directory = ""] = parsed.operands;
    if (verb !== "verify") throw new UsageError(`${JSON.stringify(verb)} is not verify`);
    const problems = await context
      .engine()
      .verifyLayout(directory, { isDeep: parsed.switches.has("deep"), mayLackBlobs: parsed.switches.has("allow-missing") });
    if (valueOf(parsed, "format") === "json") context.output.write(formatJson({ clean: problems.length === 0, problems }));
    else context.output.write(problems.length === 0 ? "clean\n" : problems.map(({ message }) => `${printable(message)}\n`).join(""));
    return problems.length === 0 ? 0 : 1;
  },
};
