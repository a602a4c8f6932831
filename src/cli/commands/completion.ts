/** `gantry completion`: the script by which a shell asks for candidates (`gantry __complete WORD...`). */
import type { Command } from "../command.ts";
import { completionScript, completionShape } from "../completion.ts";
import type { CliContext } from "../context.ts";

/** `gantry completion`. */
export const completionCommand: Command<CliContext> = {
  ...completionShape,
  examples: ["source <(gantry completion bash)"],
  run: (context, parsed) => {
    context.output.write(completionScript(parsed.operands[0], "gantry"));
    return Promise.resolve(0);
  },
};
