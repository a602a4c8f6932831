/** A network in memory for the registry client: hosts are functions, time passes only when somebody waits. */
import type { FetchInit, Machine } from "#image/registry/ports.ts";

/** A request as a host gets it, with its body whole. */
export interface SeenRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: Uint8Array;
  readonly init: FetchInit;
}

/** Answers requests to one origin; may throw to break the connection. */
export type Host = (request: SeenRequest) => Response | Promise<Response>;

/** A network with a clock that sleeping moves on. */
export class FakeNetwork {
  readonly requests: SeenRequest[] = [];
  /** How long somebody slept, in ms. */
  readonly pauses: number[] = [];
  nowMs = Date.UTC(2026, 0, 1);
  readonly #hosts = new Map<string, Host>();

  /** Puts `host` at the origin `https://registry.example`, say. */
  at(origin: string, host: Host): this {
    this.#hosts.set(origin, host);
    return this;
  }

  /** What the client is handed. */
  get machine(): Machine {
    return {
      random: () => 0.5,
      clock: {
        now: () => this.nowMs,
        sleep: async (ms) => {
          this.pauses.push(ms);
          this.nowMs += ms;
        },
        after: () => () => undefined,
      },
      fetch: async (address, init) => {
        const url = new URL(address);
        const body = await gather(init.body);
        const request = { method: init.method, url, headers: new Headers({ ...init.headers }), body, init };
        this.requests.push(request);
        const host = this.#hosts.get(url.origin);
        if (host === undefined) throw Object.assign(new Error("Unable to connect"), { code: "ConnectionRefused" });
        return await host(request);
      },
    };
  }

  /** `GET https://registry.example/v2/` for each request, in order. */
  get log(): string[] {
    return this.requests.map(({ method, url }) => `${method} ${url.href}`);
  }

  /** The Authorization headers that went to `host`. */
  credentialsSentTo(host: string): string[] {
    return this.requests.filter(({ url }) => url.host === host).flatMap(({ headers }) => headers.get("authorization") ?? []);
  }
}

async function gather(body: FetchInit["body"]): Promise<Uint8Array> {
  if (body === undefined) return new Uint8Array();
  if (body instanceof Uint8Array) return body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A body that gives `parts` and then breaks, or goes on for ever with the last one. */
export function stream(parts: readonly Uint8Array[], end: "close" | "break" | "endless" = "close"): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      const part = parts[at++] ?? (end === "endless" ? parts.at(-1) : undefined);
      if (part !== undefined) controller.enqueue(part);
      else if (end === "break") controller.error(Object.assign(new Error("the connection was reset"), { code: "ECONNRESET" }));
      else controller.close();
    },
  });
}
