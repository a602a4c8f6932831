/** `completion`: the script by which a shell asks for candidates (`gantry-runtime __complete WORD...`, see candidates.ts). */
import { UsageError } from "../arguments.ts";
import { completionScript } from "../completion.ts";
import type { DirectCommand } from "./context.ts";

/** The command. */
export const completionCommand: DirectCommand = {
  name: "completion",
  summary: "Print the completion script of a shell",
  operands: "bash|zsh|fish",
  minOperands: 1,
  maxOperands: 1,
  options: [],
  examples: ["source <(gantry-runtime completion bash)"],
  run: ({ program }, parsed) => {
    const [shell] = parsed.operands;
    if (shell !== "bash" && shell !== "zsh" && shell !== "fish")
      throw new UsageError(`${JSON.stringify(shell)} is not one of bash, zsh, fish`);
    program.write(completionScript(shell, "gantry-runtime"));
    return Promise.resolve(0);
  },
};
