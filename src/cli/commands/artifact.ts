/** `gantry artifact`: what refers to an image. */
import { formatSize } from "#base/units.ts";
import { UsageError } from "../arguments.ts";
import { type Command, type ParsedArguments, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJson, formatTable } from "../output.ts";
import { annotationsOf } from "./manifest.ts";
import { formatOption, insecureOption } from "./common-options.ts";

/** `gantry artifact`. */
export const artifactCommand: Command<CliContext> = {
  name: "artifact",
  summary: "Attach files to an image; list what refers to it",
  operands: "attach IMAGE FILE[:TYPE]... | list IMAGE",
  minOperands: 2,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "images",
  description:
    "IMAGE is a name in the store or another place (docker://NAME, oci:DIR:NAME). Signatures, lists of contents and attestations are\n" +
    "artifacts: manifests whose subject is the image. They are copied with it by copy --referrers, and go with it when it is removed.",
  options: [
    { name: "annotation", value: "NAME=VALUE", multiple: true, help: "attach: annotate the artifact" },
    formatOption,
    insecureOption,
    { name: "platform", value: "OS/ARCH[/VARIANT]", help: "the image for this platform instead of the index" },
    { name: "type", short: "t", value: "TYPE", help: "attach: what the artifact is, as a media type" },
  ],
  examples: [
    "gantry artifact attach --type application/spdx+json debian:12 sbom.json:application/spdx+json",
    "gantry artifact list oci:./layout:12",
  ],
  run: async (context, parsed) => {
    const [verb, subject = "", ...files] = parsed.operands;
    const platform = valueOf(parsed, "platform");
    const where = {
      subject,
      ...(platform === undefined ? {} : { platform }),
      ...(parsed.switches.has("insecure") ? { insecure: true } : {}),
    };
    if (verb === "attach") {
      const artifactType = valueOf(parsed, "type");
      if (artifactType === undefined) throw new UsageError("say what the artifact is: --type TYPE");
      const digest = await context
        .engine()
        .attachArtifact({ ...where, artifactType, files: files.map(parseFile), annotations: annotationsOf(parsed) });
      context.output.write(`${digest}\n`);
    } else if (verb === "list") {
      if (files.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(files[0])}`);
      await list(context, parsed, where);
    } else throw new UsageError(`${JSON.stringify(verb)} is not one of attach, list`);
    return 0;
  },
};

async function list(context: CliContext, parsed: ParsedArguments, where: { subject: string; platform?: string }): Promise<void> {
  const found = await context.engine().listReferrers(where);
  if (valueOf(parsed, "format") === "json") context.output.write(formatJson(found));
  else {
    const rows = found.map(({ digest, artifactType, subject, sizeBytes }) => [
      digest,
      artifactType,
      subject.slice(0, 19),
      formatSize(sizeBytes),
    ]);
    context.output.write(formatTable(["DIGEST", "TYPE", "SUBJECT", "SIZE"], rows));
  }
}

/** A type follows the last colon when it has the form of one. */
function parseFile(text: string): { path: string; mediaType: string } {
  const [, path, mediaType] = /^(.+):([a-z0-9.+-]+\/[a-z0-9.+-]+)$/i.exec(text) ?? [];
  return path === undefined || mediaType === undefined ? { path: text, mediaType: "application/octet-stream" } : { path, mediaType };
}
