/**
 * The one door to the network.
 *
 * - Redirects are followed here, and only here: credentials go to the host that they were meant for and to no other
 *   (CVE-2020-15157 and its kin), never from https to http.
 * - Nothing waits for ever: an answer has to begin, and its body to go on, within a time.
 * - Nothing is read without a bound: `bytes` has a limit, `body` is for content whose consumer counts.
 */
import { CodedError } from "#base/errors.ts";
import { foreignText, unreachableError } from "./errors.ts";
import type { FetchInit, Machine, TlsSettings } from "./ports.ts";
import { reachOf } from "./proxy.ts";
import { isTransient, retryDelayMs } from "./retry.ts";

/** What is sent. Content that can be opened again can be sent again. */
export type RequestBody = Uint8Array | { readonly length: number; readonly open: () => AsyncIterable<Uint8Array> };

/** A request. */
export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** For the origin of `url` only. */
  readonly authorization?: string | undefined;
  readonly body?: RequestBody;
  /** For errors: `get manifest 12 of registry.example/debian`. */
  readonly doing: string;
  /** Sent again after a failure that may pass; the server must not mind getting it twice. */
  readonly isRepeatable: boolean;
}

/** An answer. Use exactly one of `bytes`, `body` and `discard`. */
export interface HttpResponse {
  readonly status: number;
  /** Where it came from in the end. */
  readonly url: string;
  readonly header: (name: string) => string | undefined;
  /** All of the content. @throws CodedError `exhausted` when it is longer than `maxBytes`; `unavailable` when it breaks off */
  bytes(maxBytes: number): Promise<Uint8Array>;
  /** The content as it comes; ends the connection when it is left early. @throws CodedError `unavailable` when it breaks off */
  body(): AsyncIterable<Uint8Array>;
  discard(): Promise<void>;
}

/** How a host is talked to. */
export interface HostSettings {
  readonly tls?: TlsSettings;
  readonly proxy: string | false;
}

/** What a transport needs beside the machine. */
export interface TransportOptions extends Machine {
  readonly userAgent: string;
  /** By URL, asked anew at every redirect. */
  readonly settingsFor: (url: URL) => HostSettings;
  /** Told of each pause before another attempt. */
  readonly onRetry?: (reason: string, delayMs: number) => void;
}

/** How long an answer may take to begin, and a body to go on. Registries that assemble uploads are slow to answer. */
const answerTimeoutMs = 120_000;
const idleTimeoutMs = 60_000;
const maxRedirects = 10;
const maxLocationLength = 8 << 10;
/** What is left of a small body is read, so that the connection can serve again. */
const drainBytes = 64 << 10;

