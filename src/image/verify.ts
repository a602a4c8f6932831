/** Checks a whole store: every byte, every reference, every document, and that nothing lies around. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { findDigestFault, verifyBytes, verifyContent, type Digest } from "#spec/digest.ts";
import { readWithFaults, standInDigest, type DocumentFault } from "#spec/document-faults.ts";
import { imageConfigLimits, parseImageConfig, requireLayerCount, type ImageConfig } from "#spec/image-config.ts";
import { manifestLimits, parseManifestOrIndex, type Descriptor, type Manifest } from "#spec/image.ts";
import { documentKind, isNondistributable, mediaTypes } from "#spec/media-type.ts";
import { findFile, readFileBounded } from "#sys/fs.ts";
import { listOwned } from "#sys/owner.ts";
import { readBlob } from "./blob/store.ts";
import { isContainerImage } from "./image.ts";
import { decompressLayer } from "./layer/decompress.ts";
import { indexLimits, nameOf, parseIndexFile, requireLayout, type ImageLayout } from "./layout.ts";

/** Something that is not as it should be. */
export interface Problem {
  /** A sentence that names the object. */
  readonly message: string;
  /** The blob, when it is about one. */
  readonly digest?: Digest;
  /** JSON Pointer to the place in that document, or in index.json when there is no digest. */
  readonly pointer?: string;
}

/** How much is checked. */
export interface VerifyOptions {
  /** Unpacks every layer and compares with the diff ids of the configs. */
  readonly isDeep?: boolean;
  /** Blobs may be missing, as the specification allows a layout. */
  readonly mayLackBlobs?: boolean;
}

/** All problems of a layout, in the order of the walk; none for a clean one. Reads every blob; changes nothing. */
export async function verifyLayout(layout: ImageLayout, options: VerifyOptions = {}): Promise<Problem[]> {
  const problems: Problem[] = [];
  await check(problems, () => requireLayout(layout.path));
  await verifyBlobNames(layout.path, problems);
  const bad = await verifyBlobs(layout, problems);
  await check(problems, async () => {
    const bytes = await readFileBounded(join(layout.path, "index.json"), indexLimits.maxBytes);
    const { value, faults } = readWithFaults(bytes, indexLimits, (text) => parseIndexFile(text, layout.path));
    problems.push(...faults.map(problemOf));
    if (value === undefined) return;
    verifyNames(value.manifests, problems);
    await new ReferenceWalk(layout, { bad, problems, options }).run(value.manifests);
  });
  for (const directory of [layout.path, join(layout.path, "tmp")]) {
    const stale = listOwned(directory).filter(({ leftBehind }) => leftBehind);
    problems.push(...stale.map(({ name }) => ({ message: `${join(directory, name)} was left behind by a process that ended` })));
  }
  return problems;
}

async function verifyBlobNames(path: string, problems: Problem[]): Promise<void> {
  const blobs = join(path, "blobs");
  if ((await findFile(blobs))?.isDirectory() !== true) return void problems.push({ message: `${blobs} is not a directory` });
  for (const algorithm of await readdir(blobs)) {
    if ((await findFile(join(blobs, algorithm)))?.isDirectory() !== true) {
      problems.push({ message: `${join(blobs, algorithm)} is not a directory` });
      continue;
    }
    for (const encoded of await readdir(join(blobs, algorithm))) {
      const fault = findDigestFault(`${algorithm}:${encoded}`);
      if (fault !== undefined) problems.push({ message: `${join(blobs, algorithm, encoded)} has no digest for a name: ${fault}` });
    }
  }
}

/** Hashes every blob; those that are not what their name says are returned, so that they are reported once. */
async function verifyBlobs(layout: ImageLayout, problems: Problem[]): Promise<ReadonlySet<Digest>> {
  const bad = new Set<Digest>();
  for (const digest of await layout.blobs.list()) {
    const isGood = await check(
      problems,
      async () => {
        for await (const _chunk of layout.blobs.open(digest));
      },
      digest,
    );
    if (!isGood) bad.add(digest);
  }
  return bad;
}

function verifyNames(entries: readonly Descriptor[], problems: Problem[]): void {
  const names = entries.flatMap((entry) => nameOf(entry) ?? []);
  const twice = new Set(names.filter((name, index) => names.indexOf(name) !== index));
  for (const name of twice) problems.push({ message: `index.json has several entries of the name ${JSON.stringify(name)}` });
}

/** A reference and where it stands. */
interface Reference {
  readonly descriptor: Descriptor;
  /** `index.json` or the digest of a document. */
  readonly from: string;
  readonly pointer: string;
}

interface WalkContext {
  readonly bad: ReadonlySet<Digest>;
  readonly problems: Problem[];
  readonly options: VerifyOptions;
}

/** Follows every reference once and checks what it leads to. */
class ReferenceWalk {
  readonly #layout: ImageLayout;
  readonly #bad: ReadonlySet<Digest>;
  readonly #problems: Problem[];
  readonly #options: VerifyOptions;
  readonly #seen = new Set<Digest>();
  readonly #unpacked = new Set<string>();

  constructor(layout: ImageLayout, { bad, problems, options }: WalkContext) {
    this.#layout = layout;
    this.#bad = bad;
    this.#problems = problems;
    this.#options = options;
  }

