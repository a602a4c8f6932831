/** One repository of one registry: manifests, tags, and the requests that blobs and referrers are built of. */
import { CodedError } from "#base/errors.ts";
import { parseJsonNode } from "#base/json-node.ts";
import { digestAlgorithm, digestOf, findDigestFault, verifyBytes, type Digest } from "#spec/digest.ts";
import { manifestLimits, parseManifestOrIndex, type Descriptor, type Index, type Manifest } from "#spec/image.ts";
import { documentKind, mediaTypes } from "#spec/media-type.ts";
import { isTag } from "#spec/reference.ts";
import type { Authenticator } from "./auth.ts";
import { foreignText, maxErrorBytes, refusedError } from "./errors.ts";
import { nextLink } from "./link.ts";
import type { Clock } from "./ports.ts";
import { retryDelayMs } from "./retry.ts";
import type { HttpRequest, HttpResponse, Transport } from "./transport.ts";

/** Where a repository is and who talks to it. */
export interface ClientOptions {
  /** The registry's root: `https://registry.example/`. */
  readonly base: URL;
  /** `team/app`. */
  readonly path: string;
  /** With the domain, for people. */
  readonly name: string;
  /** Host and port as people write them. */
  readonly registry: string;
  readonly transport: Transport;
  readonly auth: Authenticator;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onWarning: (text: string) => void;
  /** Y1: the registry that is meant, for one that fetches from others what it does not have: it is told as `?ns=`. */
  readonly namespace?: string | undefined;
}

/** A request to the registry, before its address and credentials are known. */
export interface RepositoryRequest extends Omit<HttpRequest, "url" | "authorization"> {
  /** Below the repository (`manifests/1`), or a whole URL that the registry gave. */
  readonly to: string | URL;
  /** What the request does to the repository. */
  readonly action: "pull" | "push" | "delete";
  /** More scopes than this repository's own. */
  readonly scopes?: readonly string[];
}

/** A manifest or index as a registry gave it, verified. */
export interface FetchedDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly document: Manifest | Index;
  /** What the registry calls this state of a tag, for conditions; undefined when it says nothing that can be one. */
  readonly etag: string | undefined;
}

/** A manifest to be put. */
export interface PutRequest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  /** U6: tags that a registry may give it in the same request; only with a digest as reference. */
  readonly tags?: readonly string[];
  /** RFC 9110, 13.1: put only when the tag still stands where this ETag was read, or (`none`) when it is not there. */
  readonly onlyOver?: { readonly etag: string } | "none";
}

/** What a registry made of a manifest. */
export interface PutAnswer {
  /** U8: it took note of the subject, so that the referrers are listed by the registry itself. */
  readonly subjectNoted: boolean;
  /** The tags that it gave. */
  readonly tagged: ReadonlySet<string>;
}

const acceptedTypes = [mediaTypes.index, mediaTypes.manifest, mediaTypes.dockerIndex, mediaTypes.dockerManifest];
const maxTagPageBytes = 8 << 20;
/** More than the largest repositories have; all pages together could hold gigabytes. */
const maxTags = 1_000_000;
/** Lists longer than this are cut off with an error: no page of a sane registry is that far from the first. */
const maxPages = 10_000;

