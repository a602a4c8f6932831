/** Registries that mean harm, on real sockets, and the built program: what leaves this machine, what it costs, and what is left. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LayoutWriter, mediaTypes } from "../support/images/layout-writer.ts";
import { header } from "../support/images/tar-writer.ts";
import { tinyLayer } from "../support/images/tiny.ts";
import { gzipWithZeros } from "../support/images/zeros.ts";
import { patient } from "../support/slowness.ts";
import { gantryPath } from "./gantry-harness.ts";
import { makeScratch, reason, Store } from "./registry-harness.ts";

if (reason !== undefined) console.log(`skipped: registries that mean harm: ${reason}`);
setDefaultTimeout(patient(60_000));

const scratch = makeScratch();

/** A request as a server saw it. */
interface Seen {
  readonly path: string;
  readonly authorization: string | null;
}

/** A server on the loopback that answers as `answer` says; everything else of `layout` as a registry would. */
function serve(
  layout: string,
  answer: (path: string, request: Request) => Response | undefined,
): Disposable & { host: string; seen: Seen[] } {
  const seen: Seen[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    development: false,
    fetch: (request) => {
      const path = new URL(request.url).pathname;
      seen.push({ path, authorization: request.headers.get("authorization") });
      const own = answer(path, request);
      if (own !== undefined) return own;
      if (path === "/v2/") return new Response("{}");
      const [, digest] = /\/(sha256:[0-9a-f]{64})$/.exec(path) ?? [];
      const isManifest = path.includes("/manifests/");
      const file = Bun.file(join(layout, digest === undefined ? "manifest.json" : `blobs/${digest.replace(":", "/")}`));
      return new Response(file, { headers: isManifest ? { "content-type": mediaTypes.manifest } : {} });
    },
  });
  return { host: `127.0.0.1:${server.port}`, seen, [Symbol.dispose]: () => void server.stop(true) };
}

/** Writes a layout with `manifest.json` beside it, for `serve`; the last layer is `archive` as it is stored. */
async function writeImage(name: string, last?: { bytes: Uint8Array; diffId: string }): Promise<{ layout: string; layer: string }> {
  const writer = new LayoutWriter(join(scratch, name));
  const base = writer.layer(tinyLayer());
  const layers = last === undefined ? [base] : [base, { descriptor: writer.blob(last.bytes, mediaTypes.gzip), diffId: last.diffId }];
  const image = writer.image(layers, { architecture: process.arch === "arm64" ? "arm64" : "amd64" });
  await Bun.write(join(writer.directory, "manifest.json"), Bun.file(join(writer.directory, "blobs", image.digest.replace(":", "/"))));
  return { layout: writer.directory, layer: layers.at(-1)?.descriptor.digest ?? "" };
}

/** A pull, with the most memory that it took; null where GNU time is not installed. */
async function measuredPull(store: Store, ...words: string[]): Promise<{ code: number; stderr: string; memoryBytes: number | null }> {
  const measure = existsSync("/usr/bin/time") ? ["/usr/bin/time", "-f", "memory %M"] : [];
  const child = Bun.spawn([...measure, "timeout", "50", gantryPath, "--root", store.root, "pull", "-q", ...words], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...store.env },
  });
  const [code, text] = [await child.exited, await new Response(child.stderr).text()];
  const [, kibibytes] = /memory (\d+)\n$/.exec(text) ?? [];
  const stderr = text.replace(/(?:Command exited.*\n)?memory \d+\n$/, "");
  return { code, stderr, memoryBytes: kibibytes === undefined ? null : Number(kibibytes) * 1024 };
}

/** Nothing of a refused image is left but what a next pull may go on with. */
async function expectNothing(store: Store): Promise<void> {
  expect(await store.ok("images", "--all", "-q")).toBe("");
  expect(await store.ok("verify")).toBe("clean\n");
  for (const place of ["layers", "tmp", "containers"]) {
    const directory = join(store.root, place);
    expect([place, existsSync(directory) ? readdirSync(directory) : []]).toEqual([place, []]);
  }
}

