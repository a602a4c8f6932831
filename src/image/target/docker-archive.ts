/**
 * Images into a docker archive: what docker before version 25, podman and skopeo read as `docker-archive`.
 *
 *     DIFFID.tar (uncompressed)  CONFIGDIGEST.json  manifest.json
 *
 * The format has no manifests, so digests of manifests are lost; the config's digest, docker's image id, stays.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { encodeJson } from "#base/json.ts";
import { ContentHasher, digestEncoded, verifyContent, type Digest } from "#spec/digest.ts";
import { parseManifestOrIndex, type Descriptor, type Manifest } from "#spec/image.ts";
import { documentKind, layerCompression } from "#spec/media-type.ts";
import { readFileChunks, writeFileChunks } from "#sys/file-chunks.ts";
import { ownerName } from "#sys/owner.ts";
import { contentChunks, type BlobContent, type BlobProgress } from "../blob/store.ts";
import { decompressLayer } from "../layer/decompress.ts";
import type { ImageTarget, NamedImage, PutOutcome } from "../target.ts";
import { ArchiveWriter } from "./archive-writer.ts";
import type { ByteSink } from "./sink.ts";

/** Where a docker archive is written, and how it is called. */
export interface DockerArchiveOptions {
  /** What it is called in sentences. */
  readonly name: string;
  /** Where a layer is unpacked first when it goes to a pipe: its length must be told before its content. */
  readonly spoolDirectory: string;
}

/** An archive that is being written to `sink`. */
export function openDockerArchiveTarget(sink: ByteSink, options: DockerArchiveOptions): ImageTarget {
  return new DockerArchiveTarget(sink, options);
}

class DockerArchiveTarget implements ImageTarget {
  readonly description: string;
  readonly takesNondistributable = true;
  readonly concurrency = 1;
  readonly #sink: ByteSink;
  readonly #archive: ArchiveWriter;
  readonly #spoolDirectory: string;
  /** Names in the archive, by digest. */
  readonly #names = new Map<Digest, string>();
  readonly #manifests = new Map<Digest, Manifest>();
  #finished = false;

  constructor(sink: ByteSink, { name, spoolDirectory }: DockerArchiveOptions) {
    this.description = `the docker archive ${name}`;
    this.#sink = sink;
    this.#archive = new ArchiveWriter(sink);
    this.#spoolDirectory = spoolDirectory;
  }

  async has(blob: Descriptor): Promise<boolean> {
    return this.#names.has(blob.digest) || this.#manifests.has(blob.digest);
  }

  async putBlob(blob: Descriptor, content: BlobContent, progress?: BlobProgress): Promise<PutOutcome> {
    if (this.#names.has(blob.digest)) return "present";
    const chunks = verifyContent("path" in content ? readFileChunks(content.path) : contentChunks(content), blob);
    if (documentKind(blob.mediaType) === "config") {
      const name = `${digestEncoded(blob.digest)}.json`;
      await this.#archive.add(name, blob.size, chunks);
      this.#names.set(blob.digest, name);
    } else if (layerCompression(blob.mediaType) === undefined) {
      throw this.#unfit(`it is a blob of the type ${blob.mediaType}, and docker archives hold images for containers only`);
    } else {
      this.#names.set(blob.digest, await this.#addLayer(blob, counted(chunks, progress)));
    }
    return "copied";
  }

  async putDocument(document: Descriptor, bytes: Uint8Array): Promise<PutOutcome> {
    const manifest = parseManifestOrIndex(bytes, document.mediaType, `document ${document.digest}`);
    if (manifest.kind === "index") throw this.#unfit("it is an index, and docker archives hold one platform only; choose one");
    if (documentKind(manifest.config.mediaType) !== "config") throw this.#unfit(`its config has the type ${manifest.config.mediaType}`);
    this.#manifests.set(document.digest, manifest);
    return "copied";
  }

  async finish(images: readonly NamedImage[]): Promise<void> {
    const saved = images.map(({ names, descriptor }) => {
      const manifest = this.#manifests.get(descriptor.digest);
      if (manifest === undefined) throw new CodedError("internal", `the manifest ${descriptor.digest} was not put`);
      return {
        Config: this.#names.get(manifest.config.digest),
        RepoTags: names.length === 0 ? null : names,
        Layers: manifest.layers.map((layer) => this.#nameOf(layer)),
      };
    });
    const bytes = encodeJson(saved);
    await this.#archive.add("manifest.json", bytes.length, contentChunks(bytes));
    await this.#archive.finish();
    this.#finished = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#finished) await this.#sink.abort();
  }

  /** A layer goes by its diff id, so that two packings of one layer are one file. */
  async #addLayer(blob: Descriptor, chunks: AsyncIterable<Uint8Array>): Promise<string> {
    const hasher = new ContentHasher();
    const plain = hashed(decompressLayer(chunks, blob.mediaType), hasher);
    const tell = (): { name: string; size: number } => ({ name: `${digestEncoded(hasher.finish().digest)}.tar`, size: hasher.size });
    if (this.#archive.canRewrite) return (await this.#archive.addUnnamed(plain, tell)).name;
    const spool = join(this.#spoolDirectory, ownerName());
    try {
      await writeFileChunks(spool, plain, 0o600);
      const { name, size } = tell();
      if (!this.#archive.has(name)) await this.#archive.add(name, size, readFileChunks(spool));
      return name;
    } finally {
      await rm(spool, { force: true });
    }
  }

  #nameOf(layer: Descriptor): string {
    const name = this.#names.get(layer.digest);
    if (name === undefined) throw this.#unfit(`its layer ${layer.digest} may not be passed on and is not here`);
    return name;
  }

  #unfit(fact: string): CodedError {
    return new CodedError("unsupported", `cannot put this into ${this.description}: ${fact}`);
  }
}

async function* hashed(chunks: AsyncIterable<Uint8Array>, hasher: ContentHasher): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    hasher.update(chunk);
    yield chunk;
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  progress: BlobProgress | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let doneBytes = 0;
  for await (const chunk of chunks) {
    yield chunk;
    doneBytes += chunk.length;
    progress?.(doneBytes);
  }
}
