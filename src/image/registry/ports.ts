/** What the registry client is handed: the network, time and chance. Everything else in this folder gives the same result twice. */

/** Certificates and keys in PEM, and whether the server's certificate is checked at all. */
export interface TlsSettings {
  /** Authorities that are trusted beside the system's. */
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized?: boolean;
}

/** How one request is made. The names are those of fetch(); `tls`, `proxy` and `decompress` are Bun's. */
export interface FetchInit {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
  /** Node's fetch wants it for bodies that are streams. */
  readonly duplex?: "half";
  readonly signal: AbortSignal;
  /** Redirects are followed by hand: who follows them decides where credentials go. */
  readonly redirect: "manual";
  readonly decompress: false;
  readonly tls?: TlsSettings;
  /** URL of a proxy, or false for none whatever the environment says. */
  readonly proxy: string | false;
}

/** fetch() as the client uses it. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

/** Time, so that tests need not wait. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Calls `late` after `ms` unless the returned function is called before. */
  after(ms: number, late: () => void): () => void;
}

/** All of them. */
export interface Machine {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** A number from 0 up to 1, without 1. */
  readonly random: () => number;
}
