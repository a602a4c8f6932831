/** `gantry export`, `gantry import`: file systems as plain archives. */
import { CodedError } from "#base/errors.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { epochOf, layerOptions, newImageRequest, print } from "./new-images.ts";

/** `gantry export`. */
export const exportCommand: Command<CliContext> = {
  name: "export",
  summary: "Write the file system of a container or image as a tar",
  operands: "CONTAINER|IMAGE",
  minOperands: 1,
  maxOperands: 1,
  completes: "images",
  description:
    "A container is looked for first. What is mounted in it is left out. With SOURCE_DATE_EPOCH set, no time in the archive comes after it.",
  options: [{ name: "output", short: "o", value: "FILE", help: "write to this file instead of standard output" }],
  examples: ["gantry export debian:12 | tar t", "gantry export -o web.tar web"],
  run: async (context, parsed) => {
    const file = valueOf(parsed, "output");
    if (file === undefined && context.isOutputTerminal())
      throw new CodedError("invalid-argument", "cannot export: standard output is a terminal (use -o FILE, or send it somewhere)");
    await context.engine().trees.export({ name: parsed.operands[0] ?? "", to: file ?? context.writeBytes, ...epochOf(context) });
    return 0;
  },
};

/** `gantry import`. */
export const importCommand: Command<CliContext> = {
  name: "import",
  summary: "Make an image of one layer of a tar of a file system",
  operands: "FILE|- [NAME]",
  minOperands: 1,
  maxOperands: 2,
  completes: "files",
  description: "The tar may be packed with gzip or zstd. NAME is a name in the store, or oci:DIRECTORY[:TAG].",
  options: [...layerOptions, { name: "platform", value: "OS/ARCH[/VARIANT]", help: "what the image is for (default: this machine)" }],
  examples: ["gantry import rootfs.tar.gz base:1", "mmdebstrap bookworm - | gantry import --change 'CMD [\"bash\"]' - debian:bookworm"],
  run: async (context, parsed) => {
    const [source = "", name] = parsed.operands;
    const platform = valueOf(parsed, "platform");
    const made = await context.engine().trees.import({
      ...newImageRequest(context, parsed, "gantry import"),
      source: source === "-" ? context.standardInput() : source,
      ...(name === undefined ? {} : { name }),
      ...(platform === undefined ? {} : { platform }),
    });
    return print(context, parsed, made);
  },
};
