/** `gantry manifest`: documents as they are, and indexes made of images. */
import type { IndexChange } from "#engine/requests.ts";
import { UsageError } from "../arguments.ts";
import { type Command, type ParsedArguments, valueOf, valuesOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJson } from "../output.ts";
import { insecureOption } from "./common-options.ts";

/** `gantry manifest`. */
export const manifestCommand: Command<CliContext> = {
  name: "manifest",
  summary: "Print manifests; make and change indexes of several platforms",
  operands: "inspect IMAGE | create NAME IMAGE... | annotate NAME [ENTRY] | remove NAME ENTRY",
  minOperands: 2,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "images",
  description:
    "inspect prints what a name points at, in the store or any other place (docker://, oci:, oci-archive:, docker-archive:).\n" +
    "create makes an index of images of the store, one per platform. annotate and remove change an index: an entry is its digest, the\n" +
    "beginning of that, or its platform; without one, annotate changes the index itself. Each change makes a new index, which gets the name.",
  options: [
    { name: "annotation", value: "NAME=VALUE", multiple: true, help: "annotate what is made or changed" },
    { name: "arch", value: "ARCH", help: "annotate: the entry's architecture" },
    { name: "config", help: "inspect: print the image's config instead" },
    insecureOption,
    { name: "os", value: "OS", help: "annotate: the entry's operating system" },
    { name: "os-version", value: "VERSION", help: "annotate: the entry's version of the operating system" },
    { name: "platform", value: "OS/ARCH[/VARIANT]", help: "inspect: the manifest for this platform instead of the index" },
    { name: "raw", help: "inspect: print the bytes as they are, which have the digest" },
    { name: "variant", value: "VARIANT", help: "annotate: the entry's variant of the architecture" },
  ],
  examples: [
    "gantry manifest inspect --raw debian | sha256sum",
    "gantry manifest create app:1 app:1-amd64 app:1-arm64",
    "gantry manifest annotate app:1 linux/arm64 --variant v8",
  ],
  run: async (context, parsed) => {
    const [verb, name = "", ...others] = parsed.operands;
    if (verb === "inspect") {
      refuseMore(others);
      await inspect(context, name, parsed);
    } else if (verb === "create") {
      if (others.length === 0) throw new UsageError("say of which images the index is to be made");
      print(context, await context.engine().createIndex({ name, images: others, annotations: annotationsOf(parsed) }));
    } else if (verb === "annotate" || verb === "remove") {
      const [entry, ...more] = others;
      refuseMore(more);
      if (verb === "remove" && entry === undefined) throw new UsageError("say which entry is to be removed");
      const edit: IndexChange = {
        annotations: annotationsOf(parsed),
        platform: platformOf(parsed),
        isRemoval: verb === "remove",
        ...(entry === undefined ? {} : { entry }),
      };
      print(context, await context.engine().changeIndex({ name, edit }));
    } else throw new UsageError(`${JSON.stringify(verb)} is not one of inspect, create, annotate, remove`);
    return 0;
  },
};

async function inspect(context: CliContext, image: string, parsed: ParsedArguments): Promise<void> {
  const platform = valueOf(parsed, "platform");
  const found = await context.engine().readDocument({
    image,
    part: parsed.switches.has("config") ? "config" : "manifest",
    ...(platform === undefined ? {} : { platform }),
    ...(parsed.switches.has("insecure") ? { insecure: true } : {}),
  });
  if (parsed.switches.has("raw")) await context.writeBytes(found.bytes);
  else context.output.write(formatJson(JSON.parse(new TextDecoder().decode(found.bytes))));
}

function print(context: CliContext, digest: string): void {
  context.output.write(`${digest}\n`);
}

function refuseMore([extra]: readonly string[]): void {
  if (extra !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(extra)}`);
}

function platformOf(parsed: ParsedArguments): IndexChange["platform"] {
  const fields = {
    os: valueOf(parsed, "os"),
    architecture: valueOf(parsed, "arch"),
    variant: valueOf(parsed, "variant"),
    "os.version": valueOf(parsed, "os-version"),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** The values of `--annotation`. */
export function annotationsOf(parsed: ParsedArguments): Record<string, string> {
  return Object.fromEntries(
    valuesOf(parsed, "annotation").map((text) => {
      const equals = text.indexOf("=");
      if (equals < 1) throw new UsageError(`option --annotation is ${JSON.stringify(text)}, not NAME=VALUE`);
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
