/**
 * Copies images from any source to any target: children before parents, each blob once, a few at a time, only what is missing.
 *
 * Bytes are never made anew: what is copied keeps its digest. Only a choice of several platforms makes a new index.
 */
import { CodedError } from "#base/errors.ts";
import { encodeJson } from "#base/json.ts";
import { digestOf, verifyBytes, type Digest } from "#spec/digest.ts";
import { descriptorToJson, manifestLimits, parseManifestOrIndex, type Descriptor, type Index, type Manifest } from "#spec/image.ts";
import { documentKind, isNondistributable, isSchema1, mediaTypes } from "#spec/media-type.ts";
import { formatPlatform, selectPlatform, type Platform } from "#spec/platform.ts";
import { readBlob, type BlobContent } from "./blob/store.ts";
import { selectManifest } from "./image.ts";
import { Slots } from "./slots.ts";
import type { ImageSource } from "./source/source.ts";
import type { ImageTarget, PutOutcome } from "./target.ts";

/** Which of an image's platforms are copied: all, or the best match of each. */
export type PlatformChoice = "all" | readonly Platform[];

/** How images are copied. */
export interface CopyOptions {
  /** `"all"` keeps indexes whole. One platform takes its manifest alone; several make an index of their manifests. */
  readonly platforms: PlatformChoice;
  /** Takes along the manifests that refer to what is copied, and those that refer to them. */
  readonly referrers?: boolean;
  /** How many blobs are under way at once; 6 unless told. */
  readonly concurrency?: number;
  /** Told about each blob as it comes, and once more when it is there. */
  readonly progress?: (blob: Descriptor, doneBytes: number) => void;
  /** Told what became of each blob and document. */
  readonly done?: (blob: Descriptor, outcome: PutOutcome | "skipped") => void;
}

/** What is copied, and how. */
export interface CopyRequest extends CopyOptions {
  /** A manifest or index of the source. */
  readonly root: Descriptor;
}

/** What was copied. */
export interface CopiedImage {
  /** What a name in the target shall point at. */
  readonly descriptor: Descriptor;
  /** By subject, for `ImageTarget.finish`. */
  readonly referrers: ReadonlyMap<Digest, readonly Descriptor[]>;
}

const defaultConcurrency = 6;
const maxIndexDepth = 8;
/** A chain of signatures of signatures ends somewhere. */
const maxReferrerDepth = 4;

/**
 * Copies what the root reaches; the target gives it no name before `finish`.
 *
 * @throws CodedError `not-found` when the source lacks a blob or a platform; `corrupt`, `invalid-spec`, `unsupported`.
 */
export async function copyImage(source: ImageSource, target: ImageTarget, request: CopyRequest): Promise<CopiedImage> {
  const copier = new Copier(source, target, request);
  const descriptor = await copier.copyRoot(request.root);
  return { descriptor, referrers: copier.referrers };
}

class Copier {
  readonly referrers = new Map<Digest, readonly Descriptor[]>();
  readonly #source: ImageSource;
  readonly #target: ImageTarget;
  readonly #options: CopyOptions;
  readonly #slots: Slots;
  /** Blobs and documents that are being copied or were: what two images share is copied once. */
  readonly #under = new Map<Digest, Promise<void>>();

  constructor(source: ImageSource, target: ImageTarget, options: CopyOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.#slots = new Slots(Math.min(options.concurrency ?? defaultConcurrency, target.concurrency ?? Number.POSITIVE_INFINITY));
  }

  async copyRoot(root: Descriptor): Promise<Descriptor> {
    const { platforms } = this.#options;
    const [only, ...others] = platforms === "all" ? [] : platforms;
    if (only === undefined || documentKind(root.mediaType) !== "index") {
      await this.#copy(root, 0);
      return root;
    }
    if (others.length > 0) return await this.#copySeveral(root, platforms as readonly Platform[]);
    const selected = await selectManifest(this.#source, root, only);
    await this.#copy(selected, 0);
    return withoutAnnotations(selected);
  }

  /** A new index of the chosen entries, as they stand in the old one: registries refuse an index whose manifests are missing. */
  async #copySeveral(root: Descriptor, platforms: readonly Platform[]): Promise<Descriptor> {
    const { document } = await this.#read(root);
    const chosen = new Map(
      platforms.map((platform) => chooseEntry(document as Index, platform, root.digest)).map((one) => [one.digest, one]),
    );
    for (const entry of chosen.values()) await this.#copy(entry, 1);
    const { mediaType, annotations } = document as Index;
    const bytes = encodeJson({
      schemaVersion: 2,
      mediaType: mediaType ?? mediaTypes.index,
      manifests: [...chosen.values()].map(descriptorToJson),
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    });
    const descriptor = { mediaType: mediaType ?? mediaTypes.index, digest: digestOf(bytes), size: bytes.length };
    await this.#putDocument(descriptor, bytes);
    return descriptor;
  }

