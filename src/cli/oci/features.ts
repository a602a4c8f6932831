/** `features`: what the runtime understands, as JSON. */
import { describeFeatures } from "#runtime/features.ts";
import { formatJson } from "../output.ts";
import type { DirectCommand } from "./context.ts";

/** The command. */
export const featuresCommand: DirectCommand = {
  name: "features",
  summary: "Print what this runtime understands, as JSON",
  operands: "",
  minOperands: 0,
  maxOperands: 0,
  options: [],
  run: ({ program }) => {
    program.write(formatJson(describeFeatures(program.version)));
    return Promise.resolve(0);
  },
};
