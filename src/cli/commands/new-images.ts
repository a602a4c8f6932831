/** `gantry unpack`, `repack`, `commit`, `config`, `append`, `squash`, `rebase`: images made of images, trees and containers. */
import { CodedError } from "#base/errors.ts";
import { parseSize } from "#base/units.ts";
import type { NewImage, NewImageRequest } from "#engine/trees/new-image.ts";
import { joinEdits, parseInstruction } from "#image/instruction.ts";
import type { ConfigEdit } from "#image/mutate.ts";
import { type Command, type OptionSpec, type ParsedArguments, valueOf, valuesOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJson, printable } from "../output.ts";
import { progressPrinter } from "./progress.ts";
import { shortId } from "./images.ts";
import { formatOption } from "./common-options.ts";

const newImageOptions: readonly OptionSpec[] = [
  { name: "author", short: "a", value: "NAME", help: "who made it" },
  { name: "message", short: "m", value: "TEXT", help: "a comment for the history" },
  { name: "change", short: "c", value: "INSTRUCTION", multiple: true, help: 'edit the config: "ENV A=b", "CMD [...]", ...' },
  { name: "annotation", value: "NAME=VALUE", multiple: true, help: "annotate the manifest" },
  { name: "created-by", value: "TEXT", help: "what the history says that made it" },
  formatOption,
];
/** Options of commands that make a layer. */
export const layerOptions: readonly OptionSpec[] = [
  ...newImageOptions,
  { name: "compression", value: "KIND", choices: ["gzip", "zstd", "none"], help: "how the new layer is packed (default gzip)" },
];

const names = "An image is a name in the store, or oci:DIRECTORY[:TAG]. With SOURCE_DATE_EPOCH set, no time in the result comes after it.";

/** `gantry unpack`. */
export const unpackCommand: Command<CliContext> = {
  name: "unpack",
  summary: "Unpack an image to a bundle that any OCI runtime runs",
  operands: "IMAGE BUNDLE",
  minOperands: 2,
  maxOperands: 2,
  completes: "images",
  description: `Writes BUNDLE/rootfs, a config.json, and what "gantry repack" needs to find changes. ${names}`,
  options: [
    { name: "platform", value: "OS/ARCH[/VARIANT]", help: "unpack the image for this platform instead of the host's" },
    { name: "rootless", help: "for a user who is not root: one owner, no devices (the default when you are not root)" },
    { name: "max-layer-size", value: "SIZE", help: "refuse layers that are larger than this when unpacked (default 256g)" },
    { name: "quiet", short: "q", help: "print no progress" },
  ],
  examples: ["gantry unpack debian:bookworm bundle && gantry-runtime run -b bundle test", "gantry unpack oci:layout:tag bundle"],
  run: async (context, parsed) => {
    const [image = "", bundle = ""] = parsed.operands;
    const [platform, maximum] = [valueOf(parsed, "platform"), valueOf(parsed, "max-layer-size")];
    const isRootless = parsed.switches.has("rootless") || context.user.uid !== 0;
    const progress = parsed.switches.has("quiet") ? undefined : progressPrinter(context);
    try {
      const id = await context.engine().trees.unpack({
        image,
        bundle,
        ...(platform === undefined ? {} : { platform }),
        ...(isRootless ? { rootless: context.user } : {}),
        ...(maximum === undefined ? {} : { maxLayerBytes: parseSize(maximum, "--max-layer-size") }),
        ...(progress === undefined ? {} : { onProgress: progress.show }),
      });
      progress?.done();
      if (isRootless)
        context.output.writeError(
          "gantry: without root, all files are yours, devices are empty files and only user.* attributes are kept\n",
        );
      context.output.write(`${id}\n`);
      return 0;
    } finally {
      progress?.done();
    }
  },
};

/** `gantry repack`. */
export const repackCommand: Command<CliContext> = {
  name: "repack",
  summary: "Make an image of what was changed in an unpacked bundle",
  operands: "BUNDLE IMAGE",
  minOperands: 2,
  maxOperands: 2,
  completes: "files",
  description: `Only files whose metadata changed are read. The bundle can be repacked again; its changes stay relative to what was unpacked. ${names}`,
  options: layerOptions,
  run: async (context, parsed) => {
    const [bundle = "", name = ""] = parsed.operands;
    const request = { ...newImageRequest(context, parsed, "gantry repack"), name, bundle };
    return print(context, parsed, await context.engine().trees.repack(request));
  },
};

