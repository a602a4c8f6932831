/**
 * Which blobs the store needs, and the collection of those that it does not.
 *
 * Collecting happens under the store's lock and never beside a lease: a load takes its lease under that lock before it
 * looks at what is here, so a blob that it found cannot vanish before index.json names it.
 */
import { CodedError } from "#base/errors.ts";
import type { Digest } from "#spec/digest.ts";
import type { Descriptor, Index, Manifest } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import type { BlobReader } from "./blob/store.ts";
import { findDocument } from "./image.ts";
import { nameOf, type ImageLayout } from "./layout.ts";
import { isReferrersTag, referrersTag } from "./referrers.ts";

/** What a collection did. */
export interface Collection {
  readonly deleted: readonly Digest[];
  readonly freedBytes: number;
  /** Pids of processes at work in the store: nothing was deleted because of them; collect again later. */
  readonly waitingFor: readonly number[];
}

/** What a walk adds to. */
export interface ReachOptions {
  /** Digests that are known already, and not followed again. */
  readonly reached?: Set<Digest>;
  /** The manifests and indexes that are here. */
  readonly documents?: Descriptor[];
}

/**
 * All digests that `roots` reach through manifests and indexes, also those of blobs that are not here.
 *
 * @throws CodedError what readDocument throws: what a damaged manifest reaches is unknown, so nothing may be concluded.
 */
export async function findReachable(
  reader: BlobReader,
  roots: readonly Descriptor[],
  { reached = new Set<Digest>(), documents }: ReachOptions = {},
): Promise<Set<Digest>> {
  const pending = [...roots];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (reached.has(next.digest)) continue;
    reached.add(next.digest);
    const kind = documentKind(next.mediaType);
    // SPEC: image-layout.md: blobs that are referred to may be missing, such as manifests of other platforms.
    if (kind !== "manifest" && kind !== "index") continue;
    const found = findDocument(reader, next);
    const document = found instanceof Promise ? await found : found;
    if (document === undefined) continue;
    documents?.push(next);
    pending.push(...childrenOf(document));
  }
  return reached;
}

/**
 * As findReachable, for the entries of a store's index.json: the list of an image's referrers (referrers.ts) counts while the image does,
 * and does not keep it.
 *
 * @returns what is reached, the manifests and indexes among it that are here, and the entries of lists whose image is gone.
 */
export async function findReachableEntries(
  reader: BlobReader,
  entries: readonly Descriptor[],
  keep: readonly Descriptor[] = [],
): Promise<{ readonly reached: Set<Digest>; readonly documents: readonly Descriptor[]; readonly orphans: readonly Descriptor[] }> {
  const isList = (entry: Descriptor): boolean => isReferrersTag(nameOf(entry) ?? "");
  const documents: Descriptor[] = [];
  const reached = await findReachable(reader, [...entries.filter((entry) => !isList(entry)), ...keep], { documents });
  let orphans = entries.filter(isList);
  while (orphans.length > 0) {
    // A signature of a signature: each list can reach the subject of another one.
    const tags = new Set([...reached].map(referrersTag));
    const living = orphans.filter((entry) => tags.has(nameOf(entry) ?? ""));
    if (living.length === 0) break;
    orphans = orphans.filter((entry) => !living.includes(entry));
    await findReachable(reader, living, { reached, documents });
  }
  return { reached, documents, orphans };
}

/** What a document refers to directly. */
export function childrenOf(document: Manifest | Index): Descriptor[] {
  const subject = document.subject === undefined ? [] : [document.subject];
  return document.kind === "index" ? [...document.manifests, ...subject] : [document.config, ...document.layers, ...subject];
}

/**
 * Deletes the blobs that neither index.json nor `keep` reaches.
 *
 * @param keep manifests that are in use without a name, by containers say.
 * @throws CodedError `corrupt` or `invalid-spec`, and deletes nothing, when a manifest that is needed is damaged.
 */
export async function collectGarbage(layout: ImageLayout, keep: readonly Descriptor[] = []): Promise<Collection> {
  return layout.withLock(() => collectGarbageLocked(layout, keep));
}

/**
 * As collectGarbage, for a caller who holds the lock already.
 *
 * @param beside is called with the manifests and indexes that stay, before blobs go, and awaited with them; not while somebody has a lease.
 */
export async function collectGarbageLocked(
  layout: ImageLayout,
  keep: readonly Descriptor[],
  beside?: (needed: readonly Descriptor[]) => Promise<void>,
): Promise<Collection> {
  const waitingFor = layout.listLeaseHolders();
  if (waitingFor.length > 0) return { deleted: [], freedBytes: 0, waitingFor };
  const { digests, orphans, needed } = await findGarbage(layout, keep);
  if (orphans.length > 0)
    await layout.updateIndexLocked((entries) => entries.filter((entry) => !orphans.some((one) => isSameEntry(one, entry))));
  // Both are waited for also when one fails: nothing may go on once the lock is given back.
  const [blobs, others] = await Promise.allSettled([deleteBlobs(layout, digests), beside?.(needed)]);
  if (blobs.status === "rejected") throw blobs.reason;
  if (others.status === "rejected") throw others.reason;
  layout.removeStaleWork();
  return { ...blobs.value, waitingFor };
}

async function deleteBlobs(layout: ImageLayout, digests: readonly Digest[]): Promise<Pick<Collection, "deleted" | "freedBytes">> {
  const deleted: Digest[] = [];
  let freedBytes = 0;
  for (const digest of digests) {
    const size = (await layout.blobs.size(digest)) ?? 0;
    if (!(await layout.blobs.delete(digest))) continue;
    freedBytes += size;
    deleted.push(digest);
  }
  return { deleted, freedBytes };
}

/** What a collection would delete, and the manifests and indexes that would stay. @throws CodedError as collectGarbage */
export async function findGarbage(
  layout: ImageLayout,
  keep: readonly Descriptor[],
  entries?: readonly Descriptor[],
): Promise<{ readonly digests: readonly Digest[]; readonly orphans: readonly Descriptor[]; readonly needed: readonly Descriptor[] }> {
  const roots = entries ?? (await layout.readIndex()).manifests;
  const { reached, orphans, documents } = await findReachableEntries(layout.blobs, roots, keep).catch((cause: unknown) => {
    throw cause instanceof CodedError
      ? new CodedError(cause.code, `cannot collect unused blobs: a needed document is damaged: ${cause.message}`, { cause })
      : cause;
  });
  const digests: Digest[] = [];
  for (const digest of await layout.blobs.list()) if (!reached.has(digest)) digests.push(digest);
  return { digests, orphans, needed: documents };
}

function isSameEntry(left: Descriptor, right: Descriptor): boolean {
  return left.digest === right.digest && nameOf(left) === nameOf(right);
}
