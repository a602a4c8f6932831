/** Copies between any two places of images: the store, layouts, archives, registries. */
import { CodedError } from "#base/errors.ts";
import { convertImage } from "#image/convert.ts";
import { copyImage, withoutAnnotations, type CopiedImage, type PlatformChoice } from "#image/copy.ts";
import { getEntry } from "#image/images.ts";
import { readDocument, selectManifest } from "#image/image.ts";
import type { ImageSource, SourceImage } from "#image/source/source.ts";
import { openStoredImages } from "#image/source/stored.ts";
import type { ImageTarget, NamedImage } from "#image/target.ts";
import { pathSink, streamSink } from "#image/target/sink.ts";
import { parseImagePlace, type ImagePlace } from "#image/transport.ts";
import type { Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import { formatPlatform, type Platform } from "#spec/platform.ts";
import { formatReference, parseReference, withDefaultTag } from "#spec/reference.ts";
import type { CopyRequest, CopyResult, SaveRequest } from "./requests.ts";
import { archiveTarget, openSource, openTarget, platformsOf } from "./image-places.ts";
import type { Place } from "./place.ts";

/** Copies one image. @throws CodedError */
export async function copy(place: Place, request: CopyRequest): Promise<CopyResult> {
  const [from, to] = [parseImagePlace(request.from), parseImagePlace(request.to)];
  const platform = platformsOf(request);
  await using opened = await openSource(place, from, request);
  const { source, image } = opened;
  await using target = await openTarget(place, to, request);
  const counts = new Counts(request);
  return await withScratch(place, async (scratch) => {
    const leftOut = await listLeftOut(source, image.descriptor, platform);
    const copied = await transfer({ source, target, root: image.descriptor, request, platform, counts, scratch });
    await target.finish([nameIn(to, image, copied.descriptor)], copied.referrers);
    const { digest, mediaType } = copied.descriptor;
    return { digest, mediaType, isConverted: copied.isConverted, leftOut, ...counts.total };
  });
}

/** Writes images of the store into one archive. @throws CodedError */
export async function save(place: Place, request: SaveRequest): Promise<CopyResult[]> {
  const layout = await place.layout();
  const entries = [];
  for (const reference of request.images) entries.push(await getEntry(layout, reference));
  await using source = await openStoredImages(layout, entries);
  const sink = typeof request.to === "string" ? await pathSink(request.to) : streamSink(request.to);
  const name = typeof request.to === "string" ? request.to : "on standard output";
  await using target = archiveTarget(place, sink, { name, isDocker: request.archive === "docker-archive" });
  const platform = platformsOf(request);
  return await withScratch(place, async (scratch) => {
    const results: CopyResult[] = [];
    const named: NamedImage[] = [];
    const referrers = new Map<string, readonly Descriptor[]>();
    for (const entry of source.images) {
      const counts = new Counts(request);
      const leftOut = await listLeftOut(source, entry.descriptor, platform);
      const copied = await transfer({ source, target, root: entry.descriptor, request, platform, counts, scratch });
      for (const [subject, found] of copied.referrers) referrers.set(subject, found);
      named.push({ ...entry, descriptor: copied.descriptor });
      const { digest, mediaType } = copied.descriptor;
      results.push({ digest, mediaType, isConverted: copied.isConverted, leftOut, ...counts.total });
    }
    await target.finish(named, referrers);
    return results;
  });
}

interface Transfer {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly root: Descriptor;
  readonly request: CopyRequest | SaveRequest;
  readonly platform: PlatformChoice;
  readonly counts: Counts;
  readonly scratch: () => string;
}

async function transfer({
  source,
  target,
  root,
  request,
  platform,
  counts,
  scratch,
}: Transfer): Promise<CopiedImage & { isConverted: boolean }> {
  const { compression, format } = request;
  const conversion = { ...(compression === undefined ? {} : { compression }), ...(format === undefined ? {} : { format }) };
  const isWanted = compression !== undefined || format !== undefined;
  const chosen = isWanted && platform !== "all" ? await narrow(source, root, platform) : root;
  const converted = isWanted ? await convertImage(source, chosen, { conversion, scratch: scratch() }) : { root, source };
  const copied = await copyImage(converted.source, target, {
    root: converted.root,
    platforms: platform,
    referrers: request.referrers ?? false,
    progress: (blob, doneBytes) => {
      counts.progress(blob, doneBytes);
    },
    done: (blob, outcome) => {
      counts.add(blob, outcome);
    },
  });
  return { ...copied, isConverted: converted.root.digest !== chosen.digest };
}

/** The one manifest that is wanted, so that no other is converted for nothing. */
async function narrow(source: ImageSource, root: Descriptor, platforms: readonly Platform[]): Promise<Descriptor> {
  const [only, ...others] = platforms;
  if (only === undefined || others.length > 0) return root;
  return documentKind(root.mediaType) === "index" ? withoutAnnotations(await selectManifest(source, root, only)) : root;
}

/** Names of the store are whole references; a layout's is what the user wrote. Without one, the image keeps none. */
function nameIn(to: ImagePlace, image: SourceImage, descriptor: Descriptor): NamedImage {
  if (to.transport === "store" || to.transport === "docker") return { names: [referenceOf(to.name)], tag: undefined, descriptor };
  if (to.transport === "docker-archive") return { names: to.name === undefined ? image.names : [to.name], tag: undefined, descriptor };
  return { names: [], tag: to.name, descriptor };
}

function referenceOf(text: string): string {
  const reference = withDefaultTag(parseReference(text));
  if (reference.digest !== undefined)
    throw new CodedError("invalid-argument", `cannot name an image ${JSON.stringify(text)}: a name must not have a digest`);
  return formatReference(reference);
}

/** Platforms of the index that are not copied, so that it can be said. */
async function listLeftOut(source: ImageSource, root: Descriptor, platform: PlatformChoice): Promise<string[]> {
  if (platform === "all" || documentKind(root.mediaType) !== "index") return [];
  const document = await readDocument(source, root);
  if (document.kind !== "index") return [];
  const names = document.manifests.flatMap((entry) => (entry.platform === undefined ? [] : formatPlatform(entry.platform)));
  const taken = new Set(platform.map(formatPlatform));
  return names.filter((name) => !taken.has(name) && name !== "unknown/unknown");
}

/** Runs `work` with a temporary directory that is made when it is asked for, and gone afterwards. */
async function withScratch<T>(place: Place, work: (scratch: () => string) => Promise<T>): Promise<T> {
  let path: string | undefined;
  try {
    return await work(() => {
      place.prepare();
      return (path ??= place.makeTemporary());
    });
  } finally {
    if (path !== undefined) await place.removeTrees([path]);
  }
}

/** What became of the blobs of a copy. */
class Counts {
  readonly total = { copiedBlobs: 0, copiedBytes: 0, presentBlobs: 0, skippedBlobs: 0 };
  readonly #onProgress: CopyRequest["onProgress"];

  constructor({ onProgress }: Pick<CopyRequest, "onProgress">) {
    this.#onProgress = onProgress;
  }

  progress(blob: Descriptor, doneBytes: number): void {
    this.#onProgress?.({ kind: "blob", digest: blob.digest, doneBytes, totalBytes: blob.size });
  }

  add(blob: Descriptor, outcome: "copied" | "present" | "mounted" | "skipped"): void {
    if (outcome === "copied") {
      this.total.copiedBlobs += 1;
      this.total.copiedBytes += blob.size;
    } else if (outcome === "skipped") this.total.skippedBlobs += 1;
    else this.total.presentBlobs += 1;
  }
}
