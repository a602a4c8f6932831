/** A small registry in memory, complete enough for the client, with switches for what registries do not do, or do wrongly. */
import { createHash } from "node:crypto";
import type { Host, SeenRequest } from "./network.ts";

/** What this registry does differently. */
export interface FakeOptions {
  /** It keeps lists of referrers and says OCI-Subject. */
  referrersApi?: boolean;
  /** It mounts blobs of other repositories. */
  mounts?: boolean;
  /** A PUT of more bytes is answered with 413. */
  maxPutBytes?: number;
  minChunkBytes?: number;
  /** It says ETags of tags and keeps to conditions. */
  conditions?: boolean;
  /** It gives so many of the tags that a PUT by digest asks for (`?tag=`). */
  tagsAtOnce?: number;
  /** Looks at each request first; an answer of its own goes out instead. */
  before?: (request: SeenRequest) => Response | undefined | Promise<Response | undefined>;
}

interface Repository {
  readonly blobs: Map<string, Uint8Array>;
  readonly manifests: Map<string, { readonly type: string; readonly bytes: Uint8Array }>;
  readonly tags: Map<string, string>;
}

/** The digest of `bytes`. */
export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The registry. */
export class FakeRegistry {
  readonly repositories = new Map<string, Repository>();
  readonly options: FakeOptions;
  readonly #uploads = new Map<string, Uint8Array>();
  #count = 0;

  constructor(options: FakeOptions = {}) {
    this.options = options;
  }

  repository(name: string): Repository {
    let found = this.repositories.get(name);
    if (found === undefined) {
      found = { blobs: new Map(), manifests: new Map(), tags: new Map() };
      this.repositories.set(name, found);
    }
    return found;
  }

  /** Stores a blob; gives its descriptor. */
  blob(name: string, content: Uint8Array | string, mediaType = "application/vnd.oci.image.layer.v1.tar"): Described {
    const bytes = Buffer.from(content);
    this.repository(name).blobs.set(sha256(bytes), bytes);
    return { mediaType, digest: sha256(bytes) as Described["digest"], size: bytes.length };
  }

  /** Stores a document, maybe under a tag; gives its descriptor. */
  manifest(name: string, document: { readonly mediaType?: string }, tag?: string): Described {
    const bytes = Buffer.from(JSON.stringify(document));
    const type = document.mediaType ?? "application/vnd.oci.image.manifest.v1+json";
    this.repository(name).manifests.set(sha256(bytes), { type, bytes });
    if (tag !== undefined) this.repository(name).tags.set(tag, sha256(bytes));
    return { mediaType: type, digest: sha256(bytes) as Described["digest"], size: bytes.length };
  }

  readonly host: Host = async (request) => (await this.options.before?.(request)) ?? this.#answer(request);

