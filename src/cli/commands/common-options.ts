/** Options of many commands. In a file of their own: a listing has no use for all that describes a container. */
import type { OptionSpec } from "../command.ts";

/** `--format table|json`, on every listing. */
export const formatOption: OptionSpec = { name: "format", value: "FORMAT", choices: ["table", "json"], help: "how to print" };

/** `--insecure`, wherever registries are talked to. */
export const insecureOption: OptionSpec = {
  name: "insecure",
  help: "take any certificate of a registry, and http where there is no https",
};
