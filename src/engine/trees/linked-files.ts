/**
 * What files with several names held when a bundle was unpacked, by digest (BUNDLE/gantry.links).
 *
 * Whoever deletes one name of a file, or adds one, moves its change time, and then metadata cannot tell whether the others' content is as it was.
 * Such files are few, and without this all layers would be read for them.
 */
import type { ByteString } from "#base/byte-string.ts";
import { parseJsonNode } from "#base/json-node.ts";
import { digestsInTree } from "#image/layer/content.ts";
import { joinPath } from "#image/tree/change.ts";
import type { Place as Survey } from "#image/tree/survey.ts";
import { readTextIfThere, writeNewText } from "#sys/small-files.ts";
import { readListing, type BundlePaths } from "./bundle-record.ts";

/** The most that is read for it while unpacking, about 0.05 s; the files beyond are found in the layers like any other. */
const maxContentBytes = 64 << 20;
const maxFiles = 20_000;
const maxRecordBytes = 64 << 20;

/** Writes the record of the tree that was just unpacked; none when no file has several names. */
export async function rememberLinkedFiles(paths: BundlePaths, tree: Survey): Promise<void> {
  const groups = new Map<string, ByteString[]>();
  let contentBytes = 0;
  const listing = await readListing(paths);
  for (const { directory, entry } of listing.linkedFiles()) {
    const path = joinPath(directory, entry.name);
    const group = groups.get(entry.identity);
    if (group !== undefined) group.push(path);
    else if (groups.size < maxFiles && contentBytes + entry.size <= maxContentBytes) {
      groups.set(entry.identity, [path]);
      contentBytes += entry.size;
    }
  }
  if (groups.size === 0) return;
  const names = [...groups.values()];
  const digests = await digestsInTree(
    tree,
    names.map(([first]) => first as ByteString),
  );
  const files = digests.map((digest, index) => ({ digest, names: names[index] }));
  writeNewText(paths.links, `${JSON.stringify({ version: 1, files })}\n`, 0o644);
}

/** Digests of what is remembered, by path. A record that is missing says nothing. @throws CodedError `invalid-spec` */
export function readLinkedFiles(paths: BundlePaths): Map<ByteString, string> {
  const found = new Map<ByteString, string>();
  const text = readTextIfThere(paths.links);
  if (text === undefined) return found;
  const node = parseJsonNode(Buffer.from(text), paths.links, { maxBytes: maxRecordBytes });
  const version = node.get("version");
  if (version.integer() !== 1) throw version.fault("only version 1 can be read");
  for (const file of node.get("files").items()) {
    const digest = file.get("digest").string();
    for (const name of file.get("names").items()) found.set(name.string() as ByteString, digest);
  }
  return found;
}
