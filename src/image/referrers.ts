/**
 * What refers to a manifest: signatures, lists of contents, attestations. A layout has no field for them, so they are kept as registries
 * without the referrers API keep them: an index named after the subject's digest.
 *
 * @see distribution-spec "Referrers Tag Schema"
 */
import { digestAlgorithm, digestEncoded, type Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import type { BlobReader } from "./blob/store.ts";
import { readDocument } from "./image.ts";
import { nameOf } from "./layout.ts";

/** The tag of the index of `subject`'s referrers: `sha256-0123…`, cut and with `-` for what a tag must not have, as the spec says. */
export function referrersTag(subject: Digest): string {
  return `${digestAlgorithm(subject).slice(0, 32)}-${digestEncoded(subject).slice(0, 64)}`.replace(/[^A-Za-z0-9._-]/g, "-");
}

/** True for a name that referrersTag makes: such an entry is no image. */
export function isReferrersTag(name: string): boolean {
  return /^(?:sha256|sha512)-[0-9a-f]{64}$/.test(name);
}

/**
 * The referrers of `subject` among `entries` of a layout: those in the index named after it, and those that stand among the entries
 * themselves with a manifest that says so (oras writes layouts so).
 *
 * @throws CodedError `corrupt`, `invalid-spec`
 */
export async function readReferrers(reader: BlobReader, entries: readonly Descriptor[], subject: Digest): Promise<readonly Descriptor[]> {
  const found = new Map<Digest, Descriptor>();
  for (const entry of entries) {
    const kind = documentKind(entry.mediaType);
    if (kind === undefined || kind === "config") continue;
    if (nameOf(entry) === referrersTag(subject)) {
      const document = await readDocument(reader, entry);
      if (document.kind === "index") for (const referrer of document.manifests) found.set(referrer.digest, referrer);
    } else if (nameOf(entry) === undefined && entry.artifactType !== undefined && (await subjectOf(reader, entry)) === subject) {
      found.set(entry.digest, entry);
    }
  }
  return [...found.values()];
}

async function subjectOf(reader: BlobReader, entry: Descriptor): Promise<Digest | undefined> {
  return (await reader.size(entry.digest)) === undefined ? undefined : (await readDocument(reader, entry)).subject?.digest;
}
