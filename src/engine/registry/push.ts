/** Pushing: what the registry has is not sent, what a neighbour there has is mounted, the rest goes up side by side, the name last. */
import { CodedError } from "#base/errors.ts";
import { copyImage, withoutAnnotations } from "#image/copy.ts";
import { readDocument, selectManifest } from "#image/image.ts";
import { getEntry, listImages } from "#image/images.ts";
import type { ImageLayout } from "#image/layout.ts";
import { childrenOf } from "#image/reachable.ts";
import { openRegistryTarget } from "#image/registry/target.ts";
import { openStoredImages } from "#image/source/stored.ts";
import type { Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import { hostPlatform, parsePlatform } from "#spec/platform.ts";
import { formatReference, isTag, parseReference, splitName, withDefaultTag } from "#spec/reference.ts";
import type { Place } from "../place.ts";
import { openRegistries, type RegistryAccess } from "./access.ts";
import type { PullProgress } from "./pull.ts";

/** What is pushed, and where. */
export interface PushRequest {
  /** Name or id of an image in the store. */
  readonly image: string;
  /** Where to: a reference with a registry. The image's name when left out. */
  readonly destination?: string;
  /** More tags in the same repository. */
  readonly moreTags?: readonly string[];
  /** "os/arch[/variant]": this image of an index instead of the host's. */
  readonly platform?: string;
  /** Push the index with the images for every platform, if the image has one. */
  readonly allPlatforms?: boolean;
  /** Take along signatures, lists of contents and what else refers to the image. */
  readonly referrers?: boolean;
  readonly insecure?: boolean;
  /** How many blobs are under way at once; 4 unless told. */
  readonly concurrency?: number;
  readonly onProgress?: (progress: PullProgress) => void;
}

/** What was pushed. */
export interface PushedImage {
  /** With the registry and the tag. */
  readonly name: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

const defaultConcurrency = 4;

/** Pushes an image. @throws CodedError */
export async function push(place: Place, access: RegistryAccess, request: PushRequest): Promise<PushedImage> {
  const notify = request.onProgress ?? ((): void => undefined);
  const layout = await place.layout();
  const entry = await getEntry(layout, request.image);
  const registries = openRegistries(access, {
    ...(request.insecure === undefined ? {} : { insecure: request.insecure }),
    onNotice: (text) => notify({ kind: "notice", text }),
  });
  const badTag = request.moreTags?.find((tag) => !isTag(tag));
  if (badTag !== undefined) throw new CodedError("invalid-argument", `cannot give the tag ${JSON.stringify(badTag)}: it is not one`);
  const reference = await registries.resolve(request.destination ?? nameFor(request.image, entry.names));
  const root = await rootOf(layout, entry.descriptor, request);
  notify({ kind: "resolved", name: formatReference(reference), digest: root.digest });
  let known: ReadonlyMap<Digest, readonly string[]> = new Map();
  await using target = await openRegistryTarget(registries, reference, {
    knownIn: (digest) => known.get(digest) ?? [],
    moreTags: request.moreTags ?? [],
  });
  const pushed = { name: formatReference(reference), digest: root.digest, sizeBytes: root.size };
  // The tag stands at it already, and a registry keeps nothing whose parts it lacks.
  if (request.referrers !== true && (await target.isTagged(root))) {
    notify({ kind: "blob-done", digest: root.digest, totalBytes: root.size, outcome: "present" });
    return pushed;
  }
  known = await neighbours(layout, splitName(reference.name).domain);
  await using source = await openStoredImages(layout, [entry]);
  if (!(await target.has(root))) target.expect(await childBlobs(layout, root));
  const { descriptor } = await copyImage(source, target, {
    root,
    platforms: "all",
    referrers: request.referrers ?? false,
    concurrency: request.concurrency ?? defaultConcurrency,
    progress: ({ digest, size }, doneBytes) => notify({ kind: "blob", digest, doneBytes, totalBytes: size }),
    done: ({ digest, size }, outcome) => notify({ kind: "blob-done", digest, totalBytes: size, outcome }),
  });
  await target.finish([{ names: [], tag: reference.tag, descriptor }]);
  return pushed;
}

/** The name that the user meant the image by, if it has a registry; else its only name. */
function nameFor(text: string, names: readonly string[]): string {
  const isName = names.includes(text) || names.includes(`${text}:latest`);
  if (isName && splitName(parseReference(text).name).domain !== undefined) return text;
  const whole = names.filter((name) => splitName(withDefaultTag(parseReference(name)).name).domain !== undefined);
  const [only] = whole;
  if (only !== undefined && whole.length === 1) return only;
  if (isName) return text;
  throw new CodedError(
    "invalid-argument",
    `cannot push ${text}: ${whole.length === 0 ? "it has no name with a registry" : `it has several names: ${whole.join(", ")}`}; say where to`,
  );
}

/** What is pushed of what the name stands for: all of it, or the one image for the platform. */
async function rootOf(layout: ImageLayout, entry: Descriptor, { allPlatforms, platform }: PushRequest): Promise<Descriptor> {
  if (allPlatforms === true) return withoutAnnotations(entry);
  const wanted = platform === undefined ? hostPlatform() : parsePlatform(platform);
  return withoutAnnotations(await selectManifest(layout.blobs, entry, wanted));
}

/** Configs and layers of a manifest; those of an index are asked for when their manifests are. */
async function childBlobs(layout: ImageLayout, root: Descriptor): Promise<readonly Descriptor[]> {
  if (documentKind(root.mediaType) !== "manifest") return [];
  const document = await readDocument(layout.blobs, root);
  return document.kind === "manifest" ? [document.config, ...document.layers] : [];
}

/** Which repositories of the registry have which blob, as far as the names of the images here tell. */
async function neighbours(layout: ImageLayout, registry: string | undefined): Promise<ReadonlyMap<Digest, readonly string[]>> {
  const known = new Map<Digest, string[]>();
  if (registry === undefined) return known;
  for (const image of (await listImages(layout)).images) {
    const repositories = image.names.map((name) => parseReference(name).name).filter((name) => splitName(name).domain === registry);
    if (repositories.length === 0) continue;
    for (const { digest } of childrenOf(image.manifest)) known.set(digest, [...(known.get(digest) ?? []), ...repositories]);
  }
  return known;
}
