/** Copies between any two places of images: the store, layouts, archives, registries. */
import { resolve } from "node:path";
import { CodedError } from "#base/errors.ts";
import { convertImage } from "#image/convert.ts";
import { copyImage, withoutAnnotations, type CopiedImage, type PlatformChoice } from "#image/copy.ts";
import { getEntry } from "#image/images.ts";
import { readDocument, selectManifest } from "#image/image.ts";
import type { Registries } from "#image/registry/registries.ts";
import { chooseImage } from "#image/source/choose.ts";
import { openImageSource } from "#image/source/open.ts";
import type { ImageSource, SourceImage } from "#image/source/source.ts";
import { openStoredImages } from "#image/source/stored.ts";
import type { ImageTarget, NamedImage } from "#image/target.ts";
import { openDockerArchiveTarget } from "#image/target/docker-archive.ts";
import { openDirectoryTarget, openLayoutTarget } from "#image/target/layout.ts";
import { openOciArchiveTarget } from "#image/target/oci-archive.ts";
import { pathSink, streamSink, type ByteSink } from "#image/target/sink.ts";
import { parseImagePlace, type ImagePlace } from "#image/transport.ts";
import type { Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import { formatPlatform, hostPlatform, parsePlatform, type Platform } from "#spec/platform.ts";
import { formatReference, parseReference, withDefaultTag } from "#spec/reference.ts";
import { isDirectoryAt } from "#sys/small-files.ts";
import type { CopyRequest, CopyResult, SaveRequest } from "./engine.ts";
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

interface OpenedSource extends AsyncDisposable {
  readonly source: ImageSource;
  readonly image: SourceImage;
}

async function openSource(place: Place, from: ImagePlace, request: CopyRequest): Promise<OpenedSource> {
  const source = await openPlace(place, from, request);
  try {
    const platforms = platformsOf(request);
    const platform = platforms === "all" ? hostPlatform() : (platforms[0] ?? hostPlatform());
    const isChosen = from.transport === "store" || from.transport === "docker";
    const choice = isChosen ? { platform } : { name: from.name, platform, ...("digest" in from ? { digest: from.digest } : {}) };
    return { source, image: chooseImage(source, choice), [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() };
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
}

async function openPlace(place: Place, from: ImagePlace, request: CopyRequest): Promise<ImageSource> {
  if (from.transport === "docker") {
    const registries = await registriesFor(place, request);
    const { openRegistrySource } = await import("#image/registry/source.ts");
    return await openRegistrySource(registries, await registries.resolve(from.name));
  }
  if (from.transport === "store") {
    if (!place.exists)
      throw new CodedError(
        "not-found",
        `cannot find image ${from.name}: nothing is stored at ${place.paths.root} (gantry load puts images there)`,
      );
    const layout = await place.layout();
    return await openStoredImages(layout, [await getEntry(layout, from.name)]);
  }
  const path = resolve(from.path);
  if (from.transport === "oci" && !isDirectoryAt(path))
    throw new CodedError("not-found", `cannot open ${from.path} as an image layout: there is no such directory`);
  if (from.transport !== "oci" && isDirectoryAt(path))
    throw new CodedError("invalid-argument", `cannot open ${from.path} as an archive: it is a directory; a layout is oci:${from.path}`);
  return await openImageSource(path, { spoolDirectory: place.paths.temporary });
}

async function openTarget(place: Place, to: ImagePlace, request: CopyRequest): Promise<ImageTarget> {
  switch (to.transport) {
    case "docker": {
      const registries = await registriesFor(place, request);
      const { openRegistryTarget } = await import("#image/registry/target.ts");
      return await openRegistryTarget(registries, await registries.resolve(to.name));
    }
    case "store":
      return await openLayoutTarget(await place.layout(), { kind: "store" });
    case "oci":
      if ("digest" in to)
        throw new CodedError("invalid-argument", `cannot copy to ${request.to}: what is copied has the digest that it has`);
      return await openDirectoryTarget(resolve(to.path));
    default:
      return archiveTarget(place, await pathSink(resolve(to.path)), { name: to.path, isDocker: to.transport === "docker-archive" });
  }
}

function archiveTarget(place: Place, sink: ByteSink, { name, isDocker }: { name: string; isDocker: boolean }): ImageTarget {
  if (!isDocker) return openOciArchiveTarget(sink, name);
  place.prepare();
  return openDockerArchiveTarget(sink, { name, spoolDirectory: place.paths.temporary });
}

/** Loaded on use: most copies never leave this machine. */
async function registriesFor(place: Place, { insecure }: CopyRequest): Promise<Registries> {
  const { openRegistries } = await import("./registry/access.ts");
  return openRegistries(place.registries, insecure === undefined ? {} : { insecure });
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

function platformsOf({ platforms }: Pick<CopyRequest, "platforms">): PlatformChoice {
  if (platforms === "all") return "all";
  return platforms === undefined || platforms.length === 0 ? [hostPlatform()] : platforms.map(parsePlatform);
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
