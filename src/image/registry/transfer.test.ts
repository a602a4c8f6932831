import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { copyImage } from "../copy.ts";
import { DirectoryBlobStore } from "../blob/directory.ts";
import { MemoryBlobStore } from "../blob/memory.ts";
import { FakeRegistry, fault, sha256, type Described, type FakeOptions } from "../../../test/support/registry/fake.ts";
import { FakeNetwork, stream, type SeenRequest } from "../../../test/support/registry/network.ts";
import { openRegistries } from "../../../test/support/registry/open.ts";
import { scratchDirectory } from "../../../test/support/scratch-directory.ts";
import { listReferrers, removeFromReferrersTag } from "./referrers.ts";
import type { Registries } from "./registries.ts";
import { openRegistrySource, type RegistrySource } from "./source.ts";
import { openRegistryTarget } from "./target.ts";
import { referrersTag } from "../referrers.ts";

const types = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  foreign: "application/vnd.oci.image.layer.nondistributable.v1.tar",
};
const content = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));

/** A registry with one image `team/app:1` of one layer. */
function withImage(options: FakeOptions = {}): { fake: FakeRegistry; network: FakeNetwork; layer: Described; manifest: Described } {
  const fake = new FakeRegistry(options);
  const layer = fake.blob("team/app", content);
  const config = fake.blob("team/app", "{}", types.config);
  const manifest = fake.manifest("team/app", { schemaVersion: 2, mediaType: types.manifest, config, layers: [layer] } as object, "1");
  return { fake, network: new FakeNetwork().at("https://registry.example", fake.host), layer, manifest };
}

async function open(registries: Registries, text: string): Promise<RegistrySource> {
  return openRegistrySource(registries, await registries.resolve(text));
}

