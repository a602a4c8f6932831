/**
 * Images into an OCI archive: an image layout in a tar, as skopeo, podman and buildkit know it.
 *
 * Docker's manifest.json lies beside, where every image is one that docker can run: so `docker load` reads the same file, under the same names.
 * (Docker itself has saved archives of this form since version 25.)
 */
import { encodeJson } from "#base/json.ts";
import { digestOf, verifyContent, type Digest } from "#spec/digest.ts";
import { descriptorToJson, parseManifestOrIndex, type Descriptor, type Manifest } from "#spec/image.ts";
import { documentKind, layerCompression, mediaTypes } from "#spec/media-type.ts";
import { readFileChunks } from "#sys/file-chunks.ts";
import { contentChunks, type BlobContent, type BlobProgress } from "../blob/store.ts";
import { withName } from "../layout.ts";
import { referrersTag } from "../referrers.ts";
import type { ImageTarget, NamedImage, PutOutcome } from "../target.ts";
import { ArchiveWriter } from "./archive-writer.ts";
import type { ByteSink } from "./sink.ts";

/** An archive that is being written to `sink`. `name` is what it is called in sentences. */
export function openOciArchiveTarget(sink: ByteSink, name: string): ImageTarget {
  return new OciArchiveTarget(sink, name);
}

class OciArchiveTarget implements ImageTarget {
  readonly description: string;
  readonly takesNondistributable = true;
  /** A tar is written from the beginning to the end. */
  readonly concurrency = 1;
  readonly #sink: ByteSink;
  readonly #archive: ArchiveWriter;
  readonly #manifests = new Map<Digest, Manifest>();
  #finished = false;

  constructor(sink: ByteSink, name: string) {
    this.description = `the OCI archive ${name}`;
    this.#sink = sink;
    this.#archive = new ArchiveWriter(sink);
  }

  async has(blob: Descriptor): Promise<boolean> {
    return this.#archive.has(blobName(blob.digest));
  }

  async putBlob(blob: Descriptor, content: BlobContent, progress?: BlobProgress): Promise<PutOutcome> {
    const name = blobName(blob.digest);
    if (this.#archive.has(name)) return "present";
    if (!this.#archive.has("oci-layout")) await this.#begin();
    const chunks = "path" in content ? readFileChunks(content.path) : contentChunks(content);
    await this.#archive.add(name, blob.size, told(verifyContent(chunks, blob), progress));
    return "copied";
  }

  async putDocument(document: Descriptor, bytes: Uint8Array): Promise<PutOutcome> {
    const parsed = parseManifestOrIndex(bytes, document.mediaType, `document ${document.digest}`);
    if (parsed.kind === "manifest") this.#manifests.set(document.digest, parsed);
    return await this.putBlob(document, bytes);
  }

  async finish(images: readonly NamedImage[], referrers: ReadonlyMap<string, readonly Descriptor[]> = new Map()): Promise<void> {
    if (!this.#archive.has("oci-layout")) await this.#begin();
    const entries = images.flatMap(namedEntries);
    for (const [subject, found] of referrers) entries.push(await this.#addReferrers(subject as Digest, found));
    await this.#addJson("index.json", { schemaVersion: 2, mediaType: mediaTypes.index, manifests: entries.map(descriptorToJson) });
    const saved = images.map((image) => this.#dockerEntry(image));
    if (saved.every((entry) => entry !== undefined)) await this.#addJson("manifest.json", saved);
    await this.#archive.finish();
    this.#finished = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#finished) await this.#sink.abort();
  }

  async #begin(): Promise<void> {
    await this.#addJson("oci-layout", { imageLayoutVersion: "1.0.0" });
    await this.#archive.addDirectory("blobs");
    await this.#archive.addDirectory("blobs/sha256");
  }

  async #addReferrers(subject: Digest, found: readonly Descriptor[]): Promise<Descriptor> {
    const bytes = encodeJson({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: found.map(descriptorToJson) });
    const descriptor = { mediaType: mediaTypes.index, digest: digestOf(bytes), size: bytes.length };
    await this.putBlob(descriptor, bytes);
    return withName(descriptor, referrersTag(subject));
  }

  /** Undefined for what docker could not run: indexes, artifacts, layers of other kinds. */
  #dockerEntry({ names, descriptor }: NamedImage): object | undefined {
    const manifest = this.#manifests.get(descriptor.digest);
    if (manifest === undefined || documentKind(manifest.config.mediaType) !== "config") return undefined;
    if (manifest.layers.some((layer) => layerCompression(layer.mediaType) === undefined || !this.#archive.has(blobName(layer.digest))))
      return undefined;
    return {
      Config: blobName(manifest.config.digest),
      RepoTags: names.length === 0 ? null : names,
      Layers: manifest.layers.map((layer) => blobName(layer.digest)),
    };
  }

  async #addJson(name: string, value: unknown): Promise<void> {
    const bytes = encodeJson(value);
    await this.#archive.add(name, bytes.length, contentChunks(bytes));
  }
}

/** One entry per name; containerd and docker look for the whole reference in an annotation of their own. */
function namedEntries({ names, tag, descriptor }: NamedImage): Descriptor[] {
  const labels = tag === undefined ? names : [tag, ...names];
  if (labels.length === 0) return [withName(descriptor, undefined)];
  return labels.map((label) => withName(descriptor, label));
}

function blobName(digest: Digest): string {
  return `blobs/${digest.replace(":", "/")}`;
}

async function* told(chunks: AsyncIterable<Uint8Array>, progress: BlobProgress | undefined): AsyncGenerator<Uint8Array, void, undefined> {
  let doneBytes = 0;
  for await (const chunk of chunks) {
    yield chunk;
    doneBytes += chunk.length;
    progress?.(doneBytes);
  }
}