  #answer(request: SeenRequest): Response {
    const { pathname } = request.url;
    if (pathname === "/v2/") return new Response("{}");
    const [, name = "", kind = "", rest = ""] = /^\/v2\/(.+?)\/(manifests|blobs\/uploads|blobs|tags|referrers)\/(.*)$/.exec(pathname) ?? [];
    switch (kind) {
      case "manifests":
        return this.#manifests(request, name, rest);
      case "blobs":
        return this.#blob(request, name, rest);
      case "blobs/uploads":
        return this.#upload(request, name, rest);
      case "tags":
        return Response.json({ name, tags: [...this.repository(name).tags.keys()] });
      case "referrers":
        return this.#referrers(name, rest);
      default:
        return fault(404, "NAME_UNKNOWN");
    }
  }

  #manifests({ method, headers, body, url }: SeenRequest, name: string, reference: string): Response {
    const repository = this.repository(name);
    const digest = reference.startsWith("sha256:") ? reference : repository.tags.get(reference);
    const found = digest === undefined ? undefined : repository.manifests.get(digest);
    if (method === "PUT") {
      const etag = found === undefined ? null : `"${digest ?? ""}"`;
      const isRefused = headers.has("if-none-match") ? etag !== null : headers.has("if-match") && headers.get("if-match") !== etag;
      if (this.options.conditions === true && isRefused) return new Response(null, { status: 412 });
      const asked = url.searchParams.getAll("tag").slice(0, this.options.tagsAtOnce ?? 0);
      for (const tag of asked) repository.tags.set(tag, sha256(body));
      repository.manifests.set(sha256(body), { type: headers.get("content-type") ?? "", bytes: body });
      if (!reference.startsWith("sha256:")) repository.tags.set(reference, sha256(body));
      const subject = (JSON.parse(Buffer.from(body).toString()) as { subject?: { digest: string } }).subject?.digest;
      const noted = subject !== undefined && this.options.referrersApi === true ? { "oci-subject": subject } : undefined;
      const tagged = asked.length === 0 ? undefined : { "oci-tag": asked.join(", ") };
      return new Response(null, { status: 201, headers: { "docker-content-digest": sha256(body), ...noted, ...tagged } });
    }
    if (method === "DELETE") {
      if (reference.startsWith("sha256:")) repository.manifests.delete(reference);
      else repository.tags.delete(reference);
      return new Response(null, { status: found === undefined ? 404 : 202 });
    }
    if (found === undefined || digest === undefined) return fault(404, "MANIFEST_UNKNOWN");
    const said = {
      "content-type": found.type,
      "docker-content-digest": digest,
      "content-length": String(found.bytes.length),
      ...(this.options.conditions === true ? { etag: `"${digest}"` } : {}),
    };
    return new Response(method === "HEAD" ? null : Buffer.from(found.bytes), { headers: said });
  }

  #blob({ method, headers }: SeenRequest, name: string, digest: string): Response {
    const bytes = this.repository(name).blobs.get(digest);
    if (bytes === undefined) return fault(404, "BLOB_UNKNOWN");
    if (method === "HEAD") return new Response(null, { headers: { "content-length": String(bytes.length) } });
    const [, start] = /^bytes=([0-9]+)-$/.exec(headers.get("range") ?? "") ?? [];
    if (start === undefined) return new Response(Buffer.from(bytes));
    if (Number(start) >= bytes.length) return new Response(null, { status: 416 });
    const range = { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
    return new Response(Buffer.from(bytes.subarray(Number(start))), { status: 206, headers: range });
  }

  #upload(request: SeenRequest, name: string, id: string): Response {
    const { method, url, body, headers } = request;
    const minimum = this.options.minChunkBytes;
    const session = (upload: string, status: number): Response => {
      const length = this.#uploads.get(upload)?.length ?? 0;
      const said: Record<string, string> = {
        location: `/v2/${name}/blobs/uploads/${upload}?_state=${this.#count++}`,
        range: `0-${Math.max(0, length - 1)}`,
      };
      if (minimum !== undefined) said["oci-chunk-min-length"] = String(minimum);
      return new Response(null, { status, headers: said });
    };
    if (method === "POST") {
      const [mount, from] = [url.searchParams.get("mount"), url.searchParams.get("from")];
      const bytes = mount === null || from === null || this.options.mounts !== true ? undefined : this.repository(from).blobs.get(mount);
      if (bytes !== undefined && mount !== null) {
        this.repository(name).blobs.set(mount, bytes);
        return new Response(null, { status: 201 });
      }
      const upload = `u${this.#count++}`;
      this.#uploads.set(upload, new Uint8Array());
      return session(upload, 202);
    }
    const before = this.#uploads.get(id);
    if (before === undefined) return fault(404, "BLOB_UPLOAD_UNKNOWN");
    if (!url.searchParams.has("_state")) return fault(400, "BLOB_UPLOAD_INVALID");
    if (method === "GET") return session(id, 204);
    if (method === "DELETE") {
      this.#uploads.delete(id);
      return new Response(null, { status: 204 });
    }
    if (body.length > (this.options.maxPutBytes ?? Number.POSITIVE_INFINITY)) return new Response(null, { status: 413 });
    if (method === "PATCH" && Number((headers.get("content-range") ?? "").split("-")[0]) !== before.length)
      return new Response(null, { status: 416 });
    const whole = Buffer.concat([before, body]);
    this.#uploads.set(id, whole);
    if (method === "PATCH") return session(id, 202);
    const digest = url.searchParams.get("digest") ?? "";
    if (sha256(whole) !== digest) return fault(400, "DIGEST_INVALID");
    this.repository(name).blobs.set(digest, whole);
    return new Response(null, { status: 201 });
  }

  #referrers(name: string, subject: string): Response {
    if (this.options.referrersApi !== true) return fault(404, "NOT_FOUND");
    const manifests = [...this.repository(name).manifests.entries()].flatMap(([digest, { type, bytes }]) => {
      const document = JSON.parse(Buffer.from(bytes).toString()) as { subject?: { digest: string }; artifactType?: string };
      return document.subject?.digest === subject
        ? [{ mediaType: type, digest, size: bytes.length, artifactType: document.artifactType }]
        : [];
    });
    const type = "application/vnd.oci.image.index.v1+json";
    return new Response(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests }), { headers: { "content-type": type } });
  }
}

/** A descriptor as tests write it. */
export interface Described {
  readonly mediaType: string;
  readonly digest: `${string}:${string}` & { readonly __brand: "Digest" };
  readonly size: number;
}

/** An answer that refuses, in the form of the specification. */
export function fault(status: number, code: string, headers: Record<string, string> = {}): Response {
  return Response.json({ errors: [{ code, message: code.toLowerCase().replaceAll("_", " ") }] }, { status, headers });
}
