/** The `manifest.json` of a docker archive: which files are an image's config and layers, and what it is called. */
import { parseJsonNode, readStrings, type JsonNode } from "#base/json-node.ts";
import { findReference } from "./names.ts";

/** One image of a docker archive; `config` and `layers` are names in the archive. */
export interface DockerArchiveImage {
  readonly config: string;
  /** Whole references. */
  readonly names: readonly string[];
  /** Lowest first. */
  readonly layers: readonly string[];
}

/** How long a manifest.json may be. */
export const dockerManifestMaxBytes: number = 4 << 20;

/** Parses a manifest.json; `document` names it in errors. @throws CodedError `invalid-spec` */
export function parseDockerManifest(bytes: Uint8Array, document: string): DockerArchiveImage[] {
  return parseJsonNode(bytes, document, { maxBytes: dockerManifestMaxBytes, maxDepth: 16 })
    .items()
    .map((image) => ({
      config: readName(image.get("Config")),
      names: image.get("RepoTags").optional((tags) => tags.items().map(readReference)) ?? [],
      // COMPAT: an image without layers has null here.
      layers: image.get("Layers").optional(readStrings)?.map(trimmed) ?? [],
    }));
}

function readName(node: JsonNode): string {
  return trimmed(node.string());
}

function trimmed(name: string): string {
  return name.replace(/^(?:\.?\/)+/, "");
}

function readReference(node: JsonNode): string {
  const name = findReference(node.string());
  if (name === undefined) throw node.fault(`it is ${JSON.stringify(node.string().slice(0, 300))}, not the name of an image`);
  return name;
}