describe.skipIf(reason !== undefined)("registries that mean harm", () => {
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  const basic = `Basic ${Buffer.from("user:secret").toString("base64")}`;
  const asking = (request: Request): Response | undefined =>
    request.headers.get("authorization") === basic
      ? undefined
      : new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } });

  async function loggedIn(host: string): Promise<Store> {
    const store = new Store(scratch);
    const words = ["login", "--username", "user", "--password-stdin", host];
    expect(await store.gantry(words, { stdin: "secret\n" })).toMatchObject({ code: 0 });
    return store;
  }

  test("CVE-2020-15157, GHSA-vh4v-2xq2-g5cg: a redirect to another port, which asks for the password, does not get it", async () => {
    const { layout, layer } = await writeImage("redirect");
    using thief = serve(layout, (path, request) => (path.endsWith("/again") ? asking(request) : undefined));
    using registry = serve(layout, (path, request) => {
      const refused = asking(request);
      if (refused !== undefined || !path.endsWith(layer)) return refused;
      return new Response(null, { status: 307, headers: { location: `http://${thief.host}/elsewhere/${layer}` } });
    });
    const store = await loggedIn(registry.host);
    await store.ok("pull", "-q", `${registry.host}/team/app:1`);
    expect(thief.seen).toEqual([{ path: `/elsewhere/${layer}`, authorization: null }]);
    expect(await store.ok("run", "--rm", `${registry.host}/team/app:1`, "/bin/busybox", "echo", "runs")).toBe("runs\n");
  });

  test("CVE-2026-48978: a realm at the address where clouds keep secrets is not asked", async () => {
    const { layout } = await writeImage("realm");
    for (const realm of ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/token"]) {
      using registry = serve(layout, (_path, request) =>
        request.headers.has("authorization")
          ? undefined
          : new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${realm}",service="x"` } }),
      );
      const store = new Store(scratch);
      const { code, stderr } = await measuredPull(store, `${registry.host}/team/app:1`);
      expect([code, stderr.includes("is an address that only this machine or its network knows")]).toEqual([1, true]);
      expect(registry.seen.every(({ authorization }) => authorization === null)).toBe(true);
    }
  });

  test("CVE-2020-1702: a manifest without end costs neither memory nor time", async () => {
    const { layout } = await writeImage("endless");
    const endless = (): Response =>
      new Response(
        new ReadableStream({
          pull: (controller) => {
            controller.enqueue(Buffer.alloc(1 << 20, 0x20));
          },
        }),
        { headers: { "content-type": mediaTypes.manifest } },
      );
    using registry = serve(layout, (path) => (path.includes("/manifests/") ? endless() : undefined));
    const store = new Store(scratch);
    const { code, stderr, memoryBytes } = await measuredPull(store, `${registry.host}/team/app:1`);
    expect([code, stderr.includes("more than 4194304 bytes")]).toEqual([1, true]);
    expect(memoryBytes ?? 0).toBeLessThan(256 << 20);
  });

  test("CVE-2017-14992: a layer of a megabyte that becomes a gigabyte ends at the limit, and leaves nothing", async () => {
    const bytes = 1024 ** 3;
    const zeros = gzipWithZeros(header({ name: "zeros" }, { seconds: 0, nanos: 0 }, bytes), bytes + 1024);
    const { layout } = await writeImage("bomb", { bytes: zeros.bytes, diffId: zeros.contentDigest });
    using registry = serve(layout, () => undefined);
    const store = new Store(scratch);
    const { code, stderr, memoryBytes } = await measuredPull(store, "--max-layer-size", "64m", `${registry.host}/team/app:1`);
    expect([code, stderr.includes("more than 67108864 bytes")]).toEqual([1, true]);
    expect(memoryBytes ?? 0).toBeLessThan(512 << 20);
    await store.ok("prune", "--all");
    await expectNothing(store);
  });

  test("CVE-2021-41190: a manifest that says to be an index, and bytes that are not those of their digest", async () => {
    const { layout, layer } = await writeImage("lies");
    using confused = serve(layout, (path) =>
      path.includes("/manifests/")
        ? new Response(Bun.file(join(layout, "manifest.json")), { headers: { "content-type": mediaTypes.index } })
        : undefined,
    );
    using lying = serve(layout, (path) => (path.endsWith(layer) ? new Response(Buffer.alloc(1000)) : undefined));
    for (const { host } of [confused, lying]) {
      const store = new Store(scratch);
      const { code, stderr } = await measuredPull(store, `${host}/team/app:1`);
      expect([code, /^gantry: cannot [^\n]*\n$/.test(stderr)]).toEqual([1, true]);
      await store.ok("prune", "--all");
      await expectNothing(store);
    }
  });

  test("what a registry says reaches the terminal as words only", async () => {
    const { layout } = await writeImage("words");
    const message = "\u001b]0;title\u0007 \u001b[2J\u202egnp.exe\nsecond line";
    using registry = serve(layout, (path) =>
      path.includes("/manifests/") ? Response.json({ errors: [{ code: "DENIED", message }] }, { status: 403 }) : undefined,
    );
    const { stderr } = await measuredPull(new Store(scratch), `${registry.host}/team/app:1`);
    expect(stderr).toMatch(/^[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]*$/);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stderr).toContain("does not allow it");
  });
});