async function read(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

/** Breaks the first `times` answers to GETs of blobs after `count` bytes. */
function breaking(times: number, count: number): (request: SeenRequest) => Response | undefined {
  let left = times;
  return ({ method, url, headers }) => {
    if (method !== "GET" || !url.pathname.includes("/blobs/") || left-- <= 0) return undefined;
    const start = Number(/=([0-9]+)-/.exec(headers.get("range") ?? "")?.[1] ?? 0);
    const range = { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` };
    return new Response(stream([content.subarray(start, start + count)], "break"), start > 0 ? { status: 206, headers: range } : {});
  };
}

const ranges = (network: FakeNetwork): (string | null)[] =>
  network.requests
    .filter(({ method, url }) => method === "GET" && url.pathname.includes("/blobs/sha256"))
    .map(({ headers }) => headers.get("range"));

describe("downloads", () => {
  test("P3 a download that breaks off goes on at the byte where it stopped", async () => {
    const { network, layer } = withImage({ before: breaking(2, 30_000) });
    const source = await open(openRegistries(network), "registry.example/team/app:1");
    expect((await read(source.open(layer.digest))).equals(content)).toBe(true);
    expect(ranges(network)).toEqual([null, "bytes=30000-", "bytes=60000-"]);
    expect(network.pauses.every((ms) => ms > 0)).toBe(true);
  });

  test("P3 a body that ends early without an error is taken up again as well", async () => {
    let first = true;
    const { network, layer } = withImage({
      before: ({ method, url }) => {
        if (method !== "GET" || !url.pathname.includes("/blobs/") || !first) return undefined;
        first = false;
        return new Response(content.subarray(0, 10));
      },
    });
    const source = await open(openRegistries(network), "registry.example/team/app:1");
    expect((await read(source.open(layer.digest))).equals(content)).toBe(true);
    expect(ranges(network)).toEqual([null, "bytes=10-"]);
  });

  test("P3 200 to a Range: what is there already is skipped", async () => {
    const { network, layer } = withImage({
      before: ({ method, url }) => (method === "GET" && url.pathname.includes("/blobs/") ? new Response(content) : undefined),
    });
    const source = await open(openRegistries(network), "registry.example/team/app:1");
    expect((await read(source.open(layer.digest, { offset: 99_000 }))).equals(content.subarray(99_000))).toBe(true);
  });

  test("P3 416 to a Range: it is asked for without one", async () => {
    const { network, layer } = withImage({
      before: ({ headers }) => (headers.has("range") ? new Response(null, { status: 416 }) : undefined),
    });
    const source = await open(openRegistries(network), "registry.example/team/app:1");
    expect((await read(source.open(layer.digest, { offset: 5 }))).equals(content.subarray(5))).toBe(true);
  });

  test("P3 206 that begins elsewhere than asked for is refused", async () => {
    const range = { "content-range": `bytes 7-${content.length - 1}/${content.length}` };
    const { network, layer } = withImage({
      before: ({ headers }) => (headers.has("range") ? new Response(content.subarray(7), { status: 206, headers: range }) : undefined),
    });
    const source = await open(openRegistries(network), "registry.example/team/app:1");
    await expect(read(source.open(layer.digest, { offset: 5 }))).rejects.toThrow("does not begin at byte 5");
  });

  test("a download that breaks off without getting further is given up", async () => {
    const { network, layer } = withImage({ before: breaking(1000, 1) });
    const source = await open(openRegistries(network), "registry.example/team/app:1");
    await expect(read(source.open(layer.digest))).rejects.toThrow("cannot be reached: the connection was reset");
    expect(ranges(network).length).toBe(5);
  });

  test("an endless body ends at the size of the blob", async () => {
    let sent = 0;
    const { network, layer } = withImage({
      before: ({ method, url }) =>
        method === "GET" && url.pathname.includes("/blobs/")
          ? new Response(
              stream([content], "endless").pipeThrough(new TransformStream({ transform: (chunk, out) => (sent++, out.enqueue(chunk)) })),
            )
          : undefined,
    });
    const source = await open(openRegistries(network), "registry.example/team/app:1");
    await expect(read(source.open(layer.digest))).rejects.toThrow(`sends more than its ${content.length} bytes`);
    expect(sent).toBeLessThan(10);
  });

  test("what an earlier process left is completed by Range, and not asked for again once it is whole", async () => {
    using scratch = scratchDirectory();
    const { network, layer } = withImage({ before: breaking(5, 30_000) });
    const store = new DirectoryBlobStore(join(scratch.path, "store"));
    const options = { options: { clock: { ...network.machine.clock, sleep: () => Promise.reject(new Error("killed")) } } };
    for (let attempt = 0; attempt < 5; attempt++) {
      const source = await open(openRegistries(network, options), "registry.example/team/app:1");
      await store.put(source.content(layer.digest), layer).catch(() => undefined);
    }
    expect(await store.size(layer.digest)).toBe(content.length);
    expect(ranges(network)).toEqual([null, "bytes=30000-", "bytes=60000-", "bytes=90000-"]);
  });

  test("P3 wrong bytes are not stored, however well they are sent", async () => {
    const { network, layer } = withImage({
      before: ({ method, url }) =>
        method === "GET" && url.pathname.includes("/blobs/") ? new Response(Buffer.alloc(content.length)) : undefined,
    });
    const source = await open(openRegistries(network), "registry.example/team/app:1");
    const store = new MemoryBlobStore();
    await expect(store.put(source.content(layer.digest), layer)).rejects.toThrow(
      `cannot accept ${layer.digest}: its content has the digest`,
    );
    expect(await store.size(layer.digest)).toBeUndefined();
  });

  test("P6 a redirect to a store is followed without our token, and to http it is not", async () => {
    const leads = (location: string): FakeOptions => ({
      before: ({ url }) => (url.pathname.includes("/blobs/") ? new Response(null, { status: 307, headers: { location } }) : undefined),
    });
    const { network, layer } = withImage(leads("https://store.example/x?signature=1"));
    network.at("https://store.example", () => new Response(content));
    const files = { "/auth.json": JSON.stringify({ auths: { "registry.example": { registrytoken: "secret" } } }) };
    const source = await open(openRegistries(network, { files }), "registry.example/team/app:1");
    expect((await read(source.open(layer.digest))).equals(content)).toBe(true);
    expect(network.credentialsSentTo("store.example")).toEqual([]);
    const other = withImage(leads("http://store.example/x"));
    const refused = await open(openRegistries(other.network), "registry.example/team/app:1");
    await expect(read(refused.open(other.layer.digest))).rejects.toThrow("leads from https to http");
  });

  test("P7 a layer that registries must not keep comes from its https address, as nobody", async () => {
    const { fake, network } = withImage();
    const config = fake.blob("team/app", "{}", types.config);
    const digest = sha256("foreign") as Described["digest"];
    const urls = ["http://plain.example/x", "https://windows.example/x"];
    const layers = [{ mediaType: types.foreign, digest, size: 7, urls }];
    fake.manifest("team/app", { schemaVersion: 2, mediaType: types.manifest, config, layers } as object, "2");
    network.at("https://windows.example", () => new Response("foreign", { headers: { "www-authenticate": "Basic" } }));
    const files = {
      "/auth.json": JSON.stringify({ auths: { "windows.example": { auth: "dTpw" }, "registry.example": { auth: "dTpw" } } }),
    };
    const source = await open(openRegistries(network, { files }), "registry.example/team/app:2");
    expect((await read(source.open(digest))).toString()).toBe("foreign");
    expect(network.credentialsSentTo("windows.example")).toEqual([]);
  });

  test("Y1 mirrors are asked first, with their own credentials only, and the registry when they lack it or lie", async () => {
    const { network, fake } = withImage();
    const mirror = new FakeRegistry();
    mirror.manifest("cache/team/app", { schemaVersion: 2, mediaType: types.index, manifests: [] } as object, "other");
    network.at("https://mirror.example:5000", mirror.host);
    const registries = { registries: { "registry.example": { mirrors: ["mirror.example:5000/cache"] } } };
    const files = {
      "/registries.json": JSON.stringify(registries),
      "/auth.json": JSON.stringify({ auths: { "registry.example": { auth: "dTpw" } } }),
    };
    const source = await open(openRegistries(network, { files }), "registry.example/team/app:1");
    expect(source.images[0]?.descriptor.digest).toBe(fake.repository("team/app").tags.get("1") as never);
    expect(network.log[0]).toBe("GET https://mirror.example:5000/v2/cache/team/app/manifests/1");
    expect(network.credentialsSentTo("mirror.example:5000")).toEqual([]);
    // What others said of the image the registry knows, whoever served it.
    const asked = network.log.length;
    await source.referrers(sha256("{}") as Described["digest"]);
    expect(network.log.slice(asked).filter((line) => line.includes("mirror.example"))).toEqual([]);
  });
});

describe("uploads", () => {
  async function push(to: FakeRegistry, network: FakeNetwork, knownIn?: (digest: string) => readonly string[]): Promise<string[]> {
    const registries = openRegistries(network);
    const source = await open(registries, "registry.example/team/app:1");
    const reference = await registries.resolve("other.example/copy/app:new");
    const outcomes: string[] = [];
    await using target = await openRegistryTarget(registries, reference, knownIn === undefined ? {} : { knownIn });
    const root = source.images[0]?.descriptor;
    if (root === undefined) throw new Error("the source has no image");
    const { descriptor } = await copyImage(source, target, { root, platforms: "all", done: (_blob, outcome) => outcomes.push(outcome) });
    await target.finish([{ names: [], tag: undefined, descriptor }]);
    expect(to.repository("copy/app").tags.get("new")).toBe(root.digest);
    return outcomes;
  }

  function target(options: FakeOptions = {}): { fake: FakeRegistry; network: FakeNetwork } {
    const fake = new FakeRegistry(options);
    return { fake, network: withImage().network.at("https://other.example", fake.host) };
  }

  const sentTo = (network: FakeNetwork, host: string): string[] =>
    network.requests.filter(({ url }) => url.host === host).map(({ method, url }) => `${method} ${url.pathname.replace(/sha256:.*/, "D")}`);

  test("U1 U2 U3 U7 blobs first, each in one request to the address that the registry gave, then the manifest, then the tag", async () => {
    const { fake, network } = target();
    expect(await push(fake, network)).toEqual(["copied", "copied", "copied"]);
    const puts = sentTo(network, "other.example").filter((line) => line.startsWith("PUT"));
    expect(puts.slice(-2)).toEqual(["PUT /v2/copy/app/manifests/D", "PUT /v2/copy/app/manifests/new"]);
    expect(fake.repository("copy/app").blobs.get(sha256(content))?.length).toBe(content.length);
  });

  test("W4 a layer of a nondistributable type is not sent, whatever its urls; one with urls of another type is", async () => {
    const fake = new FakeRegistry();
    const config = fake.blob("team/app", "{}", types.config);
    const foreign = fake.blob("team/app", "not to be passed on", types.foreign);
    const linked = { ...fake.blob("team/app", "to be passed on"), urls: ["https://elsewhere.example/x"] };
    fake.manifest("team/app", { schemaVersion: 2, mediaType: types.manifest, config, layers: [foreign, linked] } as object, "1");
    const other = new FakeRegistry();
    const network = new FakeNetwork().at("https://registry.example", fake.host).at("https://other.example", other.host);
    expect((await push(other, network)).toSorted()).toEqual(["copied", "copied", "copied", "skipped"]);
    const { blobs } = other.repository("copy/app");
    expect([blobs.has(foreign.digest), blobs.has(linked.digest)]).toEqual([false, true]);
  });

  test("what is there is not sent again", async () => {
    const { fake, network } = target();
    await push(fake, network);
    network.requests.length = 0;
    expect(await push(fake, network)).toEqual(["present"]);
    expect(sentTo(network, "other.example").filter((line) => line.startsWith("POST"))).toEqual([]);
  });

  test("U5 a blob of another repository of the registry is mounted, with a scope for that one", async () => {
    const { fake, network } = target({ mounts: true });
    fake.blob("base/image", content);
    expect((await push(fake, network, () => ["elsewhere.example/x", "other.example/base/image"])).toSorted()).toEqual([
      "copied",
      "copied",
      "mounted",
    ]);
  });

  test("U5 202 to a mount is a session, and it is used", async () => {
    const { fake, network } = target({ mounts: false });
    expect(await push(fake, network, () => ["other.example/base/image"])).toEqual(["copied", "copied", "copied"]);
    expect(sentTo(network, "other.example").filter((line) => line.startsWith("POST"))).toHaveLength(2);
  });

  test("U9 U4 413: the blob goes in chunks, as small as the registry will have them", async () => {
    const { fake, network } = target({ maxPutBytes: 70_000, minChunkBytes: 1000 });
    expect(await push(fake, network)).toEqual(["copied", "copied", "copied"]);
    const chunks = network.requests.filter(({ method }) => method === "PATCH").map(({ headers }) => headers.get("content-range"));
    expect(chunks).toEqual(["0-99999", "0-65535", "65536-99999"]);
  });

  test("413 to the smallest chunk is the registry's last word", async () => {
    const { fake, network } = target({ maxPutBytes: 60_000 });
    await expect(push(fake, network)).rejects.toThrow("too large");
  });

  test("U4 an interrupted upload goes on at the byte that the registry has", async () => {
    let isBroken = false;
    const uploads: string[] = [];
    const { fake, network } = target({
      before: ({ method, headers, url }) => {
        if (!url.pathname.includes("/uploads/")) return undefined;
        uploads.push(`${method} ${headers.get("content-range") ?? ""}`.trim());
        if (method !== "PUT" || isBroken || headers.get("content-length") !== String(content.length)) return undefined;
        isBroken = true;
        throw Object.assign(new Error("the connection was reset"), { code: "ECONNRESET" });
      },
    });
    expect(await push(fake, network)).toEqual(["copied", "copied", "copied"]);
    expect(uploads).toContain(`PATCH 0-${content.length - 1}`);
  });

  test("U9 429 and 503 are waited for, as long as the registry says", async () => {
    let left = 2;
    const { fake, network } = target({
      before: ({ method }) =>
        method === "HEAD" && left-- > 0 ? fault(left === 1 ? 429 : 503, "TOOMANYREQUESTS", { "retry-after": "7" }) : undefined,
    });
    await push(fake, network);
    expect(network.pauses.filter((ms) => ms >= 7000)).toHaveLength(2);
  });

  test("U7 a registry that says it stored something else is not believed to have it", async () => {
    const { fake, network } = target({
      before: ({ method, url }) =>
        method === "PUT" && url.pathname.includes("/manifests/")
          ? new Response(null, { status: 201, headers: { "docker-content-digest": sha256("else") } })
          : undefined,
    });
    await expect(push(fake, network)).rejects.toThrow("says that it has stored");
  });
});

describe("referrers", () => {
  const subject = sha256("subject") as Described["digest"];

  async function attach(options: FakeOptions): Promise<{ fake: FakeRegistry; registries: Registries }> {
    const { fake, network } = withImage(options);
    const registries = openRegistries(network);
    await using target = await openRegistryTarget(registries, await registries.resolve("registry.example/team/app:sig"));
    const empty = { mediaType: "application/vnd.oci.empty.v1+json", digest: sha256("{}"), size: 2 };
    for (const name of ["one", "two"]) {
      const document = {
        schemaVersion: 2,
        mediaType: types.manifest,
        artifactType: `application/${name}`,
        config: empty,
        layers: [empty],
        subject: { mediaType: types.manifest, digest: subject, size: 7 },
        annotations: { name },
      };
      const bytes = Buffer.from(JSON.stringify(document));
      const descriptor = { mediaType: types.manifest, digest: sha256(bytes) as Described["digest"], size: bytes.length };
      await target.putDocument(descriptor, bytes);
      // U8: no duplicates.
      await target.putDocument(descriptor, bytes);
    }
    return { fake, registries };
  }

  test("K1 U8 R2 without the API, the index under the tag is written and read, with artifactType and annotations", async () => {
    const { fake, registries } = await attach({});
    expect(fake.repository("team/app").tags.has(referrersTag(subject))).toBe(true);
    const client = await registries.repository("registry.example/team/app");
    const all = await listReferrers(client, subject);
    expect(all.map(({ artifactType, annotations }) => [artifactType, annotations?.["name"]])).toEqual([
      ["application/one", "one"],
      ["application/two", "two"],
    ]);
    expect(await listReferrers(client, subject, "application/two")).toHaveLength(1);
    await removeFromReferrersTag(client, subject, all[0]?.digest ?? subject);
    expect(await listReferrers(client, subject)).toHaveLength(1);
  });

  test("U8 R1 with the API, the tag is left alone, and a list that is not filtered is filtered here", async () => {
    const { fake, registries } = await attach({ referrersApi: true });
    expect(fake.repository("team/app").tags.has(referrersTag(subject))).toBe(false);
    const client = await registries.repository("registry.example/team/app");
    expect(await listReferrers(client, subject)).toHaveLength(2);
    expect(await listReferrers(client, subject, "application/one")).toHaveLength(1);
  });

  test("R2 neither list nor tag: there are none; U8 a tag that is no index is left alone", async () => {
    const { fake, network } = withImage();
    const registries = openRegistries(network);
    const client = await registries.repository("registry.example/team/app");
    expect(await listReferrers(client, subject)).toEqual([]);
    const { tags } = fake.repository("team/app");
    tags.set(referrersTag(subject), tags.get("1") ?? "");
    expect(await listReferrers(client, subject)).toEqual([]);
    await expect(removeFromReferrersTag(client, subject, subject)).rejects.toThrow("is no index");
  });
});
