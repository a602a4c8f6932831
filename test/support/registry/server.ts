/** Debian's docker-registry on a free port of the loopback: by http or https, open or with a login, and a proxy before it that counts. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tool } from "../images/commands.ts";
import { patient } from "../slowness.ts";

/** How the registry is set up. */
export interface ServerOptions {
  /** An empty directory for its files. */
  readonly directory: string;
  /** Serves https with a certificate of an authority of its own. */
  readonly tls?: boolean;
  /** Wants this login, by htpasswd. */
  readonly login?: { readonly username: string; readonly password: string };
}

/** A registry that runs until it is disposed. */
export interface Server extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Path of the authority's certificate, with `tls`. */
  readonly ca: string;
}

/** Starts a registry and waits until it answers. It cannot tell a port that it has chosen, so another one is tried when ours is taken. */
export async function startRegistry(options: ServerOptions): Promise<Server> {
  const deadline = performance.now() + patient(90_000);
  for (;;) {
    const server = await tryRegistry(options, deadline);
    if (server !== undefined) return server;
  }
}

/** Undefined when the registry has ended, as it does when somebody else has the port. @throws Error after the deadline */
async function tryRegistry({ directory, tls = false, login }: ServerOptions, deadline: number): Promise<Server | undefined> {
  mkdirSync(directory, { recursive: true });
  const port = freePort();
  const mark = `${process.pid}-${port}`;
  const ca = join(directory, "ca.pem");
  if (tls) makeCertificates(directory, ca);
  const http: Record<string, unknown> = { addr: `127.0.0.1:${port}`, headers: { "X-Gantry-Test": [mark] } };
  if (tls) http["tls"] = { certificate: join(directory, "server.pem"), key: join(directory, "server.key") };
  const passwords = join(directory, "htpasswd");
  if (login !== undefined) writeFileSync(passwords, tool(["htpasswd", "-Bbn", login.username, login.password]));
  const config = {
    version: 0.1,
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, "data") }, delete: { enabled: true } },
    http,
    ...(login === undefined ? {} : { auth: { htpasswd: { realm: "test", path: passwords } } }),
  };
  // JSON is YAML.
  writeFileSync(join(directory, "config.yml"), JSON.stringify(config));
  const child = Bun.spawn(["docker-registry", "serve", join(directory, "config.yml")], {
    stdio: ["ignore", "ignore", Bun.file(join(directory, "log"))],
  });
  const host = `127.0.0.1:${port}`;
  for (;;) {
    const answer = await fetch(`${tls ? "https" : "http"}://${host}/v2/`, { tls: { rejectUnauthorized: false } } as RequestInit).catch(
      () => undefined,
    );
    if (answer?.headers.get("X-Gantry-Test") === mark) break;
    if (performance.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`docker-registry does not answer: ${readFileSync(join(directory, "log"), "utf8")}`);
    }
    if (child.exitCode !== null) return undefined;
    await Bun.sleep(50);
  }
  return {
    host,
    ca,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

function freePort(): number {
  const probe = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port } = probe;
  void probe.stop(true);
  return port ?? 0;
}

function makeCertificates(directory: string, ca: string): void {
  const at = (name: string): string => join(directory, name);
  writeFileSync(at("server.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  tool(["openssl", "req", "-x509", ...key, "-days", "2", "-subj", "/CN=test authority", "-keyout", at("ca.key"), "-out", ca]);
  tool(["openssl", "req", ...key, "-subj", "/CN=registry", "-keyout", at("server.key"), "-out", at("server.csr")]);
  const signing = ["-CA", ca, "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", at("server.ext")];
  tool(["openssl", "x509", "-req", "-in", at("server.csr"), ...signing, "-out", at("server.pem")]);
}

/** A GET of a blob that went through the proxy. */
export interface CountedGet {
  readonly digest: string;
  /** The first byte that was asked for. */
  readonly start: number;
  /** How many bytes the registry's side has sent; some of the last ones may be on their way still, or lost with a client that was killed. */
  sentBytes: number;
}

/** A proxy before a registry that speaks http. */
export interface CountingProxy extends AsyncDisposable {
  readonly host: string;
  /** What was asked for since the last time that this was emptied. */
  readonly gets: CountedGet[];
  /** The most bytes of content a second; unlimited when undefined. */
  bytesPerSecond: number | undefined;
  /** Cuts every connection that gives a blob after this many bytes of it. */
  cutAfterBytes: number | undefined;
  /** Waits until what was asked before is counted, even by a client that has been killed since. */
  settle(): Promise<void>;
}

/** Starts the proxy. */
export function startProxy(upstream: string): CountingProxy {
  const gets: CountedGet[] = [];
  const proxy: { bytesPerSecond: number | undefined; cutAfterBytes: number | undefined } = {
    bytesPerSecond: undefined,
    cutAfterBytes: undefined,
  };
  const underway = new Set<Request>();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 30,
    development: false,
    error: () => new Response(null, { status: 502 }),
    fetch: async (request) => {
      underway.add(request);
      return await answer(request).finally(() => underway.delete(request));
    },
  });
  const answer = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const headers = new Headers(request.headers);
    headers.set("host", upstream);
    const init = { method: request.method, headers, redirect: "manual", decompress: false } as RequestInit;
    if (request.body !== null) init.body = await request.arrayBuffer();
    const response = await fetch(`http://${upstream}${url.pathname}${url.search}`, init);
    const [, digest] = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(url.pathname) ?? [];
    const sent = new Headers(response.headers);
    const location = sent.get("location");
    if (location !== null) sent.set("location", location.replace(upstream, url.host));
    const { status } = response;
    if (request.method !== "GET" || digest === undefined || response.body === null) {
      return new Response(request.method === "HEAD" ? null : response.body, { status, headers: sent });
    }
    const get = { digest, start: Number(/^bytes=([0-9]+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0), sentBytes: 0 };
    gets.push(get);
    return new Response(paced(response.body, proxy, get), { status, headers: sent });
  };
  return Object.assign(proxy, {
    host: `127.0.0.1:${server.port}`,
    gets,
    settle: async (): Promise<void> => {
      // Connections are accepted in their order, and what the dead have sent was there before we were.
      for (let turn = 0; turn < 2; turn++) await fetch(`http://127.0.0.1:${server.port}/v2/`, { keepalive: false });
      while (underway.size > 0) await Bun.sleep(2);
    },
    [Symbol.asyncDispose]: async (): Promise<void> => {
      await server.stop(true);
    },
  });
}

const pieceBytes = 64 << 10;

/** The content in small pieces, as fast as is wanted, maybe with an early end. */
function paced(
  body: ReadableStream<Uint8Array>,
  limits: { readonly bytesPerSecond: number | undefined; readonly cutAfterBytes: number | undefined },
  get: CountedGet,
): ReadableStream<Uint8Array> {
  const pieces = (async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>)
      for (let at = 0; at < chunk.length; at += pieceBytes) yield chunk.subarray(at, at + pieceBytes);
  })();
  let sent = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await pieces.next();
      if (done === true) return controller.close();
      if (limits.bytesPerSecond !== undefined) await Bun.sleep((value.length / limits.bytesPerSecond) * 1000);
      sent += value.length;
      if (limits.cutAfterBytes !== undefined && sent > limits.cutAfterBytes) return controller.error(new Error("cut"));
      get.sentBytes += value.length;
      controller.enqueue(value);
    },
    async cancel() {
      await pieces.return();
    },
  });
}
