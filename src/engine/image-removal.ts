/** Images removed, one by one or all that nobody uses, with the blobs and unpacked layers that nothing else needs. */
import { join } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import { parseJson } from "#base/json.ts";
import { getEntry } from "#image/images.ts";
import { readChainIds } from "#image/image.ts";
import type { ImageLayout } from "#image/layout.ts";
import { collectGarbageLocked, findReachable, findReachableEntries } from "#image/reachable.ts";
import { pruneImages, removeImage } from "#image/removal.ts";
import { parseDigest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { listDirectory, readTextIfThere } from "#sys/small-files.ts";
import { readContainers } from "./containers/list.ts";
import type { Container } from "./containers/record.ts";
import type { PrunedImages, PruneRequest, RemovedImage } from "./requests.ts";
import type { Place } from "./place.ts";
import { discardLayer, layerDirectory, listLayers } from "./rootfs/layers.ts";

/** Removes a name or an image, and with it the blobs and layers that nothing else uses. */
export async function remove(place: Place, reference: string, options: { readonly force: boolean }): Promise<RemovedImage> {
  if (!place.exists) throw new CodedError("not-found", `cannot find image ${reference}: nothing is stored at ${place.paths.root}`);
  const layout = await place.layout();
  const layers: string[] = [];
  // Containers are looked for once the lock is held: taking it may take long, and whoever has it meanwhile may be starting one.
  const removing = (): ReturnType<typeof removeImage> =>
    removeImage(layout, reference, {
      force: options.force,
      keep: () => readContainers(place.paths).map(manifestOf),
      check: async () => {
        if (!options.force) await requireUnused(layout, reference, readContainers(place.paths));
      },
      beside: async (needed) => {
        layers.push(...(await discardUnusedLayers(place, layout, needed)));
      },
    });
  const removal = await orMakeRoom(removing, async () => {
    const { descriptor, names } = await getEntry(layout, reference);
    if (names.length <= 1 || options.force) layers.push(...(await discardLayersOf(place, layout, [descriptor])));
  });
  await place.sweep();
  return { untagged: removal.untagged, deleted: [...(removal.removed === undefined ? [] : [removal.removed]), ...layers] };
}

/** @throws CodedError `wrong-state` when this takes the last name of an image that a container was made from */
async function requireUnused(layout: ImageLayout, reference: string, containers: readonly Container[]): Promise<void> {
  const { descriptor, names } = await getEntry(layout, reference);
  if (names.length > 1 || containers.length === 0) return;
  const reached = await findReachable(layout.blobs, [descriptor]).catch(() => new Set<string>());
  const user = containers.find((container) => reached.has(manifestOf(container).digest));
  if (user === undefined) return;
  throw new CodedError(
    "wrong-state",
    `cannot remove image ${reference}: container ${user.record.name} uses it (remove that first, or use --force)`,
  );
}

/** Removes what nobody needs: images without names (or all that no container uses), blobs, unpacked layers. */
export async function prune(place: Place, { all, isDryRun }: PruneRequest): Promise<PrunedImages> {
  if (!place.exists) return { images: [], blobs: 0, layers: [], freedBytes: 0, waitingFor: [] };
  const layout = await place.layout();
  // Taking the lock starts a process; that there is nothing to do can be seen without.
  const planned = await pruneOnce(place, layout, { all, isDryRun: true });
  const isIdle = listDirectory(join(layout.path, "tmp")).length === 0 && place.leftBehind().length === 0;
  const isNothing = planned.images.length === 0 && planned.blobs === 0 && planned.layers.length === 0;
  if (isDryRun || (isNothing && isIdle)) return planned;
  const pruned = await orMakeRoom(
    () => pruneOnce(place, layout, { all, isDryRun: false }),
    async () => void (await discardLayersOf(place, layout, planned.images)),
  );
  await place.sweep();
  return pruned;
}

/**
 * Runs `work`; when the disk is full, once more after `makeRoom`. Names are taken by writing a new index, which needs room itself: of all things
 * removing must work where there is none. Unpacked layers can go first, because they can be made again.
 */
async function orMakeRoom<T>(work: () => Promise<T>, makeRoom: () => Promise<void>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isFull = isErrno(error, "ENOSPC") || isErrno(error, "EDQUOT") || (error instanceof CodedError && error.code === "exhausted");
    if (!isFull) throw error;
    await makeRoom().catch(() => undefined);
    return await work();
  }
}