  async run(roots: readonly Descriptor[]): Promise<void> {
    const pending: Reference[] = referencesFrom("index.json", "/manifests", roots);
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { descriptor } = next;
      if (descriptor.digest === standInDigest) continue;
      const isHere = await this.#verifyDescriptor(next);
      if (!isHere || this.#bad.has(descriptor.digest) || this.#seen.has(descriptor.digest)) continue;
      this.#seen.add(descriptor.digest);
      const kind = documentKind(descriptor.mediaType);
      if (kind === "manifest" || kind === "index")
        await check(this.#problems, async () => void pending.push(...(await this.#verifyDocument(descriptor))), descriptor.digest);
    }
  }

  /** True when the blob is here, with the size that the descriptor says. */
  async #verifyDescriptor({ descriptor, from, pointer }: Reference): Promise<boolean> {
    const { digest, data } = descriptor;
    if (data !== undefined) await check(this.#problems, async () => void verifyBytes(Buffer.from(data, "base64"), descriptor), digest);
    const size = await this.#layout.blobs.size(digest).catch(() => undefined);
    if (size === descriptor.size) return true;
    // SPEC: image-layout.md: blobs may be missing; layers that may not be passed on mostly are.
    const mayBeMissing = this.#options.mayLackBlobs === true || isNondistributable(descriptor.mediaType);
    if (size === undefined && mayBeMissing) return false;
    const fact = size === undefined ? `${digest}, which is not here` : `${digest} with ${descriptor.size} bytes, but it has ${size}`;
    this.#problems.push({ message: `${from} refers to ${fact}`, digest, pointer });
    return false;
  }

  /** Resolves with what the document refers to. */
  async #verifyDocument(descriptor: Descriptor): Promise<Reference[]> {
    const { digest, mediaType } = descriptor;
    const bytes = await readBlob(this.#layout.blobs, descriptor, manifestLimits.maxBytes);
    const { value, faults } = readWithFaults(bytes, manifestLimits, (text) =>
      parseManifestOrIndex(text, mediaType, `${documentKind(mediaType)} ${digest}`),
    );
    this.#problems.push(...faults.map((fault) => ({ ...problemOf(fault), digest })));
    if (value === undefined) return [];
    // A descriptor with a fault says nothing that could be followed.
    const isSound = ({ pointer }: Reference): boolean => !faults.some((fault) => fault.pointer?.startsWith(`${pointer}/`) === true);
    if (value.kind === "index") return referencesFrom(digest, "/manifests", value.manifests).filter(isSound);
    await this.#verifyManifest(descriptor, { manifest: value, isWhole: faults.length === 0 });
    return [{ descriptor: value.config, from: digest, pointer: "/config" }, ...referencesFrom(digest, "/layers", value.layers)].filter(
      isSound,
    );
  }

  async #verifyManifest({ digest }: Descriptor, { manifest, isWhole }: { manifest: Manifest; isWhole: boolean }): Promise<void> {
    // SPEC: manifest.md: artifactType MUST be set when the config is the empty one.
    if (manifest.config.mediaType === mediaTypes.empty && manifest.artifactType === undefined)
      this.#problems.push({ message: `manifest ${digest} has the empty config and no artifactType`, digest, pointer: "/artifactType" });
    const { config } = manifest;
    if (!isContainerImage(manifest) || this.#bad.has(config.digest) || (await this.#layout.blobs.size(config.digest)) !== config.size)
      return;
    const bytes = await readBlob(this.#layout.blobs, config, imageConfigLimits.maxBytes);
    const read = readWithFaults(bytes, imageConfigLimits, (text) => parseImageConfig(text, `config ${config.digest}`));
    this.#problems.push(...read.faults.map((fault) => ({ ...problemOf(fault), digest: config.digest })));
    if (read.value === undefined) return;
    if (isWhole) requireLayerCount(manifest, read.value, `image ${digest}`);
    if (this.#options.isDeep === true) await this.#verifyLayers(manifest, read.value);
  }

  async #verifyLayers(manifest: Manifest, config: ImageConfig): Promise<void> {
    for (const [at, layer] of manifest.layers.entries()) {
      const diffId = config.rootfs.diff_ids[at];
      const isHere = (await this.#layout.blobs.size(layer.digest)) === layer.size && !this.#bad.has(layer.digest);
      if (diffId === undefined || diffId === standInDigest || !isHere || this.#unpacked.has(`${layer.digest} ${diffId}`)) continue;
      this.#unpacked.add(`${layer.digest} ${diffId}`);
      const isGood = await check(
        this.#problems,
        async () => {
          for await (const _chunk of verifyContent(decompressLayer(this.#layout.blobs.open(layer.digest), layer.mediaType), {
            digest: diffId,
          }));
        },
        layer.digest,
      );
      if (!isGood)
        this.#problems.push({
          message: `layer ${layer.digest} is not what config ${manifest.config.digest} says`,
          digest: manifest.config.digest,
          pointer: `/rootfs/diff_ids/${at}`,
        });
    }
  }
}

function referencesFrom(from: string, pointer: string, descriptors: readonly Descriptor[]): Reference[] {
  return descriptors.map((descriptor, at) => ({ descriptor, from, pointer: `${pointer}/${at}` }));
}

function problemOf({ message, pointer }: DocumentFault): Problem {
  return { message, ...(pointer === undefined ? {} : { pointer }) };
}

/** Runs `work`; an error of ours becomes a problem and false. */
async function check(problems: Problem[], work: () => Promise<void>, digest?: Digest): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    problems.push({ message: error.message, ...(digest === undefined ? {} : { digest }) });
    return false;
  }
}
