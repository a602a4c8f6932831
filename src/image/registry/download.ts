/**
 * Getting a blob, from any byte on, over as many connections as it takes.
 *
 * What comes out is what the server sent: whoever stores it hashes the whole. No byte is asked for twice unless the server cannot begin in
 * the middle.
 */
import { CodedError } from "#base/errors.ts";
import type { Descriptor } from "#spec/image.ts";
import type { RepositoryClient } from "./client.ts";
import type { HttpResponse } from "./transport.ts";

/** A blob that is wanted, from `offset` on. */
export interface BlobRequest {
  readonly blob: Pick<Descriptor, "digest" | "size" | "urls">;
  readonly offset: number;
  /** Asked before each chunk is passed on; may throw to end the download. */
  readonly check?: () => void;
}

/** An interrupted download that came this far further may be interrupted as often as it likes. */
const progressBytes = 64 << 10;

/**
 * The bytes of the blob from the offset to its end, exactly so many.
 *
 * @throws CodedError `not-found`; `corrupt` when more comes than the blob has; `unavailable` when it breaks off again and again.
 */
export async function* downloadBlob(client: RepositoryClient, request: BlobRequest): AsyncGenerator<Uint8Array, void, undefined> {
  const { blob, check } = request;
  const doing = `get blob ${blob.digest} of ${client.name}`;
  let at = request.offset;
  let attempts = 0;
  let attemptedAt = at;
  // An empty blob has a digest, too, and a registry that does not have it shall say so.
  while (at < blob.size || (attempts === 0 && blob.size === 0)) {
    if (at - attemptedAt >= progressBytes) attempts = 0;
    attemptedAt = at;
    attempts++;
    let cause: CodedError | undefined;
    try {
      for await (const chunk of await openAt(client, { blob, at, doing })) {
        check?.();
        if (at + chunk.length > blob.size)
          throw new CodedError("corrupt", `cannot accept ${blob.digest}: ${client.registry} sends more than its ${blob.size} bytes`);
        at += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (!(error instanceof CodedError) || error.details["reason"] !== "network") throw error;
      cause = error;
    }
    if (at < blob.size && !(await client.pause(attempts)))
      throw (
        cause ??
        new CodedError("unavailable", `cannot ${doing}: it ends after ${at} of its ${blob.size} bytes, however often it is asked for`)
      );
  }
}

interface Position {
  readonly blob: BlobRequest["blob"];
  readonly at: number;
  readonly doing: string;
}

/** The content from `at` on. */
async function openAt(client: RepositoryClient, { blob, at, doing }: Position): Promise<AsyncIterable<Uint8Array>> {
  const ask = (offset: number): Promise<HttpResponse> =>
    client.send({ method: "GET", to: `blobs/${blob.digest}`, action: "pull", headers: rangeFrom(offset), doing, isRepeatable: true });
  let response = await ask(at);
  if (response.status === 404 && blob.urls !== undefined && blob.urls.length > 0) return openForeign(client, { blob, at, doing });
  // P3: a server that finds the range wrong gets another chance without one.
  if (response.status === 416 && at > 0) {
    await response.discard();
    response = await ask(0);
  }
  if (response.status !== 200 && response.status !== 206) throw await client.refused(response, doing);
  return contentFrom(response, at, doing);
}

/** P7: layers that registries must not keep are where their descriptors say; only https addresses, and nobody's credentials. */
async function openForeign(client: RepositoryClient, { blob, at, doing }: Position): Promise<AsyncIterable<Uint8Array>> {
  const urls = (blob.urls ?? []).filter((url) => URL.canParse(url) && new URL(url).protocol === "https:");
  let failure: unknown = new CodedError(
    "not-found",
    `cannot ${doing}: ${client.registry} does not have it, and its descriptor has no https address`,
  );
  for (const url of urls) {
    const response = await client.sendForeign({ url, headers: rangeFrom(at), doing, isRepeatable: true }).catch((error: unknown) => {
      failure = error;
    });
    if (response?.status === 200 || response?.status === 206) return contentFrom(response, at, doing);
    await response?.discard();
    if (response !== undefined)
      failure = new CodedError("not-found", `cannot ${doing}: ${new URL(url).host} answers HTTP status ${response.status}`);
  }
  throw failure;
}

function rangeFrom(offset: number): Readonly<Record<string, string>> {
  return offset === 0 ? {} : { range: `bytes=${offset}-` };
}

/** What the answer has from `at` on: 206 begins where it says, 200 at the beginning. */
function contentFrom(response: HttpResponse, at: number, doing: string): AsyncIterable<Uint8Array> {
  if (response.status === 200) return skip(response.body(), at);
  const [, start = ""] = /^bytes ([0-9]{1,16})-[0-9]{1,16}\/(?:[0-9]{1,16}|\*)$/.exec(response.header("content-range") ?? "") ?? [];
  if (start === "" || Number(start) > at) {
    response.discard().catch(() => undefined);
    throw new CodedError("invalid-spec", `cannot ${doing}: the answer does not begin at byte ${at}, which was asked for`);
  }
  return skip(response.body(), at - Number(start));
}

async function* skip(chunks: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array, void, undefined> {
  let left = count;
  for await (const chunk of chunks) {
    if (left < chunk.length) yield left === 0 ? chunk : chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}
