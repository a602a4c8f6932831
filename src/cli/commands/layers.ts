/** `gantry layers`, `gantry diff`: what is in layers, and what will be. */
import { displayByteString } from "#base/byte-string.ts";
import { formatSize } from "#base/units.ts";
import { CodedError } from "#base/errors.ts";
import type { LayerReport } from "#engine/trees/report.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { layerPage } from "../layer-page.ts";
import { folderOf, formatFolder } from "../layer-tree.ts";
import { formatJson, formatTable } from "../output.ts";
import { formatOption } from "./common-options.ts";

/** `gantry layers`. */
export const layersCommand: Command<CliContext> = {
  name: "layers",
  summary: "Show what each layer of an image does, and what it costs",
  operands: "IMAGE",
  minOperands: 1,
  maxOperands: 1,
  completes: "images",
  description:
    "Bytes are wasted when a later layer replaces or deletes the file that they are. An image is a name in the store, or oci:DIRECTORY[:TAG].",
  options: [
    { name: "tree", help: "list the files that each layer adds (A), changes (C) and deletes (D)" },
    { name: "depth", value: "N", help: "how deep the tree goes before directories are summed up (default 3)" },
    { name: "html", value: "FILE", help: "write one page of HTML with everything" },
    formatOption,
  ],
  run: async (context, parsed) => {
    const report = await context.engine().trees.report(parsed.operands[0] ?? "");
    const page = valueOf(parsed, "html");
    if (page !== undefined) context.writeText(page, layerPage(report));
    if (valueOf(parsed, "format") === "json") context.output.write(formatJson(jsonOf(report)));
    else if (page === undefined) context.output.write(textOf(report, parsed.switches.has("tree") ? depthOf(valueOf(parsed, "depth")) : 0));
    return 0;
  },
};

function depthOf(text: string | undefined): number {
  const depth = text === undefined ? 3 : Number(text);
  if (!Number.isInteger(depth) || depth < 1)
    throw new CodedError("invalid-argument", `option --depth is ${JSON.stringify(text)}, not a number from 1 on`);
  return depth;
}

function textOf({ layers }: LayerReport, depth: number): string {
  const count = (index: number, change: string): string =>
    String(layers[index]?.files.filter((file) => file.change === change).length ?? 0);
  const rows = layers.map((layer, index) => [
    String(index),
    formatSize(layer.sizeBytes),
    formatSize(layer.archiveBytes),
    count(index, "added"),
    count(index, "changed"),
    count(index, "deleted"),
    formatSize(layer.wastedBytes),
    layer.createdBy.slice(0, 80),
  ]);
  const table = formatTable(["LAYER", "STORED", "UNPACKED", "ADDED", "CHANGED", "DELETED", "WASTED", "CREATED BY"], rows);
  if (depth === 0) return table;
  const trees = layers.map((layer, index) =>
    [`\nlayer ${index} ${layer.digest}`, ...formatFolder(folderOf(layer.files), depth)].join("\n"),
  );
  return `${table}${trees.join("\n")}\n`;
}

/** Names that are not UTF-8 come as people see them. */
function jsonOf(report: LayerReport): unknown {
  return {
    ...report,
    layers: report.layers.map((layer) => ({
      ...layer,
      files: layer.files.map((file) => ({ ...file, path: displayByteString(file.path) })),
    })),
  };
}

/** `gantry diff`. */
export const diffCommand: Command<CliContext> = {
  name: "diff",
  summary: "List what a container has added (A), changed (C) and deleted (D)",
  operands: "CONTAINER",
  minOperands: 1,
  maxOperands: 1,
  completes: "containers",
  options: [formatOption],
  run: async (context, parsed) => {
    const changes = await context.engine().trees.diff(parsed.operands[0] ?? "");
    const shown = changes.map(({ kind, path }) => ({ kind, path: displayByteString(path) }));
    if (valueOf(parsed, "format") === "json") context.output.write(formatJson(shown));
    else context.output.write(shown.map(({ kind, path }) => `${kind} ${path}\n`).join(""));
    return 0;
  },
};
