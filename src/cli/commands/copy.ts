/** `gantry copy`, `gantry save`: images from one place to another. */
import { CodedError } from "#base/errors.ts";
import { formatSize } from "#base/units.ts";
import type { CopyResult, TransferOptions } from "#engine/requests.ts";
import { type Command, type OptionSpec, type ParsedArguments, valueOf, valuesOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJson, printable } from "../output.ts";
import { formatOption, insecureOption } from "./common-options.ts";
import { progressPrinter } from "./progress.ts";

const transferOptions: readonly OptionSpec[] = [
  { name: "all", short: "a", help: "all platforms: keep indexes whole" },
  { name: "compression", value: "KIND", choices: ["keep", "none", "gzip", "zstd"], help: "pack layers so (changes digests; default keep)" },
  {
    name: "platform",
    value: "OS/ARCH[/VARIANT]",
    multiple: true,
    help: "this platform instead of the host's; several make an index of them",
  },
  { name: "referrers", help: "take along signatures and what else refers to the image" },
  { name: "quiet", short: "q", help: "print digests only, no progress" },
];

/** `gantry copy`. */
export const copyCommand: Command<CliContext> = {
  name: "copy",
  summary: "Copy an image between store, layouts, archives and registries",
  operands: "SOURCE TARGET",
  minOperands: 2,
  maxOperands: 2,
  completes: "images",
  description:
    "A place is NAME (the store), docker://NAME (a registry), oci:DIR[:NAME|@DIGEST] (a layout), oci-archive:FILE[:NAME|@DIGEST] or\n" +
    "docker-archive:FILE[:NAME]. Every byte is verified, only what is missing is copied, and digests stay unless --compression, --format\n" +
    "or several platforms make new documents. Between directories of one file system, blobs are shared.",
  options: [
    ...transferOptions,
    {
      name: "format",
      value: "KIND",
      choices: ["keep", "oci", "docker"],
      help: "media types of the OCI or of Docker's schema 2 (changes digests)",
    },
    insecureOption,
    { name: "json", help: "print what was done as JSON" },
  ],
  examples: [
    "gantry copy debian:12 oci:./layout:12",
    "gantry copy --all oci:./layout:12 oci-archive:debian.tar",
    "gantry copy --compression zstd docker-archive:debian.tar store:debian:zstd",
  ],
  run: async (context, parsed) => {
    const [from = "", to = ""] = parsed.operands;
    const progress = parsed.switches.has("quiet") ? undefined : progressPrinter(context);
    try {
      const format = documentFormat(parsed);
      const result = await context.engine().copyImage({
        from,
        to,
        ...transferRequest(parsed),
        ...(format === undefined ? {} : { format }),
        ...(parsed.switches.has("insecure") ? { insecure: true } : {}),
        ...(progress === undefined ? {} : { onProgress: progress.show }),
      });
      progress?.done();
      if (parsed.switches.has("json")) context.output.write(formatJson({ from, to, ...result }));
      else
        context.output.write(
          parsed.switches.has("quiet") ? `${result.digest}\n` : describe(result, `Copied ${printable(from)} to ${printable(to)}`),
        );
      return 0;
    } finally {
      progress?.done();
    }
  },
};

/** `gantry save`. */
export const saveCommand: Command<CliContext> = {
  name: "save",
  summary: "Write images into an archive",
  operands: "IMAGE...",
  minOperands: 1,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "images",
  description: "An OCI archive is read by skopeo, podman, buildkit and containerd, and, where it has no index, by docker load.",
  options: [
    ...transferOptions,
    { ...formatOption, choices: ["oci-archive", "docker-archive"], help: "what to write (default oci-archive)" },
    { name: "output", short: "o", value: "FILE", help: "write to this file instead of standard output" },
  ],
  examples: ["gantry save -o debian.tar debian:12", "gantry save --all debian | zstd > debian.tar.zst"],
  run: async (context, parsed) => {
    const file = valueOf(parsed, "output");
    if (file === undefined && context.isOutputTerminal())
      throw new CodedError("invalid-argument", "cannot save: standard output is a terminal (use -o FILE, or send it somewhere)");
    const progress = parsed.switches.has("quiet") ? undefined : progressPrinter(context);
    try {
      const saved = await context.engine().saveImages({
        images: parsed.operands,
        to: file === undefined ? context.writeBytes : file,
        archive: valueOf(parsed, "format") === "docker-archive" ? "docker-archive" : "oci-archive",
        ...transferRequest(parsed),
        ...(progress === undefined ? {} : { onProgress: progress.show }),
      });
      progress?.done();
      if (file !== undefined && !parsed.switches.has("quiet"))
        context.output.write(saved.map((result, at) => describe(result, `Saved ${printable(parsed.operands[at] ?? "")}`)).join(""));
      return 0;
    } finally {
      progress?.done();
    }
  },
};

function transferRequest(parsed: ParsedArguments): TransferOptions {
  const platforms = valuesOf(parsed, "platform");
  const compression = valueOf(parsed, "compression");
  if (parsed.switches.has("all") && platforms.length > 0)
    throw new CodedError("invalid-argument", "cannot use --all and --platform together: they say different things");
  return {
    ...(parsed.switches.has("all") ? { platforms: "all" } : platforms.length > 0 ? { platforms } : {}),
    ...(compression === "none" || compression === "gzip" || compression === "zstd" ? { compression } : {}),
    referrers: parsed.switches.has("referrers"),
  };
}

function documentFormat(parsed: ParsedArguments): "oci" | "docker" | undefined {
  const format = valueOf(parsed, "format");
  return format === "oci" || format === "docker" ? format : undefined;
}

function describe(result: CopyResult, done: string): string {
  const amount = `${result.copiedBlobs} blobs (${formatSize(result.copiedBytes)}) copied`;
  const present = result.presentBlobs === 0 ? "" : `, ${result.presentBlobs} were there`;
  const skipped = result.skippedBlobs === 0 ? "" : `, ${result.skippedBlobs} nondistributable left out`;
  const lines = [
    `${done}: ${amount}${present}${skipped}`,
    `Digest: ${result.digest}${result.isConverted ? " (another than in the source, because its form was changed)" : ""}`,
    ...(result.leftOut.length === 0 ? [] : [`Not copied: ${result.leftOut.join(", ")} (--all copies every platform)`]),
  ];
  return `${lines.map(printable).join("\n")}\n`;
}
