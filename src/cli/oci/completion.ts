/** `completion`: the script by which a shell asks for candidates (`gantry-runtime __complete WORD...`, see candidates.ts). */
import { completionScript, completionShape } from "../completion.ts";
import type { DirectCommand } from "./context.ts";

/** The command. */
export const completionCommand: DirectCommand = {
  ...completionShape,
  examples: ["source <(gantry-runtime completion bash)"],
  run: ({ program }, parsed) => {
    program.write(completionScript(parsed.operands[0], "gantry-runtime"));
    return Promise.resolve(0);
  },
};
