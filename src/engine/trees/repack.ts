/** Making a layer of what was changed in an unpacked bundle. */
import { resolve } from "node:path";
import type { ByteString } from "#base/byte-string.ts";
import { digestsInLayers, digestsInTree } from "#image/layer/content.ts";
import { packChanges } from "#image/layer/pack.ts";
import type { Changeset } from "#image/tree/change.ts";
import { compareListings, type CompareContent } from "#image/tree/compare.ts";
import type { ListedEntry, Listing } from "#image/tree/listing.ts";
import { listTree, type Place as Survey } from "#image/tree/survey.ts";
import { readImage } from "#image/image.ts";
import type { Place } from "../place.ts";
import { bundlePaths, readBundleRecord, readListing, type BundlePaths, type BundleRecord } from "./bundle-record.ts";
import { openAddress } from "./home.ts";
import { readLinkedFiles } from "./linked-files.ts";
import { makeImage, withNewLayer, type BaseImage, type NewImage, type NewImageRequest } from "./new-image.ts";
import { layersOf } from "./unpack.ts";
import { viewTree } from "./views.ts";

/** What is made of the bundle. */
export interface RepackRequest extends NewImageRequest {
  readonly bundle: string;
}

/**
 * Makes an image of the bundle's image and what was changed in the bundle's root file system since it was unpacked.
 *
 * @throws CodedError `not-found` when the bundle has no record or its image is gone; `wrong-state` when the tree changes meanwhile
 */
export async function repackBundle(place: Place, request: RepackRequest): Promise<NewImage> {
  const paths = bundlePaths(resolve(request.bundle));
  const record = readBundleRecord(paths);
  const base = await baseOf(place, record);
  const tree = viewTree(place, paths.rootfs, record.rootless);
  const before = await readListing(paths);
  const after = await listTree(tree, "." as ByteString);
  const changes = await compareListings(before, after, contentOf({ base, paths, tree }));
  const archive = changes.length === 0 ? undefined : archiveOf({ changes, after, tree, record, request });
  return await makeImage(place, base, { request, make: (documents, target) => withNewLayer(documents, target, { archive, request }) });
}

async function baseOf(place: Place, record: BundleRecord): Promise<BaseImage> {
  const { home } = await openAddress(place, record.home === "store" ? "" : record.home, { create: false });
  return { home, manifest: record.manifest };
}

/** Files that only look as they did are compared with what is remembered of them, or with what the layers hold. */
function contentOf({ base, paths: bundle, tree }: { base: BaseImage; paths: BundlePaths; tree: Survey }): CompareContent {
  return async (paths) => {
    const were = readLinkedFiles(bundle);
    const others = paths.filter((path) => !were.has(path));
    if (others.length > 0) {
      const image = await readImage(base.home.layout.blobs, base.manifest);
      for (const [path, digest] of await digestsInLayers(layersOf({ home: base.home, image }), others)) were.set(path, digest);
    }
    const known = paths.filter((path) => were.has(path));
    const are = await digestsInTree(tree, known);
    return new Set(known.filter((path, index) => were.get(path) === are[index]));
  };
}

function archiveOf(what: {
  readonly changes: Changeset;
  readonly after: Listing;
  readonly tree: Survey;
  readonly record: BundleRecord;
  readonly request: NewImageRequest;
}): AsyncIterable<Uint8Array> {
  const { changes, after, tree, record, request } = what;
  const { sourceDateEpoch } = request;
  return packChanges({
    changes,
    directory: (path): ListedEntry | undefined => after.self(path),
    place: tree,
    ...(sourceDateEpoch === undefined ? {} : { latestSeconds: sourceDateEpoch }),
    // All that was unpacked belongs to the one user that there was: to root, in the image.
    ...(record.rootless !== undefined ? { ownerOf: () => ({ uid: 0, gid: 0 }) } : {}),
  });
}
