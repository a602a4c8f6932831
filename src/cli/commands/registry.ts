/** `gantry pull`, `gantry push`: images from and to registries. */
import { CodedError } from "#base/errors.ts";
import { parseSize } from "#base/units.ts";
import { type Command, type OptionSpec, type ParsedArguments, valueOf, valuesOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJsonLine, printable } from "../output.ts";
import { insecureOption } from "./common-options.ts";
import { transferDisplay } from "./transfer-progress.ts";

const sharedOptions: readonly OptionSpec[] = [
  { name: "concurrency", value: "COUNT", help: "how many blobs are under way at once (default 4)" },
  { name: "format", value: "FORMAT", choices: ["text", "json"], help: "json: one event a line, the result last" },
  insecureOption,
  { name: "platform", value: "OS/ARCH[/VARIANT]", help: "the image for this platform instead of the host's" },
  { name: "quiet", short: "q", help: "print the result only" },
];

const places =
  "Credentials come from the files and helpers of docker and podman; mirrors, certificates and the registry of short names from\n" +
  "registries.json (GANTRY_REGISTRIES, ~/.config/gantry or /etc/gantry), proxies from HTTPS_PROXY, HTTP_PROXY and NO_PROXY.";

/** `gantry pull`. */
export const pullCommand: Command<CliContext> = {
  name: "pull",
  summary: "Get images from registries",
  operands: "REGISTRY/NAME[:TAG][@DIGEST]...",
  minOperands: 1,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "images",
  description:
    "Layers are downloaded side by side and unpacked while others still come. A download that breaks off, whoever was killed, goes on\n" +
    `where it stopped the next time. Nothing is used before all of it is verified.\n${places}`,
  options: [
    { name: "all-platforms", short: "a", help: "keep the whole index, with the images for every platform" },
    { name: "max-layer-size", value: "SIZE", help: "refuse layers that are larger than this when unpacked (default 256g)" },
    ...sharedOptions,
  ],
  examples: ["gantry pull registry.example/debian:12", "gantry pull --platform linux/arm64 localhost:5000/app@sha256:…"],
  run: async (context, parsed) => {
    const { allPlatforms, platform, shared } = requestOf(parsed, "all-platforms");
    const maximum = valueOf(parsed, "max-layer-size");
    for (const reference of parsed.operands) {
      const display = transferDisplay(context, displayKind(parsed));
      try {
        const pulled = await context.engine().pullImage({
          reference,
          ...platform,
          ...(allPlatforms ? { allPlatforms } : {}),
          ...shared,
          ...(maximum === undefined ? {} : { maxLayerBytes: parseSize(maximum, "--max-layer-size") }),
          onProgress: display.show,
        });
        display.done();
        const text = `Digest: ${pulled.digest}\nStatus: ${pulled.changed ? "pulled" : "up to date"}\n${printable(pulled.name ?? pulled.id)}\n`;
        context.output.write(resultOf(parsed, pulled, { text, quiet: pulled.id }));
      } finally {
        display.done();
      }
    }
    return 0;
  },
};

/** `gantry push`. */
export const pushCommand: Command<CliContext> = {
  name: "push",
  summary: "Put an image into a registry",
  operands: "IMAGE [REGISTRY/NAME[:TAG]]",
  minOperands: 1,
  maxOperands: 2,
  completes: "images",
  description: `What the registry has is not sent again. Without a destination, the image goes where its name says.\n${places}`,
  options: [
    { name: "all", short: "a", help: "push the index with the images for every platform" },
    { name: "referrers", help: "take along signatures and what else refers to the image" },
    ...sharedOptions,
    { name: "tag", value: "TAG", multiple: true, help: "give it this tag of the repository, too" },
  ],
  examples: ["gantry push localhost:5000/app:1", "gantry push debian registry.example/team/debian:12 --tag latest"],
  run: async (context, parsed) => {
    const [image = "", destination] = parsed.operands;
    const { allPlatforms, platform, shared } = requestOf(parsed, "all");
    const display = transferDisplay(context, displayKind(parsed));
    try {
      const pushed = await context.engine().pushImage({
        image,
        ...(destination === undefined ? {} : { destination }),
        ...platform,
        ...(allPlatforms ? { allPlatforms } : {}),
        ...(parsed.switches.has("referrers") ? { referrers: true } : {}),
        moreTags: valuesOf(parsed, "tag"),
        ...shared,
        onProgress: display.show,
      });
      display.done();
      const text = `Digest: ${pushed.digest}\nPushed: ${printable(pushed.name)}\n`;
      context.output.write(resultOf(parsed, pushed, { text, quiet: pushed.digest }));
      return 0;
    } finally {
      display.done();
    }
  },
};

function displayKind(parsed: ParsedArguments): "quiet" | "json" | "people" {
  if (valueOf(parsed, "format") === "json") return "json";
  return parsed.switches.has("quiet") ? "quiet" : "people";
}

function resultOf(parsed: ParsedArguments, result: object, { text, quiet }: { text: string; quiet: string }): string {
  if (valueOf(parsed, "format") === "json") return formatJsonLine({ kind: "result", result });
  return parsed.switches.has("quiet") ? `${quiet}\n` : text;
}

interface SharedRequest {
  readonly allPlatforms: boolean;
  readonly platform: { readonly platform?: string };
  readonly shared: { readonly insecure?: boolean; readonly concurrency?: number };
}

function requestOf(parsed: ParsedArguments, allSwitch: string): SharedRequest {
  const [platform, concurrency] = [valueOf(parsed, "platform"), valueOf(parsed, "concurrency")];
  const allPlatforms = parsed.switches.has(allSwitch);
  if (allPlatforms && platform !== undefined)
    throw new CodedError("invalid-argument", `cannot use --${allSwitch} and --platform together: they say different things`);
  if (concurrency !== undefined && !/^[1-9][0-9]?$/.test(concurrency))
    throw new CodedError("invalid-argument", `option --concurrency is ${JSON.stringify(concurrency)}, not a number from 1 to 99`);
  return {
    allPlatforms,
    platform: platform === undefined ? {} : { platform },
    shared: {
      ...(parsed.switches.has("insecure") ? { insecure: true } : {}),
      ...(concurrency === undefined ? {} : { concurrency: Number(concurrency) }),
    },
  };
}