/** Sends requests for one registry. */
export class Transport {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /**
   * Sends `request`, follows redirects, and tries again where that may help. Every status that is no redirect is an answer.
   *
   * @throws CodedError `unavailable` when no answer comes; `invalid-spec` for a redirect that must not be followed.
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    for (let attempts = 1; ; attempts++) {
      const outcome = await this.#sendOnce(request).catch((error: unknown) => error);
      const reason = request.isRepeatable ? whyAgain(outcome) : undefined;
      const delayMs = reason === undefined ? undefined : this.#delayAfter(outcome, attempts);
      if (reason === undefined || delayMs === undefined) {
        if (isResponse(outcome)) return outcome;
        throw outcome;
      }
      if (isResponse(outcome)) await outcome.discard();
      this.#options.onRetry?.(reason, delayMs);
      await this.#options.clock.sleep(delayMs);
    }
  }

  #delayAfter(outcome: unknown, attempts: number): number | undefined {
    const retryAfter = isResponse(outcome) ? outcome.header("retry-after") : undefined;
    return retryDelayMs({ attempts, retryAfter, nowMs: this.#options.clock.now(), random: this.#options.random() });
  }

  async #sendOnce(request: HttpRequest): Promise<HttpResponse> {
    let { url, authorization } = request;
    for (let redirects = 0; redirects <= maxRedirects; redirects++) {
      const response = await this.#fetch({ ...request, url, authorization });
      if (!isRedirect(response.status, request.method)) return response;
      const next = redirectTarget(request, response);
      await response.discard();
      if (new URL(next).origin !== new URL(url).origin) authorization = undefined;
      url = next;
    }
    throw new CodedError("invalid-spec", `cannot ${request.doing}: there are more than ${maxRedirects} redirects`);
  }

  async #fetch(request: HttpRequest): Promise<HttpResponse> {
    const { clock } = this.#options;
    const url = new URL(request.url);
    const controller = new AbortController();
    const cancel = clock.after(answerTimeoutMs, () => {
      controller.abort(new Error(`no answer came within ${answerTimeoutMs / 1000} seconds`));
    });
    try {
      const response = await this.#options.fetch(url.href, this.#initFor(request, url, controller.signal));
      return new FetchedResponse(response, { clock, controller, request });
    } catch (cause) {
      if (cause instanceof CodedError) throw cause;
      throw unreachableError(request.doing, url.host, controller.signal.aborted ? controller.signal.reason : cause);
    } finally {
      cancel();
    }
  }

  #initFor(request: HttpRequest, url: URL, signal: AbortSignal): FetchInit {
    const { body, authorization } = request;
    const { tls, proxy } = this.#options.settingsFor(url);
    return {
      method: request.method,
      headers: {
        "user-agent": this.#options.userAgent,
        // A digest is of the bytes as they are stored.
        "accept-encoding": "identity",
        ...request.headers,
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined ? {} : { "content-length": String(body.length) }),
      },
      ...(body === undefined ? {} : body instanceof Uint8Array ? { body } : { body: body.open(), duplex: "half" as const }),
      signal,
      redirect: "manual",
      decompress: false,
      proxy,
      ...(tls === undefined ? {} : { tls }),
    };
  }
}

class FetchedResponse implements HttpResponse {
  readonly status: number;
  readonly url: string;
  readonly #response: Response;
  readonly #context: { readonly clock: Machine["clock"]; readonly controller: AbortController; readonly request: HttpRequest };

  constructor(
    response: Response,
    context: { readonly clock: Machine["clock"]; readonly controller: AbortController; readonly request: HttpRequest },
  ) {
    this.status = response.status;
    this.url = context.request.url;
    this.#response = response;
    this.#context = context;
  }

  readonly header = (name: string): string | undefined => this.#response.headers.get(name) ?? undefined;

  async bytes(maxBytes: number): Promise<Uint8Array> {
    const { doing } = this.#context.request;
    const tooLong = (): CodedError => new CodedError("exhausted", `cannot ${doing}: the answer has more than ${maxBytes} bytes`);
    const announced = Number(this.header("content-length") ?? 0);
    if (this.#context.request.method !== "HEAD" && announced > maxBytes) {
      await this.discard();
      throw tooLong();
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.body()) {
      length += chunk.length;
      if (length > maxBytes) throw tooLong();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  async *body(): AsyncGenerator<Uint8Array, void, undefined> {
    const { clock, controller, request } = this.#context;
    const encoding = this.header("content-encoding");
    if (encoding !== undefined && encoding !== "identity") {
      controller.abort();
      throw new CodedError(
        "invalid-spec",
        `cannot ${request.doing}: the answer is encoded as ${foreignText(encoding)}, which nobody asked for`,
      );
    }
    const reader = this.#response.body?.getReader();
    if (reader === undefined) return;
    let isDone = false;
    try {
      for (;;) {
        const cancel = clock.after(idleTimeoutMs, () => {
          controller.abort(new Error(`nothing came for ${idleTimeoutMs / 1000} seconds`));
        });
        const next = await reader.read().finally(cancel);
        isDone = next.done;
        if (next.done) return;
        yield next.value as Uint8Array;
      }
    } catch (cause) {
      isDone = true;
      throw unreachableError(request.doing, new URL(this.url).host, controller.signal.aborted ? controller.signal.reason : cause);
    } finally {
      // Not awaited: an engine may wait there for a server that has stopped talking.
      if (!isDone) {
        reader.cancel().catch(() => undefined);
        controller.abort();
      }
    }
  }

  async discard(): Promise<void> {
    let length = 0;
    try {
      for await (const chunk of this.body()) {
        length += chunk.length;
        if (length > drainBytes) return;
      }
    } catch {
      // Nobody wants it.
    }
  }
}

function isResponse(outcome: unknown): outcome is HttpResponse {
  return outcome instanceof FetchedResponse;
}

/** Why an attempt should not be the last one. */
function whyAgain(outcome: unknown): string | undefined {
  if (isResponse(outcome)) return isTransient(outcome.status) ? `HTTP status ${outcome.status}` : undefined;
  const isPassing = outcome instanceof CodedError && outcome.details["reason"] === "network";
  return isPassing ? outcome.message : undefined;
}

/** Content goes where it was sent, unless the server says so in words that keep the method (307, 308). */
function isRedirect(status: number, method: HttpRequest["method"]): boolean {
  if (status === 307 || status === 308) return true;
  return (status === 301 || status === 302 || status === 303) && (method === "GET" || method === "HEAD");
}

function redirectTarget(request: HttpRequest, response: HttpResponse): string {
  const refused = (fact: string): CodedError =>
    new CodedError("invalid-spec", `cannot ${request.doing}: the redirect from ${new URL(response.url).host} ${fact}`);
  const location = response.header("location");
  if (location === undefined || location.length > maxLocationLength || !URL.canParse(location, response.url))
    throw refused("leads nowhere");
  const from = new URL(response.url);
  const to = new URL(location, from);
  if (to.protocol !== "https:" && to.protocol !== "http:") throw refused(`leads to a ${foreignText(to.protocol)} address`);
  // SECURITY: nobody out there decides what is asked of this machine, or of the address where a cloud tells it its secrets.
  if (to.host !== from.host && reachOf(to.hostname) === "machine" && reachOf(from.hostname) !== "machine")
    throw refused(`leads to ${to.host}, which only this machine or its network knows`);
  if (from.protocol === "https:" && to.protocol === "http:") throw refused(`leads from https to http, to ${to.host}`);
  if (request.method !== "GET" && request.method !== "HEAD" && to.host !== from.host) {
    throw refused(`wants content to go to another host, ${to.host}`);
  }
  to.username = "";
  to.password = "";
  to.hash = "";
  return to.href;
}