  #copy(descriptor: Descriptor, depth: number): Promise<void> {
    let copying = this.#under.get(descriptor.digest);
    if (copying === undefined) {
      refuseSchema1(descriptor);
      const kind = documentKind(descriptor.mediaType);
      copying = kind === "index" || kind === "manifest" ? this.#copyDocument(descriptor, depth) : this.#copyBlob(descriptor);
      this.#under.set(descriptor.digest, copying);
    }
    return copying;
  }

  async #copyDocument(descriptor: Descriptor, depth: number): Promise<void> {
    if (depth > maxIndexDepth)
      throw new CodedError("invalid-spec", `cannot copy ${descriptor.digest}: its indexes are more than ${maxIndexDepth} levels deep`);
    if (await this.#target.has(descriptor)) this.#options.done?.(descriptor, "present");
    else {
      const { bytes, document } = await this.#read(descriptor);
      const children = document.kind === "index" ? document.manifests : [...document.layers, document.config];
      await all(children.map((child) => this.#copy(child, depth + 1)));
      await this.#putDocument(descriptor, bytes);
    }
    if (this.#options.referrers === true) await this.#copyReferrers(descriptor, depth);
  }

  async #putDocument(descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
    const outcome = await this.#target.putDocument(descriptor, bytes);
    this.#options.done?.(descriptor, outcome);
  }

  async #read(descriptor: Descriptor): Promise<{ bytes: Uint8Array; document: Manifest | Index }> {
    const bytes = await this.#slots.run(() => readEmbedded(this.#source, descriptor));
    const kind = documentKind(descriptor.mediaType);
    return { bytes, document: parseManifestOrIndex(bytes, descriptor.mediaType, `${kind} ${descriptor.digest}`) };
  }

  async #copyReferrers(subject: Descriptor, depth: number): Promise<void> {
    const found = (await this.#source.referrers?.(subject.digest)) ?? [];
    if (found.length === 0 || depth > maxIndexDepth + maxReferrerDepth) return;
    this.referrers.set(subject.digest, found);
    await all(found.map((referrer) => this.#copy(referrer, depth + 1)));
  }

  async #copyBlob(blob: Descriptor): Promise<void> {
    await this.#slots.run(async () => {
      if (isNondistributable(blob.mediaType) && (await this.#mayLeaveOut(blob))) {
        this.#options.done?.(blob, "skipped");
        return;
      }
      const content = embeddedContent(blob) ?? this.#source.content(blob.digest);
      const outcome = await this.#target.putBlob(blob, content, (doneBytes) => this.#options.progress?.(blob, doneBytes));
      this.#options.done?.(blob, outcome);
    });
  }

  /** SPEC: layer.md: such layers need not be here, and should not be uploaded. */
  async #mayLeaveOut(blob: Descriptor): Promise<boolean> {
    return !this.#target.takesNondistributable || (await this.#source.size(blob.digest)) === undefined;
  }
}

/** SPEC: descriptor.md: `data` is the content; it is trusted no more than content from elsewhere. */
function embeddedContent(blob: Descriptor): BlobContent | undefined {
  return blob.data === undefined ? undefined : verifyBytes(Buffer.from(blob.data, "base64"), blob);
}

async function readEmbedded(source: ImageSource, descriptor: Descriptor): Promise<Uint8Array> {
  if (descriptor.data !== undefined) return verifyBytes(Buffer.from(descriptor.data, "base64"), descriptor);
  return await readBlob(source, descriptor, manifestLimits.maxBytes);
}

function chooseEntry(index: Index, platform: Platform, digest: Digest): Descriptor {
  const entry = selectPlatform(index.manifests, platform);
  if (entry !== undefined) return entry;
  const offered = index.manifests.map((one) => (one.platform === undefined ? "unknown" : formatPlatform(one.platform)));
  throw new CodedError("not-found", `cannot find an image for ${formatPlatform(platform)} in ${digest}: it has ${offered.join(", ")}`);
}

/** Its layers have no digests of their contents, and its signatures cover text that nobody writes the same way twice. */
function refuseSchema1({ mediaType, digest }: Descriptor): void {
  if (!isSchema1(mediaType)) return;
  throw new CodedError(
    "unsupported",
    `cannot copy ${digest}: its manifest has Docker's schema 1, which was replaced in 2016: have it pulled and pushed again by a tool that converts it`,
  );
}

/** The descriptor without its annotations, which belong to the list that it stood in. */
export function withoutAnnotations({ mediaType, digest, size, platform, artifactType }: Descriptor): Descriptor {
  return {
    mediaType,
    digest,
    size,
    ...(platform === undefined ? {} : { platform }),
    ...(artifactType === undefined ? {} : { artifactType }),
  };
}

/** As Promise.all, but nothing is under way any more when it fails: what follows may remove files. */
async function all(works: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(works);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
