/**
 * The layers of an image as one page of HTML: nothing is loaded from anywhere, and all of it can be read without scripts.
 *
 * SECURITY: names, commands and comments are the image's; all text goes through `escape`, and the page forbids scripts and loading.
 */
import { displayByteString, type ByteString } from "#base/byte-string.ts";
import { replaceControls } from "#base/control-characters.ts";
import { formatSize } from "#base/units.ts";
import type { LayerReport, ReportedLayer } from "#engine/trees/report.ts";
import { folderOf, type Folder } from "./layer-tree.ts";

/** Most files of one layer that are listed one by one. */
const mostFiles = 20_000;

/** The page. */
export function layerPage(report: LayerReport): string {
  const { layers } = report;
  const sum = (of: (layer: ReportedLayer) => number): number => layers.reduce((total, layer) => total + of(layer), 0);
  const [stored, unpacked, wasted] = [sum((one) => one.sizeBytes), sum((one) => one.archiveBytes), sum((one) => one.wastedBytes)];
  const rows = layers.map(layerRow).join("");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Layers of ${escape(report.image)}</title>
<style>${style}</style></head><body>
<h1>Layers of ${escape(report.image)}</h1>
<p><code>${escape(report.id)}</code></p>
<p>${layers.length} layers, ${formatSize(stored)} stored, ${formatSize(unpacked)} unpacked, ${formatSize(wasted)} of it wasted.</p>
<table><thead><tr><th>#</th><th>stored</th><th>unpacked</th><th>added</th><th>changed</th><th>deleted</th><th>wasted</th><th>command</th></tr></thead>
<tbody>${rows}</tbody></table>
${layers.map(layerSection).join("")}
</body></html>
`;
}

function layerRow(layer: ReportedLayer, index: number): string {
  const count = (change: string): number => layer.files.filter((file) => file.change === change).length;
  const cells = [formatSize(layer.sizeBytes), formatSize(layer.archiveBytes), count("added"), count("changed"), count("deleted")];
  const numbers = [...cells, formatSize(layer.wastedBytes)].map((cell) => `<td class="n">${cell}</td>`).join("");
  return `<tr><td><a href="#layer-${index}">${index}</a></td>${numbers}<td><code>${escape(commandOf(layer))}</code></td></tr>\n`;
}

function layerSection(layer: ReportedLayer, index: number): string {
  const shown = layer.files.slice(0, mostFiles);
  const rest = layer.files.length - shown.length;
  const more = rest > 0 ? `<p>… and ${rest} more.</p>` : "";
  const comment = layer.comment === "" ? "" : `<p>${escape(layer.comment)}</p>`;
  return `<h2 id="layer-${index}">Layer ${index}</h2><p><code>${escape(layer.digest)}</code> ${escape(layer.created ?? "")}</p>
<p><code>${escape(commandOf(layer))}</code></p>${comment}${folderContent(folderOf(shown), 0)}${more}\n`;
}

function folderContent(folder: Folder, depth: number): string {
  const items = [...folder.children].map(([name, child]) => {
    const change = child.file?.change ?? "";
    const label = `<span class="${change}">${escape(displayByteString(name as ByteString))}${child.children.size > 0 ? "/" : ""}</span>`;
    const size = `<span class="s">${formatSize(child.sizeBytes)}${child.files > 1 ? `, ${child.files} files` : ""}</span>`;
    if (child.children.size === 0) return `<li>${label} ${size}</li>`;
    return `<li><details${depth < 1 ? " open" : ""}><summary>${label} ${size}</summary>${folderContent(child, depth + 1)}</details></li>`;
  });
  return `<ul>${items.join("")}</ul>`;
}

function commandOf(layer: ReportedLayer): string {
  return layer.createdBy === "" ? "(unknown)" : layer.createdBy;
}

function escape(text: string): string {
  const marks: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return replaceControls(text).replace(/[&<>"']/g, (char) => marks[char] ?? char);
}

const style = `body{font:14px system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25em .6em;border-bottom:1px solid #ddd;vertical-align:top}
.n{text-align:right;white-space:nowrap}code{font:12px ui-monospace,monospace;overflow-wrap:anywhere}ul{list-style:none;padding-left:1.2em;margin:.1em 0}
.added{color:#070}.changed{color:#850}.deleted{color:#b00;text-decoration:line-through}.s{color:#777;font-size:12px}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#111}th,td{border-color:#333}.added{color:#6c6}.changed{color:#db6}.deleted{color:#f77}}`;