/** A repository. */
export class RepositoryClient {
  readonly name: string;
  readonly registry: string;
  readonly path: string;
  readonly clock: Clock;
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.name = options.name;
    this.registry = options.registry;
    this.path = options.path;
    this.clock = options.clock;
    this.#options = options;
  }

  /** X1: whether the registry is one and takes our credentials. @throws CodedError `permission-denied`, `unavailable`, `unsupported` */
  async ping(): Promise<void> {
    const url = new URL("v2/", this.#options.base);
    const request = {
      method: "GET",
      to: url,
      action: "pull",
      scopes: [],
      doing: `log in at ${this.registry}`,
      isRepeatable: true,
    } as const;
    const response = await this.#sendWith(request, []);
    if (response.status !== 200) throw await this.refused(response, request.doing);
    await response.discard();
  }

  /**
   * P1, P2: gets the manifest or index that `reference` (tag or digest) names.
   *
   * @param expected its descriptor, where something refers to it: type, size and digest must agree.
   * @throws CodedError `not-found`; `corrupt`, `invalid-spec` for bytes that are not what they should be; `unsupported` for other types.
   */
  async getManifest(reference: string, expected?: Descriptor): Promise<FetchedDocument> {
    const doing = `get manifest ${reference} of ${this.name}`;
    const response = await this.send({
      method: "GET",
      to: `manifests/${reference}`,
      action: "pull",
      headers: { accept: [...new Set([...(expected === undefined ? [] : [expected.mediaType]), ...acceptedTypes])].join(", ") },
      doing,
      isRepeatable: true,
    });
    if (response.status !== 200) throw await this.refused(response, doing);
    const bytes = await response.bytes(manifestLimits.maxBytes);
    const digest = this.#verifyManifest(reference, bytes, { response, expected });
    const mediaType = documentTypeOf(response, bytes, `manifest ${reference} of ${this.name}`);
    if (expected !== undefined && expected.mediaType !== mediaType) {
      throw new CodedError(
        "corrupt",
        `cannot ${doing}: it is of the type "${foreignText(mediaType)}", but what refers to it says "${expected.mediaType}"`,
      );
    }
    const document = parseManifestOrIndex(bytes, mediaType, `manifest ${digest} of ${this.name}`);
    return { descriptor: { mediaType, digest, size: bytes.length }, bytes, document, etag: strongEtag(response) };
  }

  /** P4: the descriptor of the manifest that is there, without its content; undefined when none is. The digest is the registry's word only. */
  async headManifest(reference: string): Promise<Descriptor | undefined> {
    const doing = `look for manifest ${reference} of ${this.name}`;
    const response = await this.send({
      method: "HEAD",
      to: `manifests/${reference}`,
      action: "pull",
      headers: { accept: acceptedTypes.join(", ") },
      doing,
      isRepeatable: true,
    });
    await response.discard();
    if (response.status === 404) return undefined;
    const digest = isTag(reference) ? (response.header("docker-content-digest") ?? "") : reference;
    const size = Number(response.header("content-length") ?? Number.NaN);
    const mediaType = contentType(response);
    const isComplete =
      response.status === 200 &&
      findDigestFault(digest) === undefined &&
      Number.isSafeInteger(size) &&
      documentKind(mediaType) !== undefined;
    if (isComplete) return { mediaType, digest: digest as Digest, size };
    // P4: registries that do not know HEAD, or forget half of the answer.
    try {
      return (await this.getManifest(reference)).descriptor;
    } catch (error) {
      if (error instanceof CodedError && error.code === "not-found") return undefined;
      throw error;
    }
  }

  /**
   * U7: puts a manifest under `reference`, exactly these bytes.
   *
   * @throws CodedError `wrong-state` when the condition does not hold; others by what the registry says
   */
  async putManifest(reference: string, { descriptor, bytes, tags = [], onlyOver }: PutRequest): Promise<PutAnswer> {
    verifyBytes(bytes, descriptor);
    const doing = `put manifest ${reference} of ${this.name}`;
    const to = this.urlOf(`manifests/${reference}`);
    for (const tag of tags) to.searchParams.append("tag", tag);
    const condition = onlyOver === undefined ? {} : onlyOver === "none" ? { "if-none-match": "*" } : { "if-match": onlyOver.etag };
    const headers = { "content-type": descriptor.mediaType, ...condition };
    const response = await this.send({ method: "PUT", to, action: "push", headers, body: bytes, doing, isRepeatable: true });
    if (response.status === 412) {
      await response.discard();
      throw new CodedError("wrong-state", `cannot ${doing}: somebody else has changed it meanwhile`, { details: { status: 412 } });
    }
    if (response.status !== 201 && response.status !== 200 && response.status !== 202) throw await this.refused(response, doing);
    await response.discard();
    const said = response.header("docker-content-digest");
    if (said !== undefined && said !== "" && said !== descriptor.digest && said.startsWith(`${digestAlgorithm(descriptor.digest)}:`))
      throw new CodedError(
        "corrupt",
        `cannot ${doing}: ${this.registry} says that it has stored ${foreignText(said)}, not ${descriptor.digest}`,
      );
    const tagged = (response.header("oci-tag") ?? "").split(",").map((tag) => tag.trim());
    return { subjectNoted: response.header("oci-subject") !== undefined, tagged: new Set(tags.filter((tag) => tagged.includes(tag))) };
  }

  /** K1: deletes a manifest by digest, or a tag. False when it was not there. @throws CodedError `unsupported` where deleting is not allowed */
  async deleteManifest(reference: string): Promise<boolean> {
    const doing = `delete ${reference} of ${this.name}`;
    const response = await this.send({ method: "DELETE", to: `manifests/${reference}`, action: "delete", doing, isRepeatable: true });
    if (response.status === 404) {
      await response.discard();
      return false;
    }
    if (response.status !== 202 && response.status !== 200) throw await this.refused(response, doing);
    await response.discard();
    return true;
  }

  /** T1: all tags, as the registry sorts them. */
  async listTags(): Promise<string[]> {
    const doing = `list the tags of ${this.name}`;
    const tags = new Set<string>();
    for await (const page of this.pages("tags/list", doing)) {
      const list = parseJsonNode(await page.bytes(maxTagPageBytes), `the list of tags of ${this.name}`, { maxBytes: maxTagPageBytes }).get(
        "tags",
      );
      for (const tag of list.optional((node) => node.items()) ?? []) tags.add(tag.string());
      if (tags.size > maxTags) throw new CodedError("exhausted", `cannot ${doing}: there are more than ${maxTags}`);
    }
    return [...tags];
  }

  /** The pages of a list, by their Link headers; each page must be read. @throws CodedError `invalid-spec` when they go round in circles */
  async *pages(path: string, doing: string): AsyncGenerator<HttpResponse, void, undefined> {
    const seen = new Set<string>();
    for (let next: string | URL | undefined = path; next !== undefined;) {
      const response: HttpResponse = await this.send({ method: "GET", to: next, action: "pull", doing, isRepeatable: true });
      if (response.status !== 200) throw await this.refused(response, doing);
      yield response;
      next = nextLink(response, doing);
      const key = String(next);
      if (seen.has(key) || seen.size >= maxPages) throw new CodedError("invalid-spec", `cannot ${doing}: its pages have no end`);
      seen.add(key);
    }
  }

  /** Sends a request and, when the registry asks who we are, once more with the answer. Any status may come back. */
  send(request: RepositoryRequest): Promise<HttpResponse> {
    const actions = { pull: "pull", push: "pull,push", delete: "pull,delete" }[request.action];
    return this.#sendWith(request, [`repository:${this.path}:${actions}`, ...(request.scopes ?? [])]);
  }

  /** The error for an answer that is none of those that were hoped for; reads what the registry says of it. */
  async refused(response: HttpResponse, doing: string): Promise<CodedError> {
    const body = await response.bytes(maxErrorBytes).catch(() => new Uint8Array());
    const { auth, clock } = this.#options;
    const { status, header } = response;
    return refusedError({ doing, registry: this.registry, status, header, body, nowMs: clock.now(), authenticated: auth.isAuthenticated });
  }

  /** Waits before another attempt at something of several requests; false when there were enough. */
  async pause(attempts: number): Promise<boolean> {
    const { clock, random } = this.#options;
    const delayMs = retryDelayMs({ attempts, nowMs: clock.now(), random: random() });
    if (delayMs === undefined) return false;
    await clock.sleep(delayMs);
    return true;
  }

  /** P7: sends a request to wherever a descriptor's `urls` lead, as nobody. */
  sendForeign(request: Omit<HttpRequest, "authorization" | "method">): Promise<HttpResponse> {
    return this.#options.transport.send({ ...request, method: "GET" });
  }

  /** The URL of a path below the repository. */
  urlOf(path: string): URL {
    return new URL(`v2/${this.path}/${path}`, this.#options.base);
  }

  async #sendWith(request: RepositoryRequest, scopes: readonly string[]): Promise<HttpResponse> {
    const { auth, transport, base } = this.#options;
    const { to, action: _action, scopes: _scopes, ...rest } = request;
    const url = typeof to === "string" ? this.urlOf(to) : new URL(to);
    // Uploads may go to another host that the registry names; it gets the content, and never a password or token of ours.
    const isOurs = url.origin === base.origin;
    const { namespace } = this.#options;
    // Y1: of pulls only, and only to whom the settings call one that fetches from others.
    const isScoped = namespace !== undefined && isOurs && request.action === "pull" && scopes.length > 0;
    if (isScoped) url.searchParams.set("ns", namespace);
    const authorization = isOurs ? await auth.authorization(scopes) : undefined;
    const response = await transport.send({ ...rest, url: url.href, authorization });
    this.#warnOf(response);
    if (isScoped) await this.#requireNamespace(response, namespace, request.doing);
    if (response.status !== 401 || !isOurs) return response;
    const answer = await auth.answer(response, scopes, authorization);
    if (answer === undefined) return response;
    await response.discard();
    const second = await transport.send({ ...rest, url: url.href, authorization: answer });
    this.#warnOf(second);
    if (isScoped) await this.#requireNamespace(second, namespace, request.doing);
    return second;
  }

  /** Y1: one that says for whom it answers must mean the registry that was asked for: the same name is another image elsewhere. */
  async #requireNamespace(response: HttpResponse, namespace: string, doing: string): Promise<void> {
    const said = response.header("oci-namespace");
    if (said === undefined || said === namespace) return;
    await response.discard();
    throw new CodedError("corrupt", `cannot ${doing}: ${this.registry} answers for ${foreignText(said)}, and ${namespace} was asked for`);
  }

  /** E2: shown, never acted on. */
  #warnOf(response: HttpResponse): void {
    const header = response.header("warning") ?? "";
    if (header === "" || header.length > 16_384) return;
    for (const [, text = ""] of header.matchAll(/299 - "((?:[^"\\]|\\.)*)"/g))
      this.#options.onWarning(foreignText(text.replace(/\\(.)/g, "$1")));
  }

  /** The digest of what came, checked against all that is known of it. */
  #verifyManifest(
    reference: string,
    bytes: Uint8Array,
    { response, expected }: { readonly response: HttpResponse; readonly expected: Descriptor | undefined },
  ): Digest {
    if (!isTag(reference)) verifyBytes(bytes, { digest: reference as Digest, size: expected?.size });
    const said = response.header("docker-content-digest");
    const saidAlgorithm = said === undefined ? "" : said.slice(0, said.indexOf(":"));
    // P2: a digest that is said must be right, whether or not it is the one that was asked for.
    if (said !== undefined && (saidAlgorithm === "sha256" || saidAlgorithm === "sha512")) {
      const actual = digestOf(bytes, saidAlgorithm);
      if (actual !== said)
        throw new CodedError(
          "corrupt",
          `cannot accept manifest ${reference} of ${this.name}: ${this.registry} says ${foreignText(said)}, but it is ${actual}`,
        );
    }
    return isTag(reference) ? digestOf(bytes) : (reference as Digest);
  }
}