/** The unpacked layers go that nothing needs once the images with these manifests or indexes are gone. */
async function discardLayersOf(place: Place, layout: ImageLayout, going: readonly { readonly digest: string }[]): Promise<string[]> {
  const digests = new Set(going.map(({ digest }) => digest));
  return await place.withLock(async () => {
    const { manifests } = await layout.readIndex();
    const staying = manifests.filter(({ digest }) => !digests.has(digest));
    const { documents } = await findReachableEntries(layout.blobs, staying);
    return await discardUnusedLayers(place, layout, documents);
  });
}

async function pruneOnce(place: Place, layout: ImageLayout, { all, isDryRun }: PruneRequest): Promise<PrunedImages> {
  let unused: readonly string[] = [];
  let layerBytes = 0;
  const pruning = await pruneImages(layout, {
    all,
    isDryRun,
    keep: () => readContainers(place.paths).map(manifestOf),
    beside: async (needed) => {
      unused = await findUnusedLayers(place, layout, needed);
      layerBytes = unused.reduce((sum, chainId) => sum + bytesOf(place, chainId), 0);
      if (!isDryRun) await discardLayers(place, unused);
    },
  });
  return {
    images: pruning.images,
    blobs: pruning.blobs.length,
    layers: unused,
    freedBytes: pruning.freedBytes + layerBytes,
    waitingFor: pruning.waitingFor,
  };
}

/** A container keeps its image's blobs: they are what it can be compared with and committed against. */
function manifestOf({ record }: Container): Descriptor {
  return { ...record.manifest, digest: parseDigest(record.manifest.digest) };
}

/** Blobs and layers that nothing uses go, unless somebody is at work on blobs that nothing uses yet. */
export async function collectUnused(place: Place, layout: ImageLayout): Promise<void> {
  await place.withLock(() =>
    collectGarbageLocked(layout, readContainers(place.paths).map(manifestOf), async (needed) => {
      await discardUnusedLayers(place, layout, needed);
    }),
  );
}

/**
 * Layers that neither an image with one of the manifests `needed` nor a container uses go. The lock is held: no container is between its record
 * and its mounts.
 */
async function discardUnusedLayers(place: Place, layout: ImageLayout, needed: readonly Descriptor[]): Promise<string[]> {
  const unused = await findUnusedLayers(place, layout, needed);
  await discardLayers(place, unused);
  return unused;
}

async function discardLayers(place: Place, unused: readonly string[]): Promise<void> {
  if (unused.length === 0) return;
  const temporary = place.makeTemporary();
  for (const chainId of unused) discardLayer(place.paths.layers, chainId, temporary);
  await place.removeTrees([temporary]);
}

/** None while somebody is at work, or while what a damaged image needs is unknown. */
async function findUnusedLayers(place: Place, layout: ImageLayout, needed: readonly Descriptor[]): Promise<string[]> {
  const present = listLayers(place.paths.layers);
  if (present.length === 0 || layout.listLeaseHolders().length > 0) return [];
  const read = await readChainIds(layout.blobs, needed).catch((error: unknown) => {
    if (error instanceof CodedError) return undefined;
    throw error;
  });
  if (read === undefined) return [];
  const used = new Set<string>(read);
  for (const { record } of readContainers(place.paths)) for (const chainId of record.layers) used.add(chainId);
  return present.filter((chainId) => !used.has(chainId));
}

/** Bytes of an unpacked layer's files, as they were counted when it was unpacked. */
function bytesOf(place: Place, chainId: string): number {
  const text = readTextIfThere(join(layerDirectory(place.paths.layers, chainId), "layer.json"));
  if (text === undefined) return 0;
  const facts = parseJson(Buffer.from(text), `layer.json of ${chainId}`, { maxBytes: 1 << 20 }) as { readonly bytes?: unknown };
  return typeof facts.bytes === "number" ? facts.bytes : 0;
}
