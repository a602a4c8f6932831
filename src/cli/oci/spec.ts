/** `spec`: a config.json to start from. */
import { writeDefaultConfig } from "#runtime/write-config.ts";
import { valueOf } from "../command.ts";
import type { DirectCommand } from "./context.ts";

/** The command. */
export const specCommand: DirectCommand = {
  name: "spec",
  summary: "Write a config.json to start from",
  operands: "",
  minOperands: 0,
  maxOperands: 0,
  options: [
    { name: "bundle", short: "b", value: "DIR", help: "where to write it (default: the current directory)" },
    { name: "rootless", help: "for a user without privileges" },
  ],
  run: ({ program }, parsed) => {
    writeDefaultConfig(program.resolveBundle(valueOf(parsed, "bundle") ?? "."), parsed.switches.has("rootless"));
    return Promise.resolve(0);
  },
};
