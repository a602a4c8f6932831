/** A repository of a registry as a target: asks for many blobs at once, mounts what a neighbour has, puts children before parents. */
import { CodedError } from "#base/errors.ts";
import type { Digest } from "#spec/digest.ts";
import { parseManifestOrIndex, type Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import { splitName, type Reference } from "#spec/reference.ts";
import type { BlobContent, BlobProgress } from "../blob/store.ts";
import { Slots } from "../slots.ts";
import type { ImageTarget, NamedImage, PutOutcome } from "../target.ts";
import type { PutRequest, RepositoryClient } from "./client.ts";
import { addToReferrersTag, isDocument, referrerDescriptor } from "./referrers.ts";
import type { Registries } from "./registries.ts";
import { headBlob } from "./source.ts";
import { uploadBlob } from "./upload.ts";

/** What is known before blobs are put. */
export interface RegistryTargetOptions {
  /** Names of repositories (with their registry) that are known to have the blob. Those of other registries are left out here. */
  readonly knownIn?: (digest: Digest) => readonly string[];
  /** More tags for what `finish` gives the tag of the reference. */
  readonly moreTags?: readonly string[];
}

/** Questions cost a registry little: as many as this are asked at once. */
const concurrentQuestions = 24;

/** Opens the repository that `reference` names; its tag is what `finish` gives. */
export async function openRegistryTarget(
  registries: Registries,
  reference: Reference,
  options: RegistryTargetOptions = {},
): Promise<RegistryTarget> {
  return new RegistryTarget(await registries.repository(reference.name), reference, options);
}

/** One repository, and the tag that is to be put. */
export class RegistryTarget implements ImageTarget {
  readonly description: string;
  readonly takesNondistributable = false;
  readonly #client: RepositoryClient;
  readonly #reference: Reference;
  readonly #options: RegistryTargetOptions;
  readonly #tags: readonly string[];
  readonly #questions = new Slots(concurrentQuestions);
  /** Answers to what was asked, and what was put since. */
  readonly #present = new Map<Digest, Promise<boolean>>();
  readonly #documents = new Map<Digest, Uint8Array>();
  /** Changes of referrers' tags, one after another: each reads what the one before wrote. */
  #referrers: Promise<void> = Promise.resolve();

  constructor(client: RepositoryClient, reference: Reference, options: RegistryTargetOptions) {
    this.description = `the registry's ${reference.name}`;
    this.#client = client;
    this.#reference = reference;
    this.#options = options;
    this.#tags = [...new Set([...(reference.tag === undefined ? [] : [reference.tag]), ...(options.moreTags ?? [])])];
  }

  /** Whether all tags stand at `root` already. */
  async isTagged(root: Descriptor): Promise<boolean> {
    const found = await Promise.all(this.#tags.map((tag) => this.#client.headManifest(tag)));
    return found.length > 0 && found.every((descriptor) => descriptor?.digest === root.digest);
  }

  /** Asks for all of `blobs` at once, so that nobody has to wait for one answer after another. */
  expect(blobs: readonly Descriptor[]): void {
    for (const blob of blobs) this.has(blob).catch(() => undefined);
  }

  /** A registry takes a manifest only when all that it refers to is there, so one that is there is complete. */
  has(blob: Descriptor): Promise<boolean> {
    let present = this.#present.get(blob.digest);
    if (present === undefined) {
      present = this.#questions.run(async () => {
        if (!isDocument(blob.mediaType)) return (await headBlob(this.#client, blob.digest)) !== undefined;
        return (await this.#client.headManifest(blob.digest)) !== undefined;
      });
      this.#present.set(blob.digest, present);
    }
    return present;
  }

  async putBlob(blob: Descriptor, content: BlobContent, progress?: BlobProgress): Promise<PutOutcome> {
    if (await this.has(blob)) return "present";
    const outcome = await uploadBlob(this.#client, { blob, content, mountFrom: this.#neighbourOf(blob.digest), progress });
    this.#present.set(blob.digest, Promise.resolve(true));
    return outcome;
  }

  async putDocument(document: Descriptor, bytes: Uint8Array): Promise<PutOutcome> {
    const kind = documentKind(document.mediaType);
    const parsed = parseManifestOrIndex(bytes, document.mediaType, `${kind} ${document.digest}`);
    this.#documents.set(document.digest, bytes);
    const { subjectNoted } = await this.#client.putManifest(document.digest, { descriptor: document, bytes });
    const { subject } = parsed;
    if (subject !== undefined && !subjectNoted) {
      const referrer = referrerDescriptor(document, parsed);
      const noted = this.#referrers.then(() => addToReferrersTag(this.#client, subject.digest, referrer));
      this.#referrers = noted.catch(() => undefined);
      await noted;
    }
    return "copied";
  }

  /** Gives the tags; an image that was asked to be pushed by digest may have none. */
  async finish(images: readonly NamedImage[]): Promise<void> {
    const [image, ...others] = images;
    const [tag] = this.#tags;
    if (image === undefined || tag === undefined) return;
    if (others.length > 0)
      throw new CodedError("invalid-argument", `cannot give ${this.#reference.name}:${tag} to ${images.length} images`);
    const { mediaType, digest } = image.descriptor;
    const bytes = this.#documents.get(digest) ?? (await this.#client.getManifest(digest)).bytes;
    const request = { descriptor: { mediaType, digest, size: bytes.length }, bytes };
    const given = this.#tags.length > 1 ? await this.#tagAtOnce(request) : new Set<string>();
    for (const each of this.#tags) if (!given.has(each)) await this.#client.putManifest(each, request);
  }

  /** U6: all tags in one request, to a registry that can; gives those that it took. */
  async #tagAtOnce(request: PutRequest): Promise<ReadonlySet<string>> {
    try {
      return (await this.#client.putManifest(request.descriptor.digest, { ...request, tags: this.#tags })).tagged;
    } catch (error) {
      // COMPAT: too long an address (414, 431), or one with words that it does not know. One by one it will say what is wrong.
      const status = error instanceof CodedError ? error.details["status"] : undefined;
      if (typeof status === "number" && status < 500) return new Set();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#referrers;
  }

  /** Another repository of this registry that has the blob. */
  #neighbourOf(digest: Digest): string | undefined {
    for (const name of this.#options.knownIn?.(digest) ?? []) {
      const { domain, path } = splitName(name);
      if (domain === this.#client.registry && path !== this.#client.path) return path;
    }
    return undefined;
  }
}
