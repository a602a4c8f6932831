/** `gantry images`, `gantry rmi`, `gantry verify`: what is stored. */
import { CodedError } from "#base/errors.ts";
import { formatSize } from "#base/units.ts";
import type { ImageSummary } from "#engine/requests.ts";
import { type Command, valueOf, valuesOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatAge, formatJson, formatTable, printable } from "../output.ts";
import { filterImages } from "./image-filter.ts";
import { formatOption } from "./common-options.ts";

/** `gantry images`. */
export const imagesCommand: Command<CliContext> = {
  name: "images",
  summary: "List images",
  operands: "[NAME]",
  minOperands: 0,
  maxOperands: 1,
  completes: "images",
  options: [
    { name: "all", short: "a", help: "artifacts, images for other platforms and lists of referrers, too" },
    {
      name: "filter",
      short: "f",
      value: "KEY=VALUE",
      multiple: true,
      help: "dangling=true|false, reference=PATTERN, label=NAME[=VALUE], platform=OS/ARCH, before=IMAGE, since=IMAGE",
    },
    { name: "quiet", short: "q", help: "print ids only" },
    { name: "sizes", help: "show what each image shares with others, and what removing it would free" },
    { name: "no-trunc", help: "print whole ids" },
    { name: "digests", help: "show manifest digests" },
    formatOption,
  ],
  run: async (context, parsed) => {
    const [wanted] = parsed.operands;
    const all = await context.engine().listImages({ all: parsed.switches.has("all") });
    const filters = valuesOf(parsed, "filter");
    const images = (filters.length === 0 ? all : filterImages(all, filters)).filter((image) => matches(image, wanted));
    const whole = parsed.switches.has("no-trunc");
    if (valueOf(parsed, "format") === "json") context.output.write(formatJson(images));
    else if (parsed.switches.has("quiet"))
      context.output.write([...new Set(images.map((image) => `${shortId(image.id, whole)}\n`))].join(""));
    else
      context.output.write(
        imageTable(images, { whole, digests: parsed.switches.has("digests"), sizes: parsed.switches.has("sizes"), nowMs: context.now() }),
      );
    return 0;
  },
};

function imageTable(images: readonly ImageSummary[], options: { whole: boolean; digests: boolean; sizes: boolean; nowMs: number }): string {
  const header = [
    "REPOSITORY",
    "TAG",
    ...(options.digests ? ["DIGEST"] : []),
    "IMAGE ID",
    "CREATED",
    "SIZE",
    ...(options.sizes ? ["SHARED", "UNIQUE"] : []),
  ];
  const rows = images.map((image) => {
    const { repository, tag } = splitName(image.name);
    const created = image.createdAt === undefined ? "N/A" : formatAge(image.createdAt.getTime(), options.nowMs);
    return [
      repository,
      tag,
      ...(options.digests ? [image.manifestDigest] : []),
      shortId(image.id, options.whole),
      created,
      formatSize(image.sizeBytes),
      ...(options.sizes ? [formatSize(image.sizeBytes - image.uniqueBytes), formatSize(image.uniqueBytes)] : []),
    ];
  });
  return formatTable(header, rows);
}

function matches(image: ImageSummary, wanted: string | undefined): boolean {
  if (wanted === undefined) return true;
  const { repository } = splitName(image.name);
  return image.name === wanted || repository === wanted;
}

function splitName(name: string | undefined): { repository: string; tag: string } {
  if (name === undefined) return { repository: "<none>", tag: "<none>" };
  const at = name.indexOf("@");
  if (at >= 0) return { repository: name.slice(0, at), tag: "<none>" };
  const colon = name.indexOf(":", name.lastIndexOf("/") + 1);
  return colon < 0 ? { repository: name, tag: "<none>" } : { repository: name.slice(0, colon), tag: name.slice(colon + 1) };
}

/** The first 12 digits of a digest or id, or all of it. */
export function shortId(id: string, whole: boolean): string {
  return whole ? id : id.replace(/^sha256:/, "").slice(0, 12);
}

/** `gantry rmi`. */
export const rmiCommand: Command<CliContext> = {
  name: "rmi",
  summary: "Remove images",
  operands: "IMAGE...",
  minOperands: 1,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "images",
  description: "A name is taken from its image; an image without a name left is deleted with the layers that nothing else uses.",
  options: [{ name: "force", short: "f", help: "remove an image of several names; ignore ones that do not exist" }],
  run: async (context, parsed) => {
    const force = parsed.switches.has("force");
    return await forEach(parsed.operands, context, async (reference) => {
      try {
        const removed = await context.engine().removeImage(reference, { force });
        for (const name of removed.untagged) context.output.write(`Untagged: ${name}\n`);
        for (const digest of removed.deleted) context.output.write(`Deleted: ${digest}\n`);
      } catch (error) {
        if (!(force && error instanceof CodedError && error.code === "not-found")) throw error;
      }
    });
  },
};

/** Does `work` for every operand; a failure of one is told and the others are still done. Resolves with 1 when any failed. */
export async function forEach(operands: readonly string[], context: CliContext, work: (operand: string) => Promise<void>): Promise<number> {
  let exitCode = 0;
  for (const operand of operands) {
    try {
      await work(operand);
    } catch (error) {
      if (!(error instanceof CodedError) || error.code === "internal") throw error;
      context.output.writeError(`gantry: ${printable(error.message)}\n`);
      exitCode = 1;
    }
  }
  return exitCode;
}

/** `gantry verify`. */
export const verifyCommand: Command<CliContext> = {
  name: "verify",
  summary: "Check every stored byte and reference",
  operands: "",
  minOperands: 0,
  maxOperands: 0,
  description:
    "Recomputes the digest of every blob, follows every reference and looks for leftovers. Exits with 1 when something is wrong.",
  options: [formatOption],
  run: async (context, parsed) => {
    const problems = await context.engine().verify();
    if (valueOf(parsed, "format") === "json") context.output.write(formatJson({ clean: problems.length === 0, problems }));
    else context.output.write(problems.length === 0 ? "clean\n" : problems.map((problem) => `${printable(problem)}\n`).join(""));
    return problems.length === 0 ? 0 : 1;
  },
};
