/** `gantry tag`, `gantry untag`, `gantry prune`: names of images, and the images that nobody needs. */
import { formatSize } from "#base/units.ts";
import type { PrunedImages } from "#engine/requests.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJson, printable } from "../output.ts";
import { forEach } from "./images.ts";
import { formatOption } from "./common-options.ts";

/** `gantry tag`. */
export const tagCommand: Command<CliContext> = {
  name: "tag",
  summary: "Give an image more names",
  operands: "IMAGE NAME...",
  minOperands: 2,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "images",
  description: "An image that has the name already loses it, and stays without one if it has no other.",
  options: [],
  examples: ["gantry tag debian:12 a.example/base:1 a.example/base:latest"],
  run: async (context, parsed) => {
    const [image = "", ...names] = parsed.operands;
    return await forEach(names, context, (name) => context.engine().tagImage(image, name));
  },
};

/** `gantry untag`. */
export const untagCommand: Command<CliContext> = {
  name: "untag",
  summary: "Take names from images, which stay",
  operands: "NAME...",
  minOperands: 1,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "images",
  options: [],
  run: async (context, parsed) =>
    await forEach(parsed.operands, context, async (name) => {
      context.output.write(`Untagged: ${await context.engine().untagImage(name)}\n`);
    }),
};

/** `gantry prune`. */
export const pruneCommand: Command<CliContext> = {
  name: "prune",
  summary: "Remove images, blobs and unpacked layers that nothing needs",
  operands: "",
  minOperands: 0,
  maxOperands: 0,
  description:
    "Images without a name go, unless a container was made from them; with --all, images with names go too. Artifacts with names stay.\n" +
    "While another gantry is loading or pulling, blobs stay: what it needs has no name yet.",
  options: [
    { name: "all", short: "a", help: "all images that no container was made from" },
    { name: "dry-run", short: "n", help: "only print what would go" },
    formatOption,
  ],
  run: async (context, parsed) => {
    const isDryRun = parsed.switches.has("dry-run");
    const pruned = await context.engine().pruneImages({ all: parsed.switches.has("all"), isDryRun });
    if (valueOf(parsed, "format") === "json") context.output.write(formatJson(pruned));
    else context.output.write(describe(pruned, isDryRun));
    return 0;
  },
};

function describe({ images, blobs, layers, freedBytes, waitingFor }: PrunedImages, isDryRun: boolean): string {
  const verb = isDryRun ? "Would delete" : "Deleted";
  const lines = images.flatMap(({ digest, names }) => [
    ...names.map((name) => `${isDryRun ? "Would untag" : "Untagged"}: ${name}`),
    `${verb}: ${digest}`,
  ]);
  if (waitingFor.length > 0) lines.push(`Blobs were kept: process ${waitingFor.join(", ")} is at work; prune again later`);
  lines.push(`${verb} ${blobs} blobs and ${layers.length} unpacked layers: ${formatSize(freedBytes)}`);
  return `${lines.map(printable).join("\n")}\n`;
}
