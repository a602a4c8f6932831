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
import { readDocument } from "./image.ts";
import type { ImageLayout } from "./layout.ts";

/** What a collection did. */
export interface Collection {
  readonly deleted: readonly Digest[];
  readonly freedBytes: number;
  /** Pids of processes at work in the store: nothing was deleted because of them; collect again later. */
  readonly waitingFor: readonly number[];
}

/**
 * All digests that `roots` reach through manifests and indexes, also those of blobs that are not here.
 *
 * @throws CodedError what readDocument throws: what a damaged manifest reaches is unknown, so nothing may be concluded.
 */
export async function findReachable(reader: BlobReader, roots: readonly Descriptor[]): Promise<Set<Digest>> {
  const reached = new Set<Digest>();
  const pending = [...roots];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (reached.has(next.digest)) continue;
    reached.add(next.digest);
    const kind = documentKind(next.mediaType);
    // SPEC: image-layout.md: blobs that are referred to may be missing, such as manifests of other platforms.
    if ((kind === "manifest" || kind === "index") && (await reader.size(next.digest)) !== undefined) {
      pending.push(...childrenOf(await readDocument(reader, next)));
    }
  }
  return reached;
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

/** As collectGarbage, for a caller who holds the lock already. */
export async function collectGarbageLocked(layout: ImageLayout, keep: readonly Descriptor[]): Promise<Collection> {
  const waitingFor = await layout.listLeaseHolders();
  if (waitingFor.length > 0) return { deleted: [], freedBytes: 0, waitingFor };
  const reached = await findReachable(layout.blobs, [...(await layout.readIndex()).manifests, ...keep]).catch((cause: unknown) => {
    throw cause instanceof CodedError
      ? new CodedError(cause.code, `cannot collect unused blobs: a needed document is damaged: ${cause.message}`, { cause })
      : cause;
  });
  const deleted: Digest[] = [];
  let freedBytes = 0;
  for await (const digest of layout.blobs.list()) {
    if (reached.has(digest)) continue;
    freedBytes += (await layout.blobs.size(digest)) ?? 0;
    if (await layout.blobs.delete(digest)) deleted.push(digest);
  }
  return { deleted, freedBytes, waitingFor };
}