/** `gantry commit`. */
export const commitCommand: Command<CliContext> = {
  name: "commit",
  summary: "Make an image of what a container has changed",
  operands: "CONTAINER [IMAGE]",
  minOperands: 1,
  maxOperands: 2,
  completes: "containers",
  description: `A running container is held still meanwhile. What lies in volumes is no part of the image. ${names}`,
  options: [
    ...layerOptions,
    { name: "pause", value: "true|false", choices: ["true", "false"], help: "hold a running container still (default true)" },
  ],
  run: async (context, parsed) => {
    const [container = "", name] = parsed.operands;
    const request = { ...newImageRequest(context, parsed, ""), ...(name === undefined ? {} : { name }) };
    return print(
      context,
      parsed,
      await context.engine().trees.commit({ ...request, container, pause: valueOf(parsed, "pause") !== "false" }),
    );
  },
};

/** `gantry append`. */
export const appendCommand: Command<CliContext> = {
  name: "append",
  summary: "Put archives or directories on an image, each as a layer",
  operands: "IMAGE NEW-IMAGE FILE|DIR...",
  minOperands: 3,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "images",
  description: `A file is a tar archive, plain or compressed with gzip or zstd. ${names}`,
  options: layerOptions,
  run: async (context, parsed) => {
    const [image = "", name = "", ...layers] = parsed.operands;
    const request = { ...newImageRequest(context, parsed, "gantry append"), image, name, layers };
    return print(context, parsed, await context.engine().trees.append(request));
  },
};

/** `gantry squash`. */
export const squashCommand: Command<CliContext> = {
  name: "squash",
  summary: "Make one layer of all layers of an image, or of the upper ones",
  operands: "IMAGE NEW-IMAGE",
  minOperands: 2,
  maxOperands: 2,
  completes: "images",
  description: names,
  options: [...layerOptions, { name: "from", value: "N", help: "keep the layers below number N; the lowest is 0 (default 0)" }],
  run: async (context, parsed) => {
    const [image = "", name = ""] = parsed.operands;
    const from = Number(valueOf(parsed, "from") ?? "0");
    const request = { ...newImageRequest(context, parsed, "gantry squash"), image, name, from };
    return print(context, parsed, await context.engine().trees.squash(request));
  },
};

/** `gantry rebase`. */
export const rebaseCommand: Command<CliContext> = {
  name: "rebase",
  summary: "Put an image on another base, without running anything",
  operands: "IMAGE NEW-IMAGE",
  minOperands: 2,
  maxOperands: 2,
  completes: "images",
  description: `The layers of the old base, with which the image must begin, are replaced by those of the new one; the config stays. ${names}`,
  options: [
    { name: "old-base", value: "IMAGE", help: "the image it stands on" },
    { name: "new-base", value: "IMAGE", help: "the image it shall stand on" },
    ...newImageOptions.filter(({ name }) => name === "annotation" || name === "format"),
  ],
  run: async (context, parsed) => {
    const [image = "", name = ""] = parsed.operands;
    const [oldBase, newBase] = [valueOf(parsed, "old-base"), valueOf(parsed, "new-base")];
    if (oldBase === undefined || newBase === undefined)
      throw new CodedError("invalid-argument", "cannot rebase: --old-base and --new-base say from where to where");
    const request = { ...newImageRequest(context, parsed, ""), image, name, oldBase, newBase };
    return print(context, parsed, await context.engine().trees.rebase(request));
  },
};

/** `gantry config`. */
export const configCommand: Command<CliContext> = {
  name: "config",
  summary: "Edit the config of an image",
  operands: "IMAGE [NEW-IMAGE]",
  minOperands: 1,
  maxOperands: 2,
  completes: "images",
  description: `Without NEW-IMAGE the image's name is given to the new one. Lists are JSON or one word; an empty value removes a field. ${names}`,
  options: [
    { name: "env", short: "e", value: "NAME=VALUE", multiple: true, help: "set a variable" },
    { name: "unset-env", value: "NAME", multiple: true, help: "take a variable out" },
    { name: "label", short: "l", value: "NAME=VALUE", multiple: true, help: "set a label" },
    { name: "remove-label", value: "NAME", multiple: true, help: "take a label out" },
    { name: "cmd", value: "COMMAND", help: "what is run, or the arguments of the entrypoint" },
    { name: "entrypoint", value: "COMMAND", help: "what is always run" },
    { name: "user", short: "u", value: "USER[:GROUP]", help: "who runs it" },
    { name: "workdir", short: "w", value: "DIR", help: "where it runs" },
    { name: "stop-signal", value: "SIGNAL", help: "what ends it" },
    { name: "expose", value: "PORT[/PROTOCOL]", multiple: true, help: "name a port" },
    { name: "volume", value: "DIR", multiple: true, help: "name a volume" },
    { name: "no-history", help: "add no step to the history" },
    ...newImageOptions,
  ],
  run: async (context, parsed) => {
    const [image = "", name = image] = parsed.operands;
    const request = newImageRequest(context, parsed, "gantry config");
    const edit = joinEdits([request.edit ?? {}, configEdit(parsed)]);
    return print(
      context,
      parsed,
      await context.engine().trees.edit({ ...request, image, name, edit, history: !parsed.switches.has("no-history") }),
    );
  },
};

