/**
 * Putting a blob into a repository: mounted from another one, in one request, or in chunks, whichever the registry takes.
 *
 *     POST uploads/?mount&from -> 201 mounted | 202 session
 *     PUT session?digest       -> 201                          (the usual way)
 *     PATCH session ... PUT    -> 201                          (after an interruption or for registries with a limit)
 */
import { CodedError } from "#base/errors.ts";
import { verifyContent } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { readFileChunks } from "#sys/file-chunks.ts";
import type { BlobContent, BlobProgress } from "../blob/store.ts";
import type { RepositoryClient } from "./client.ts";
import type { HttpResponse, RequestBody } from "./transport.ts";

/** A blob to be uploaded. */
export interface BlobUpload {
  readonly blob: Descriptor;
  readonly content: BlobContent;
  /** Another repository of the same registry that may have it: `team/base`. */
  readonly mountFrom?: string | undefined;
  readonly progress?: BlobProgress | undefined;
}

/** The bytes of a chunk, unless the registry wants more. Small enough for the usual limits of proxies. */
const chunkBytes = 32 << 20;
const largestChunkBytes = 1 << 30;
/** A registry that finds even this too large takes no layers at all. */
const smallestChunkBytes = 64 << 10;

/** An upload session: the registry names a new address after every step. */
interface Session {
  location: URL;
  /** U4: the least that the registry wants in a chunk that is not the last. */
  minChunkBytes: number;
}

/** Uploads the blob, which the repository is known not to have. @throws CodedError */
export async function uploadBlob(client: RepositoryClient, upload: BlobUpload): Promise<"copied" | "mounted"> {
  if (upload.mountFrom !== undefined) {
    const session = await tryMount(client, upload.blob, upload.mountFrom);
    if (session === "mounted") return "mounted";
    // A registry that does not mount has opened a session instead.
    if (session !== undefined) return await send(client, session, upload);
  }
  return await send(client, await openSession(client, upload.blob), upload);
}

/** U5. Undefined when the registry will have none of it: the scope on the other repository may be refused. */
async function tryMount(client: RepositoryClient, { digest }: Descriptor, from: string): Promise<Session | "mounted" | undefined> {
  const to = client.urlOf("blobs/uploads/");
  to.searchParams.set("mount", digest);
  to.searchParams.set("from", from);
  const doing = `mount blob ${digest} of ${from} in ${client.name}`;
  const scopes = [`repository:${from}:pull`];
  const response = await client
    .send({ method: "POST", to, action: "push", scopes, headers: { "content-length": "0" }, doing, isRepeatable: true })
    .catch((error: unknown) => {
      if (error instanceof CodedError && error.code === "permission-denied") return undefined;
      throw error;
    });
  if (response === undefined) return undefined;
  await response.discard();
  if (response.status === 201) return "mounted";
  return response.status === 202 ? sessionOf(response, doing) : undefined;
}

/** U2. */
async function openSession(client: RepositoryClient, { digest }: Descriptor): Promise<Session> {
  const doing = `upload blob ${digest} to ${client.name}`;
  const to = client.urlOf("blobs/uploads/");
  // U6: only where it says something: registries take sha256 for granted, and old ones know nothing else.
  if (!digest.startsWith("sha256:")) to.searchParams.set("digest-algorithm", digest.slice(0, digest.indexOf(":")));
  const response = await client.send({ method: "POST", to, action: "push", headers: { "content-length": "0" }, doing, isRepeatable: true });
  if (response.status !== 202) throw await client.refused(response, doing);
  await response.discard();
  return sessionOf(response, doing);
}

async function send(client: RepositoryClient, session: Session, upload: BlobUpload): Promise<"copied"> {
  try {
    if (!(await sendWhole(client, session, upload))) await sendChunks(client, session, upload);
    return "copied";
  } catch (error) {
    await abandon(client, session, upload.blob);
    throw error;
  }
}

/** U3. False when the registry or the network did not take it and chunks may do better. */
async function sendWhole(client: RepositoryClient, session: Session, upload: BlobUpload): Promise<boolean> {
  const { blob, content, progress } = upload;
  const doing = `upload blob ${blob.digest} to ${client.name}`;
  const open = (): AsyncIterable<Uint8Array> => counted(verifyContent(openContent(content, 0, blob.size), blob), 0, progress);
  // Small blobs go as one buffer: nothing is gained by a stream.
  const body: RequestBody = content instanceof Uint8Array ? content : { length: blob.size, open };
  const request = { method: "PUT", to: withDigest(session, blob), action: "push", headers: octets, body, doing } as const;
  let response: HttpResponse;
  try {
    response = await client.send({ ...request, isRepeatable: false });
  } catch (error) {
    if (isInterruption(error) && isReopenable(content)) return false;
    throw error;
  }
  if (response.status === 201 || response.status === 204) {
    await response.discard();
    progress?.(blob.size);
    return true;
  }
  const isTooMuch =
    response.status === 413 || response.status === 411 || response.status === 405 || response.status >= 500 || response.status === 429;
  if (!isTooMuch || !isReopenable(content)) throw await client.refused(response, doing);
  await response.discard();
  return false;
}

const octets = { "content-type": "application/octet-stream" };

