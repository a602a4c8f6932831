/** `gantry history`: how an image came about. */
import { formatSize } from "#base/units.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatAge, formatJson, formatTable } from "../output.ts";
import { shortId } from "./images.ts";
import { formatOption } from "./common-options.ts";

/** `gantry history`. */
export const historyCommand: Command<CliContext> = {
  name: "history",
  summary: "Print how an image came about, its newest step first",
  operands: "IMAGE",
  minOperands: 1,
  maxOperands: 1,
  completes: "images",
  options: [
    { name: "no-trunc", help: "print whole digests and commands" },
    { name: "quiet", short: "q", help: "print digests of layers only" },
    formatOption,
  ],
  run: async (context, parsed) => {
    const steps = await context.engine().imageHistory(parsed.operands[0] ?? "");
    const whole = parsed.switches.has("no-trunc");
    if (valueOf(parsed, "format") === "json") context.output.write(formatJson(steps));
    else if (parsed.switches.has("quiet"))
      context.output.write(steps.flatMap(({ layer }) => (layer === undefined ? [] : `${shortId(layer, whole)}\n`)).join(""));
    else {
      const rows = steps.map((step) => [
        step.layer === undefined ? "<none>" : shortId(step.layer, whole),
        step.createdAt === undefined ? "N/A" : formatAge(step.createdAt.getTime(), context.now()),
        whole || step.createdBy.length <= 45 ? step.createdBy : `${step.createdBy.slice(0, 44)}…`,
        formatSize(step.sizeBytes),
        step.comment,
      ]);
      context.output.write(formatTable(["LAYER", "CREATED", "CREATED BY", "SIZE", "COMMENT"], rows));
    }
    return 0;
  },
};
