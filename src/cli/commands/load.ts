/** `gantry load`: images from files. */
import { CodedError } from "#base/errors.ts";
import { parseSize } from "#base/units.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJson, printable } from "../output.ts";
import { formatOption } from "./common-options.ts";
import { progressPrinter } from "./progress.ts";

/** `gantry load`. */
export const loadCommand: Command<CliContext> = {
  name: "load",
  summary: "Load images from an OCI layout, an OCI archive or a docker-archive",
  operands: "FILE|DIR|-",
  minOperands: 0,
  maxOperands: 1,
  completes: "files",
  description:
    'Reads what "docker save", "podman save", "skopeo copy" and "umoci" write; "-" is standard input. Every byte is verified, layers are unpacked at once.',
  options: [
    { name: "input", short: "i", value: "FILE", help: "the same as the operand, as docker spells it" },
    { name: "tag", short: "t", value: "NAME", help: "give the image this name" },
    { name: "platform", value: "OS/ARCH[/VARIANT]", help: "load the image for this platform instead of the host's" },
    { name: "max-layer-size", value: "SIZE", help: "refuse layers that are larger than this when unpacked (default 256g)" },
    { name: "quiet", short: "q", help: "print names only, no progress" },
    formatOption,
  ],
  examples: [
    "gantry load image.tar",
    "gantry load --tag debian:bookworm ./layout",
    "skopeo copy … oci-archive:/dev/stdout | gantry load -",
  ],
  run: async (context, parsed) => {
    const source = parsed.operands[0] ?? valueOf(parsed, "input");
    if (source === undefined) throw new CodedError("invalid-argument", "cannot load: say which file or directory, or - for standard input");
    const progress = parsed.switches.has("quiet") ? undefined : progressPrinter(context);
    const [name, platform, maximum] = [valueOf(parsed, "tag"), valueOf(parsed, "platform"), valueOf(parsed, "max-layer-size")];
    try {
      const loaded = await context.engine().loadImages({
        source: source === "-" ? context.standardInput() : source,
        ...(name === undefined ? {} : { name }),
        ...(platform === undefined ? {} : { platform }),
        ...(maximum === undefined ? {} : { maxLayerBytes: parseSize(maximum, "--max-layer-size") }),
        ...(progress === undefined ? {} : { onProgress: progress.show }),
      });
      progress?.done();
      if (valueOf(parsed, "format") === "json") context.output.write(formatJson(loaded));
      else for (const image of loaded) context.output.write(`Loaded image: ${printable(image.name ?? image.id)}\n`);
      return 0;
    } finally {
      progress?.done();
    }
  },
};
