/** An image of a registry as a source: its mirrors are asked first, and every request goes to the next place when one does not serve. */
import { CodedError } from "#base/errors.ts";
import type { Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { formatReference, type Reference } from "#spec/reference.ts";
import type { BlobContent, OpenRequest } from "../blob/store.ts";
import type { ImageSource, SourceImage } from "../source/source.ts";
import type { FetchedDocument, RepositoryClient } from "./client.ts";
import { downloadBlob } from "./download.ts";
import { isDocument, listReferrers } from "./referrers.ts";
import type { Registries } from "./registries.ts";

/** Opens the image that `reference` (with its registry) names. @throws CodedError `not-found`, `permission-denied`, `unavailable`, … */
export async function openRegistrySource(registries: Registries, reference: Reference): Promise<RegistrySource> {
  const clients = await registries.sources(reference.name);
  const wanted = reference.digest ?? reference.tag ?? "";
  const { found, from } = await firstThatServes(clients, (client) => client.getManifest(wanted));
  return new RegistrySource(reference, {
    root: found,
    clients: [from, ...clients.filter((client) => client !== from)],
    registry: clients.at(-1) ?? from,
  });
}

/** One image of a registry. */
export class RegistrySource implements ImageSource {
  readonly description: string;
  readonly images: readonly SourceImage[];
  /** The name that was asked for, as stores keep it: `registry.example/app:1`, or with the digest that it was asked for by. */
  readonly name: string;
  readonly #clients: readonly RepositoryClient[];
  /** The one of them that is no mirror. */
  readonly #registry: RepositoryClient;
  readonly #documents = new Map<Digest, FetchedDocument>();
  /** What the documents say of blobs: sizes, and addresses of layers that registries must not keep. */
  readonly #known = new Map<Digest, Descriptor>();
  #stopped: Error | undefined;

  constructor(
    reference: Reference,
    { root, clients, registry }: { root: FetchedDocument; clients: readonly RepositoryClient[]; registry: RepositoryClient },
  ) {
    const { name, tag, digest } = reference;
    this.name = formatReference(digest === undefined ? { name, tag } : { name, digest });
    this.description = `the registry's ${formatReference(reference)}`;
    this.images = [{ names: [this.name], tag: digest === undefined ? tag : undefined, descriptor: root.descriptor }];
    this.#clients = clients;
    this.#registry = registry;
    this.#remember(root);
  }

  async size(digest: Digest): Promise<number | undefined> {
    const known = this.#documents.get(digest)?.descriptor.size ?? this.#known.get(digest)?.size;
    if (known !== undefined) return known;
    const { found } = await firstThatServes(this.#clients, (client) => headBlob(client, digest));
    return found;
  }

  async *open(digest: Digest, request: OpenRequest = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const { mediaType = this.#known.get(digest)?.mediaType ?? "", offset = 0 } = request;
    const document = this.#documents.get(digest) ?? (isDocument(mediaType) ? await this.#getDocument(digest, mediaType) : undefined);
    if (document === undefined) yield* this.#download(digest, offset);
    else yield document.bytes.subarray(offset);
  }

  content(digest: Digest): BlobContent {
    return { from: (offset) => this.#download(digest, offset) };
  }

  async referrers(digest: Digest): Promise<readonly Descriptor[]> {
    // Mirrors of images know nothing of what others said about them.
    const found = await listReferrers(this.#registry, digest);
    for (const one of found) this.#known.set(one.digest, one);
    return found;
  }

  /** Ends all downloads: they throw `error`, or what was said first. */
  stop(error: Error): void {
    this.#stopped ??= error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop(new CodedError("canceled", `cannot read ${this.description}: it is closed`));
  }

  async *#download(digest: Digest, offset: number): AsyncGenerator<Uint8Array, void, undefined> {
    const size = await this.size(digest);
    if (size === undefined) throw new CodedError("not-found", `cannot get ${digest}: ${this.description} does not have it`);
    const urls = this.#known.get(digest)?.urls;
    const check = (): void => {
      if (this.#stopped !== undefined) throw this.#stopped;
    };
    let at = offset;
    for (const [index, client] of this.#clients.entries()) {
      try {
        for await (const chunk of downloadBlob(client, {
          blob: { digest, size, ...(urls === undefined ? {} : { urls }) },
          offset: at,
          check,
        })) {
          at += chunk.length;
          yield chunk;
        }
        return;
      } catch (error) {
        check();
        if (index < this.#clients.length - 1 && mayBeElsewhere(error)) continue;
        // What is of no use without this blob need not come.
        if (error instanceof Error) this.stop(error);
        throw error;
      }
    }
  }

  async #getDocument(digest: Digest, mediaType: string): Promise<FetchedDocument> {
    const known = this.#known.get(digest);
    const expected = known?.mediaType === mediaType ? known : undefined;
    const { found } = await firstThatServes(this.#clients, (client) => client.getManifest(digest, expected));
    this.#remember(found);
    return found;
  }

  #remember(document: FetchedDocument): void {
    this.#documents.set(document.descriptor.digest, document);
    const { document: content } = document;
    const children = content.kind === "index" ? content.manifests : [content.config, ...content.layers];
    for (const child of children) if (!this.#known.has(child.digest)) this.#known.set(child.digest, child);
  }
}

/** P4: how large the blob is; undefined when it is not there. */
export async function headBlob(client: RepositoryClient, digest: Digest): Promise<number | undefined> {
  const doing = `look for blob ${digest} in ${client.name}`;
  const response = await client.send({ method: "HEAD", to: `blobs/${digest}`, action: "pull", doing, isRepeatable: true });
  const length = response.header("content-length");
  if (response.status === 404) {
    await response.discard();
    return undefined;
  }
  if (response.status !== 200) throw await client.refused(response, doing);
  await response.discard();
  return length !== undefined && /^[0-9]{1,16}$/.test(length) ? Number(length) : undefined;
}

/** The first answer that is none of a place that lacks it or is not there; else the last error, which is the registry's own. */
async function firstThatServes<T>(
  clients: readonly RepositoryClient[],
  ask: (client: RepositoryClient) => Promise<T>,
): Promise<{ readonly found: T; readonly from: RepositoryClient }> {
  for (const [index, client] of clients.entries()) {
    try {
      return { found: await ask(client), from: client };
    } catch (error) {
      if (index === clients.length - 1 || !mayBeElsewhere(error)) throw error;
    }
  }
  throw new CodedError("internal", "an image comes from at least one place");
}

/** A mirror that lies, lacks it, refuses us or is away is no reason to give up. */
function mayBeElsewhere(error: unknown): boolean {
  return error instanceof CodedError && error.code !== "internal" && error.code !== "canceled";
}