/** U4: goes on where the registry says that it is, over interruptions. */
async function sendChunks(client: RepositoryClient, session: Session, upload: BlobUpload): Promise<void> {
  const { blob, content, progress } = upload;
  const doing = `upload blob ${blob.digest} to ${client.name}`;
  let at = await offsetOf(client, session, upload);
  let wantedBytes = chunkBytes;
  for (let attempts = 0; at < blob.size;) {
    const length = Math.min(blob.size - at, Math.max(wantedBytes, session.minChunkBytes));
    const body = { length, open: () => counted(openContent(content, at, length), at, progress) };
    const headers = { ...octets, "content-range": `${at}-${at + length - 1}` };
    const response = await client
      .send({ method: "PATCH", to: session.location, action: "push", headers, body, doing, isRepeatable: false })
      .catch((error: unknown) => {
        if (isInterruption(error)) return undefined;
        throw error;
      });
    if (response?.status === 202) {
      await response.discard();
      advance(session, response, doing);
      const stored = storedBytes(response) ?? at + length;
      attempts = stored > at ? 0 : attempts + 1;
      at = Math.min(stored, blob.size);
      if (attempts <= 3) continue;
    } else if (response?.status === 413 && length > smallestChunkBytes && length > session.minChunkBytes) {
      // Proxies before registries limit bodies, and do not say how.
      await response.discard();
      wantedBytes = Math.max(smallestChunkBytes, Math.floor(length / 4));
      continue;
    } else if (response !== undefined && response.status !== 416 && response.status !== 429 && response.status < 500) {
      throw await client.refused(response, doing);
    }
    await response?.discard();
    if (!(await client.pause(++attempts)))
      throw new CodedError("unavailable", `cannot ${doing}: it is interrupted at byte ${at} again and again`);
    at = await offsetOf(client, session, upload);
  }
  const to = withDigest(session, blob);
  const response = await client.send({ method: "PUT", to, action: "push", headers: { "content-length": "0" }, doing, isRepeatable: true });
  if (response.status !== 201 && response.status !== 204) throw await client.refused(response, doing);
  await response.discard();
}

/** How many bytes of the blob the registry has. A session that it has forgotten is opened anew. */
async function offsetOf(client: RepositoryClient, session: Session, { blob }: BlobUpload): Promise<number> {
  const doing = `go on uploading blob ${blob.digest} to ${client.name}`;
  const response = await client.send({ method: "GET", to: session.location, action: "push", doing, isRepeatable: true });
  await response.discard();
  if (response.status === 204 || response.status === 202) {
    advance(session, response, doing);
    return Math.min(storedBytes(response) ?? 0, blob.size);
  }
  Object.assign(session, await openSession(client, blob));
  return 0;
}

/** `Range: 0-N` of an upload: N is the last byte that is there. Registries say `0-0` of none and of one alike, so one counts as none. */
function storedBytes(response: HttpResponse): number | undefined {
  const [, last] = /^(?:bytes=)?0-([0-9]{1,16})$/.exec(response.header("range") ?? "") ?? [];
  return last === undefined ? undefined : last === "0" ? 0 : Number(last) + 1;
}

/** U6: tells the registry to forget the session; failing to is of no account. */
async function abandon(client: RepositoryClient, session: Session, { digest }: Descriptor): Promise<void> {
  const doing = `give up uploading blob ${digest}`;
  await client
    .send({ method: "DELETE", to: session.location, action: "push", doing, isRepeatable: false })
    .then((response) => response.discard())
    .catch(() => undefined);
}

function sessionOf(response: HttpResponse, doing: string): Session {
  const minimum = Number(response.header("oci-chunk-min-length") ?? 0);
  return {
    location: locationOf(response, doing),
    minChunkBytes: Number.isSafeInteger(minimum) && minimum > 0 ? Math.min(minimum, largestChunkBytes) : 0,
  };
}

function advance(session: Session, response: HttpResponse, doing: string): void {
  if (response.header("location") !== undefined) session.location = locationOf(response, doing);
}

/** Relative or absolute, with whatever query it has; never from https to http. */
function locationOf(response: HttpResponse, doing: string): URL {
  const location = response.header("location") ?? "";
  if (location === "" || location.length > 8192 || !URL.canParse(location, response.url))
    throw new CodedError("invalid-spec", `cannot ${doing}: the registry does not say where`);
  const url = new URL(location, response.url);
  const from = new URL(response.url);
  if (from.protocol === "https:" && url.protocol === "http:" && url.hostname === from.hostname) {
    // COMPAT: registries behind a proxy that ends TLS do not know that they are reached by https; their own address is meant.
    url.protocol = "https:";
    url.port = from.port;
  }
  if (url.protocol !== "https:" && !(url.protocol === "http:" && from.protocol === "http:"))
    throw new CodedError("invalid-spec", `cannot ${doing}: the registry wants the content at ${url.host} without encryption`);
  return url;
}

function withDigest({ location }: Session, { digest }: Descriptor): URL {
  const url = new URL(location);
  // Appended as text: the registry's own query stays as it is, to the byte.
  url.search = `${url.search === "" ? "?" : `${url.search}&`}digest=${encodeURIComponent(digest)}`;
  return url;
}

function isInterruption(error: unknown): boolean {
  return error instanceof CodedError && error.details["reason"] === "network";
}

/** A stream can be read once only. */
function isReopenable(content: BlobContent): boolean {
  return content instanceof Uint8Array || "path" in content || "from" in content;
}

function openContent(content: BlobContent, offset: number, length: number): AsyncIterable<Uint8Array> {
  if ("path" in content) return readFileChunks(content.path, { offset, length });
  return slice(contentFromOffset(content, offset), length);
}

async function* contentFromOffset(content: Exclude<BlobContent, { readonly path: string }>, offset: number): AsyncGenerator<Uint8Array> {
  if (content instanceof Uint8Array) yield content.subarray(offset);
  else if ("from" in content) yield* content.from(offset);
  else yield* content;
}

async function* slice(chunks: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array, void, undefined> {
  let left = length;
  for await (const chunk of chunks) {
    yield chunk.length <= left ? chunk : chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  offset: number,
  progress: BlobProgress | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let doneBytes = offset;
  for await (const chunk of chunks) {
    yield chunk;
    doneBytes += chunk.length;
    progress?.(doneBytes);
  }
}
