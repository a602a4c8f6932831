/** Names given and taken, images removed, one by one or all that nobody uses. */
import { CodedError } from "#base/errors.ts";
import type { Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import { formatReference, parseReference, withDefaultTag } from "#spec/reference.ts";
import { putName, takeImage, takeName } from "./entries.ts";
import { isContainerImage, readChainIds, readDocument, readImage } from "./image.ts";
import { getEntry, getImage, namesOf } from "./images.ts";
import { nameOf, type ImageLayout, type WithLock } from "./layout.ts";
import { matchName } from "./match.ts";
import { collectGarbageLocked, findGarbage, findReachable, findReachableEntries, type Collection } from "./reachable.ts";
import { isReferrersTag } from "./referrers.ts";

/** Gives what `text` means one more name; an image that had it loses it. */
export async function tagImage(layout: ImageLayout, text: string, name: string): Promise<void> {
  const reference = withDefaultTag(parseReference(name));
  if (reference.digest !== undefined)
    throw new CodedError("invalid-argument", `cannot name an image ${JSON.stringify(name)}: a name must not have a digest`);
  await layout.withLock(async () => {
    const { descriptor } = await getEntry(layout, text);
    await layout.updateIndexLocked((entries) => putName(entries, descriptor, formatReference(reference)));
  });
}

/** Takes the name `text` from its image, which stays, without a name if it had no other. @throws CodedError `not-found` */
export async function untagImage(layout: ImageLayout, text: string): Promise<string> {
  return await layout.withLock(async () => {
    const name = matchName((await layout.readIndex()).manifests, text)?.name;
    if (name === undefined) throw new CodedError("not-found", `cannot take the name ${text} away: no image has it`);
    await layout.updateIndexLocked((entries) => takeName(entries, name));
    return name;
  });
}

/** How an image is removed. */
export interface RemoveOptions {
  /** Remove an image that was named by its id although it has several names. */
  readonly force?: boolean;
  /** Manifests whose blobs stay, because containers use them; asked once the lock is held. */
  readonly keep?: () => readonly Descriptor[];
  /** Awaited once the lock is held; nothing is removed when it fails. */
  readonly check?: () => Promise<void>;
  /** What goes beside the blobs. @see collectGarbageLocked */
  readonly beside?: (needed: readonly Descriptor[]) => Promise<void>;
}

/** What a removal did. */
export interface Removal {
  readonly untagged: readonly string[];
  /** Id of the image when it is gone; undefined when it has other names. */
  readonly removed: Digest | undefined;
  readonly collection: Collection;
}

/**
 * Removes a name, and with its last name the image; an id or digest removes the image with its name.
 *
 * @throws CodedError `not-found`; `wrong-state` for the id of an image with several names, without `force`.
 */
export async function removeImage(layout: ImageLayout, text: string, options: RemoveOptions = {}): Promise<Removal> {
  return await layout.withLock(
    async () => {
      await options.check?.();
      return await removeLocked(layout, text, options);
    },
    () => readAhead(layout),
  );
}

/** Reads what a collection needs to know, while the lock is being taken: the collection finds it remembered, where the index is still the same. */
async function readAhead(layout: ImageLayout): Promise<void> {
  try {
    const { documents } = await findReachableEntries(layout.blobs, (await layout.readIndex()).manifests);
    await readChainIds(layout.blobs, documents);
  } catch (error) {
    // What is damaged is told by whoever acts on it.
    if (!(error instanceof CodedError)) throw error;
  }
}

async function removeLocked(layout: ImageLayout, text: string, options: RemoveOptions): Promise<Removal> {
  const named = matchName((await layout.readIndex()).manifests, text);
  if (named?.name !== undefined) return await removeName(layout, { name: named.name, entry: named.entry }, options);
  const { descriptor, names } = await getEntry(layout, text);
  if (names.length > 1 && options.force !== true)
    throw new CodedError("wrong-state", `cannot remove image ${text}: it has several names: ${names.join(", ")}`);
  const removed = await idOf(layout, descriptor, text);
  await layout.updateIndexLocked((entries) => takeImage(entries, descriptor.digest));
  return { untagged: names, removed, collection: await collectGarbageLocked(layout, options.keep?.() ?? [], options.beside) };
}

/** Works without reading the image, so that a damaged one can be removed. */
async function removeName(
  layout: ImageLayout,
  { name, entry }: { name: string; entry: Descriptor },
  { keep, beside }: RemoveOptions,
): Promise<Removal> {
  const id = await idOf(layout, entry, name);
  let isLast = false;
  await layout.updateIndexLocked((entries) => {
    isLast = !entries.some((other) => other.digest === entry.digest && nameOf(other) !== name);
    return isLast ? takeImage(entries, entry.digest) : takeName(entries, name);
  });
  return { untagged: [name], removed: isLast ? id : undefined, collection: await collectGarbageLocked(layout, keep?.() ?? [], beside) };
}

/** The id that listings show; what has none, or cannot be read, goes by its digest. */
async function idOf(layout: ImageLayout, entry: Descriptor, text: string): Promise<Digest> {
  try {
    return documentKind(entry.mediaType) === "index" ? (await getImage(layout, text)).id : (await readImage(layout.blobs, entry)).id;
  } catch (error) {
    if (error instanceof CodedError) return entry.digest;
    throw error;
  }
}

/** Which images are pruned. */
export interface PruneOptions {
  /** Images with names too, unless one of `keep` is among their manifests. Artifacts with names stay. */
  readonly all?: boolean;
  /** Only says what would go. */
  readonly isDryRun?: boolean;
  /** @see RemoveOptions */
  readonly keep?: () => readonly Descriptor[];
  /** What goes, or would go, beside the blobs. @see collectGarbageLocked */
  readonly beside?: (needed: readonly Descriptor[]) => Promise<void>;
}

/** What was pruned, or would be. */
export interface Pruning {
  readonly images: readonly { readonly digest: Digest; readonly names: readonly string[] }[];
  readonly blobs: readonly Digest[];
  readonly freedBytes: number;
  /** Pids of processes at work in the store, because of which no blob was deleted. */
  readonly waitingFor: readonly number[];
}

/** Removes the images that nobody needs, and all blobs that no image needs. @throws CodedError as collectGarbage */
export async function pruneImages(
  layout: ImageLayout,
  { all = false, isDryRun = false, keep: findKept, beside }: PruneOptions = {},
): Promise<Pruning> {
  // Only looking needs no lock.
  const guarded: WithLock = isDryRun ? (work) => work() : layout.withLock;
  return await guarded(async () => {
    const keep = findKept?.() ?? [];
    const { manifests } = await layout.readIndex();
    const gone = new Set<Digest>();
    for (const entry of manifests)
      if (!gone.has(entry.digest) && (await isUnused(layout, entry, { manifests, all, keep }))) gone.add(entry.digest);
    const entries = manifests.filter((entry) => !gone.has(entry.digest));
    const images = [...gone].map((digest) => ({ digest, names: namesOf(manifests, digest) }));
    if (isDryRun) {
      const { digests, needed } = await findGarbage(layout, keep, entries);
      await beside?.(needed);
      const sizes = await Promise.all(digests.map((digest) => layout.blobs.size(digest)));
      return { images, blobs: digests, freedBytes: sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0), waitingFor: [] };
    }
    await layout.updateIndexLocked((now) => (gone.size === 0 ? now : entries));
    const { deleted, freedBytes, waitingFor } = await collectGarbageLocked(layout, keep, beside);
    return { images, blobs: deleted, freedBytes, waitingFor };
  });
}

async function isUnused(
  layout: ImageLayout,
  entry: Descriptor,
  { manifests, all, keep }: { manifests: readonly Descriptor[]; all: boolean; keep: readonly Descriptor[] },
): Promise<boolean> {
  const names = namesOf(manifests, entry.digest);
  // The list of what refers to an image goes with the image.
  if (names.some(isReferrersTag)) return false;
  if (names.length > 0 && (!all || (await isArtifact(layout, entry)))) return false;
  const reached = await findReachable(layout.blobs, [entry]);
  return !keep.some(({ digest }) => reached.has(digest));
}

async function isArtifact(layout: ImageLayout, entry: Descriptor): Promise<boolean> {
  const document = await readDocument(layout.blobs, entry);
  return document.kind === "manifest" && !isContainerImage(document);
}
