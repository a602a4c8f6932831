/** `completion`. */
import { UsageError } from "../arguments.ts";
import type { Command } from "../command.ts";
import { completionScript } from "../completion.ts";
import type { CliContext } from "../context.ts";

/** The command. */
export const completionCommand: Command<CliContext> = {
  name: "completion",
  summary: "Print the completion script of a shell",
  operands: "bash|zsh|fish",
  minOperands: 1,
  maxOperands: 1,
  options: [],
  examples: ["source <(gantry completion bash)"],
  run: (context, parsed) => {
    const [shell] = parsed.operands;
    if (shell !== "bash" && shell !== "zsh" && shell !== "fish")
      throw new UsageError(`${JSON.stringify(shell)} is not one of bash, zsh, fish`);
    context.output.write(completionScript(shell, "gantry"));
    return Promise.resolve(0);
  },
};
