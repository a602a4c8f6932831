/**
 * Pulling: documents first, then all blobs at once and, beside them, the layers unpacked in their order, each while it comes.
 *
 *     manifest -> config -> | layer 1 ----> |           downloads, a few at a time
 *                           | layer 2 --------> |
 *                            | unpack 1 | unpack 2 | ...  -> name
 *
 * The name comes last, so an image that is listed is complete. Blobs that came before a failure stay for the next attempt, until a collection
 * takes them; what is here already is not asked for.
 */
import { CodedError } from "#base/errors.ts";
import { GrowingBlob } from "#image/blob/growing.ts";
import type { BlobContent, OpenRequest } from "#image/blob/store.ts";
import { copyImage } from "#image/copy.ts";
import { nameOf, type ImageLayout } from "#image/layout.ts";
import { readImage, selectManifest, type Image } from "#image/image.ts";
import { openRegistrySource, type RegistrySource } from "#image/registry/source.ts";
import type { ImageSource, SourceImage } from "#image/source/source.ts";
import { openLayoutTarget } from "#image/target/layout.ts";
import { verifyBytes, type Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import { formatPlatform, hostPlatform, parsePlatform, platformDistance, type Platform } from "#spec/platform.ts";
import type { ImageSummary, LoadProgress } from "../requests.ts";
import { summarize } from "../images.ts";
import { isUnpacked, layerSources, unpackLayers } from "../unpacked.ts";
import type { Place } from "../place.ts";
import { maxLayers } from "../rootfs/overlay.ts";
import { openRegistries, type RegistryAccess } from "./access.ts";

/** What is pulled, and how. */
export interface PullRequest {
  /** `registry.example/team/app:1`, with a digest instead of or beside the tag if wanted. */
  readonly reference: string;
  /** "os/arch[/variant]"; the host's when left out. */
  readonly platform?: string;
  /** Keep the whole index, with the images for every platform. */
  readonly allPlatforms?: boolean;
  /** Take any certificate, and http where there is no https. */
  readonly insecure?: boolean;
  /** How many blobs are under way at once; 4 unless told. */
  readonly concurrency?: number;
  /** Most bytes that one layer may have when unpacked. */
  readonly maxLayerBytes?: number;
  readonly onProgress?: (progress: PullProgress) => void;
}

/** How far a pull is. */
export type PullProgress =
  | LoadProgress
  /** What the name stands for; comes first. */
  | { readonly kind: "resolved"; readonly name: string; readonly digest: string }
  /** What became of a blob: it was copied, or it was here. */
  | { readonly kind: "blob-done"; readonly digest: string; readonly totalBytes: number; readonly outcome: string }
  /** A warning of the registry, or a pause before another attempt. */
  | { readonly kind: "notice"; readonly text: string };

/** What a pull did. */
export interface PulledImage extends ImageSummary {
  /** Digest of what the name points at: a manifest, or the index of all platforms. */
  readonly digest: string;
  /** False when all of it was here, under that name. */
  readonly changed: boolean;
}

const defaultConcurrency = 4;

/** Pulls an image. @throws CodedError */
export async function pull(place: Place, access: RegistryAccess, request: PullRequest): Promise<PulledImage> {
  const notify = request.onProgress ?? ((): void => undefined);
  const registries = openRegistries(access, {
    ...(request.insecure === undefined ? {} : { insecure: request.insecure }),
    onNotice: (text) => notify({ kind: "notice", text }),
  });
  const platform = request.platform === undefined ? hostPlatform() : parsePlatform(request.platform);
  const reference = await registries.resolve(request.reference);
  // The question to the registry is on its way while the store is made ready.
  const opening = openRegistrySource(registries, reference);
  opening.catch(() => undefined);
  const layout = await place.layout();
  await place.sweep();
  await using source = await opening;
  const [root] = source.images;
  if (root === undefined) throw new CodedError("internal", "a registry's source has one image");
  notify({ kind: "resolved", name: source.name, digest: root.descriptor.digest });
  return await new Pull(place, layout, { source, request, platform, notify }).run(root.descriptor);
}

interface PullContext {
  readonly source: RegistrySource;
  readonly request: PullRequest;
  readonly platform: Platform;
  readonly notify: (progress: PullProgress) => void;
}

class Pull {
  readonly #place: Place;
  readonly #layout: ImageLayout;
  readonly #context: PullContext;
  /** Blobs by digest, as far as somebody waits for them or they have come. */
  readonly #growing = new Map<Digest, GrowingBlob>();
  #failure: Error | undefined;

  constructor(place: Place, layout: ImageLayout, context: PullContext) {
    this.#place = place;
    this.#layout = layout;
    this.#context = context;
  }

  async run(root: Descriptor): Promise<PulledImage> {
    const { source, request, platform } = this.#context;
    const near = new NearSource(this.#layout, source);
    const selected = await selectManifest(near, root, platform);
    const image = await this.#readImage(near, selected);
    const entry = request.allPlatforms === true ? root : image.descriptor;
    const isNamed = await this.#isNamed(entry);
    if (isNamed && entry === image.descriptor && (await this.#isHere(image))) {
      for (const blob of [image.manifest.config, ...image.manifest.layers]) this.#tellDone(blob, "present");
      return { ...summarize(image, source.name), digest: entry.digest, changed: false };
    }
    await using target = await openLayoutTarget(this.#layout, { kind: "store" });
    let copied = 0;
    const copying = copyImage(near, target, {
      root: entry,
      platforms: "all",
      concurrency: request.concurrency ?? defaultConcurrency,
      progress: (blob, doneBytes) => {
        this.#grow(blob.digest).advance(doneBytes);
        this.#tell(blob, doneBytes);
      },
      done: (blob, outcome) => {
        if (outcome === "copied" && blob.digest !== image.id) copied++;
        this.#grow(blob.digest).complete();
        this.#tellDone(blob, outcome);
      },
    });
    await this.#finishBoth(copying, this.#unpack(image));
    // Documents are stored anew each time, which says nothing.
    if (!isNamed) await target.finish([{ names: [source.name], tag: undefined, descriptor: entry }]);
    return { ...summarize(image, source.name), digest: entry.digest, changed: copied > 0 || !isNamed };
  }

  async #isNamed({ digest }: Descriptor): Promise<boolean> {
    const { manifests } = await this.#layout.readIndex();
    return manifests.some((one) => one.digest === digest && nameOf(one) === this.#context.source.name);
  }

  /** Everything is in the store, and unpacked where that is done: neither a lease nor a lock is needed to see it. */
  async #isHere(image: Image): Promise<boolean> {
    const blobs = [image.descriptor, image.manifest.config, ...image.manifest.layers];
    const sizes = await Promise.all(blobs.map(({ digest }) => this.#layout.blobs.size(digest)));
    if (blobs.some(({ size }, index) => sizes[index] !== size)) return false;
    return this.#place.knownSnapshotter() === "copy" || isUnpacked(this.#place, image);
  }

  /** The config comes before the layers: it says whether they are worth it, and what they must be. */
  async #readImage(near: NearSource, selected: Descriptor): Promise<Image> {
    const { request, platform } = this.#context;
    const image = await readImage(near, selected);
    if (request.platform !== undefined && platformDistance(platform, image.config) === undefined) {
      throw new CodedError(
        "not-found",
        `cannot find an image for ${formatPlatform(platform)}: ${this.#context.source.name} is for ${formatPlatform(image.config)}`,
      );
    }
    if (image.manifest.layers.length > maxLayers)
      throw new CodedError("unsupported", `cannot pull ${image.id}: it has ${image.manifest.layers.length} layers, more than ${maxLayers}`);
    for (const blob of [image.manifest.config, ...image.manifest.layers])
      if (blob.data !== undefined) verifyBytes(Buffer.from(blob.data, "base64"), { digest: blob.digest, size: blob.size });
    return image;
  }

  /** Whichever fails first ends the other; nothing is under way any more when this returns or throws. */
  async #finishBoth(copying: Promise<unknown>, unpacking: Promise<void>): Promise<void> {
    let first: { readonly error: unknown } | undefined;
    const stop = (error: unknown): void => {
      first ??= { error };
      const reason = error instanceof Error ? error : new Error(String(error));
      this.#context.source.stop(reason);
      this.#failure = reason;
      for (const blob of this.#growing.values()) blob.fail(reason);
    };
    await Promise.allSettled([copying.catch(stop), unpacking.catch(stop)]);
    if (first !== undefined) throw first.error;
  }

  /**
   * Layers are read while they come, before anybody knows that their bytes are right: what an earlier pull left may be damaged. So a fault in
   * one counts only when it is found again in the whole blob.
   */
  async #unpack(image: Image): Promise<void> {
    if ((await this.#place.snapshotter()) !== "overlay") return;
    const layers = layerSources(this.#layout, image).map((layer) => ({
      ...layer,
      open: () => this.#grow(layer.descriptor.digest).read(),
      isVerified: true,
    }));
    for (;;) {
      try {
        return await unpackLayers(this.#place, layers, this.#context.request);
      } catch (error) {
        if (!mayBeOfTheWay(error)) throw error;
        const settled = await Promise.all([...this.#growing.values()].map((blob) => blob.settle()));
        if (!settled.includes(true)) throw error;
      }
    }
  }

  #grow(digest: Digest): GrowingBlob {
    let blob = this.#growing.get(digest);
    if (blob === undefined) {
      blob = new GrowingBlob(this.#layout.path, digest);
      this.#growing.set(digest, blob);
      if (this.#failure !== undefined) blob.fail(this.#failure);
    }
    return blob;
  }

  #tellDone({ digest, size, mediaType }: Descriptor, outcome: string): void {
    if (!isDocument({ mediaType })) this.#context.notify({ kind: "blob-done", digest, totalBytes: size, outcome });
  }

  #tell(blob: Descriptor, doneBytes: number): void {
    if (!isDocument(blob)) this.#context.notify({ kind: "blob", digest: blob.digest, doneBytes, totalBytes: blob.size });
  }
}

/** The registry's image, with what is in the store taken from there. */
class NearSource implements ImageSource {
  readonly description: string;
  readonly images: readonly SourceImage[];
  readonly #layout: ImageLayout;
  readonly #far: RegistrySource;
  /** Small blobs that were read already: the config is asked for once. */
  readonly #read = new Map<Digest, Uint8Array>();

  constructor(layout: ImageLayout, far: RegistrySource) {
    this.description = far.description;
    this.images = far.images;
    this.#layout = layout;
    this.#far = far;
  }

  async size(digest: Digest): Promise<number | undefined> {
    return (await this.#layout.blobs.size(digest)) ?? (await this.#far.size(digest));
  }

  async *open(digest: Digest, request: OpenRequest = {}): AsyncGenerator<Uint8Array, void, undefined> {
    if ((await this.#layout.blobs.size(digest)) !== undefined) {
      yield* this.#layout.blobs.open(digest, request);
      return;
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#far.open(digest, request)) {
      chunks.push(chunk);
      yield chunk;
    }
    if (request.offset === undefined) this.#read.set(digest, Buffer.concat(chunks));
  }

  content(digest: Digest): BlobContent {
    return this.#read.get(digest) ?? this.#far.content(digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function isDocument({ mediaType }: Pick<Descriptor, "mediaType">): boolean {
  const kind = documentKind(mediaType);
  return kind === "manifest" || kind === "index";
}

/** True for faults that wrong bytes can have, and for those of a download that began anew. */
function mayBeOfTheWay(error: unknown): boolean {
  if (!(error instanceof CodedError)) return false;
  return error.code === "corrupt" || error.code === "invalid-spec" || error.details["reason"] === "restarted";
}