function configEdit(parsed: ParsedArguments): ConfigEdit {
  const field = (option: string, key: string): Record<string, string | null> => {
    const value = valueOf(parsed, option);
    return value === undefined ? {} : { [key]: value === "" ? null : value };
  };
  const command = (option: string, key: string): Record<string, readonly string[] | null> => {
    const value = valueOf(parsed, option);
    return value === undefined ? {} : { [key]: value === "" ? null : wordsOf(value) };
  };
  const list = (option: string, key: string): Record<string, readonly string[]> => {
    const values = valuesOf(parsed, option);
    return values.length === 0 ? {} : { [key]: values };
  };
  const labels = pairsOf(valuesOf(parsed, "label"), "--label");
  return joinEdits([
    ...valuesOf(parsed, "expose").map((port) => parseInstruction(`EXPOSE ${port}`)),
    ...valuesOf(parsed, "volume").map((path) => parseInstruction(`VOLUME ${JSON.stringify([path])}`)),
    {
      ...field("user", "User"),
      ...field("workdir", "WorkingDir"),
      ...field("stop-signal", "StopSignal"),
      ...command("cmd", "Cmd"),
      ...command("entrypoint", "Entrypoint"),
      ...list("env", "env"),
      ...list("unset-env", "unsetEnv"),
      ...list("remove-label", "removeLabels"),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    },
  ]);
}

function wordsOf(text: string): readonly string[] {
  return parseInstruction(text.startsWith("[") ? `CMD ${text}` : `CMD ${JSON.stringify([text])}`).Cmd ?? [];
}

/** What the options of a new image say. */
export function newImageRequest(context: CliContext, parsed: ParsedArguments, createdBy: string): NewImageRequest {
  const [author, message, compression] = ["author", "message", "compression"].map((option) => valueOf(parsed, option));
  const by = valueOf(parsed, "created-by") ?? createdBy;
  const annotations = pairsOf(valuesOf(parsed, "annotation"), "--annotation");
  const changes = valuesOf(parsed, "change");
  return {
    now: new Date(context.now()),
    ...epochOf(context),
    ...(author === undefined ? {} : { author }),
    ...(message === undefined ? {} : { message }),
    ...(by === "" ? {} : { createdBy: by }),
    ...(compression === "gzip" || compression === "zstd" || compression === "none" ? { compression } : {}),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(changes.length === 0 ? {} : { edit: joinEdits(changes.map(parseInstruction)) }),
  };
}

/** SOURCE_DATE_EPOCH. @see reproducible-builds.org, "SOURCE_DATE_EPOCH" */
export function epochOf(context: CliContext): { sourceDateEpoch?: number } {
  const text = context.environment["SOURCE_DATE_EPOCH"];
  if (text === undefined || text === "") return {};
  if (!/^[0-9]{1,12}$/.test(text))
    throw new CodedError("invalid-argument", `SOURCE_DATE_EPOCH is ${JSON.stringify(text)}, not seconds since 1970`);
  return { sourceDateEpoch: Number(text) };
}

function pairsOf(entries: readonly string[], option: string): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.indexOf("=");
      if (equals < 1) throw new CodedError("invalid-argument", `option ${option} is ${JSON.stringify(entry)}, not NAME=VALUE`);
      return [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

/** Prints the name and id of a new image. */
export function print(context: CliContext, parsed: ParsedArguments, made: NewImage): number {
  if (valueOf(parsed, "format") === "json") context.output.write(formatJson(made));
  else context.output.write(`${made.name === undefined ? "" : `${printable(made.name)} `}${shortId(made.id, made.name === undefined)}\n`);
  return 0;
}