/** A weak ETag cannot be a condition (RFC 9110, 13.1.1). */
function strongEtag(response: HttpResponse): string | undefined {
  const etag = response.header("etag");
  return etag !== undefined && /^"[\x21\x23-\x7e]{1,512}"$/.test(etag) ? etag : undefined;
}

function contentType(response: HttpResponse): string {
  return (response.header("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/**
 * The type of a manifest: what Content-Type says, and when that is none of a manifest, what the document itself says.
 *
 * SECURITY: CVE-2021-41190: a document that is a manifest by one word and an index by the other is refused, when it is parsed.
 */
function documentTypeOf(response: HttpResponse, bytes: Uint8Array, document: string): string {
  const type = contentType(response);
  const kind = documentKind(type);
  if (kind === "manifest" || kind === "index") return type;
  if (/^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/.test(type)) {
    throw new CodedError(
      "unsupported",
      `cannot read ${document}: it is of docker's first form (schema 1), which has no digests of its layers' content; its image must be pushed anew`,
    );
  }
  const isGeneric = type === "" || type === "application/json" || type === "text/plain" || type === "application/octet-stream";
  const node = isGeneric ? parseJsonNode(bytes, document, manifestLimits) : undefined;
  if (node?.get("schemaVersion").value === 1)
    throw new CodedError("unsupported", `cannot read ${document}: it is of docker's first form (schema 1); its image must be pushed anew`);
  const own = node?.get("mediaType").optional((value) => value.string());
  if (own !== undefined && documentKind(own) !== undefined) return own;
  throw new CodedError("unsupported", `cannot read ${document}: it is of the type "${foreignText(type)}", which is no manifest's`);
}
