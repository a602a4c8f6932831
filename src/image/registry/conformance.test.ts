/** Rules of the distribution specification 1.1, and of what follows it, that few registries know yet. */
import { describe, expect, test } from "bun:test";
import { FakeRegistry, fault, sha256, type Described, type FakeOptions } from "../../../test/support/registry/fake.ts";
import { FakeNetwork, type SeenRequest } from "../../../test/support/registry/network.ts";
import { openRegistries } from "../../../test/support/registry/open.ts";
import { referrersTag } from "../referrers.ts";
import { addToReferrersTag, listReferrers, removeFromReferrersTag } from "./referrers.ts";
import type { RepositoryClient } from "./client.ts";
import { openRegistrySource } from "./source.ts";
import { openRegistryTarget, type RegistryTarget } from "./target.ts";
import { uploadBlob } from "./upload.ts";

const manifestType = "application/vnd.oci.image.manifest.v1+json";
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256("{}"), size: 2 };
const document = { schemaVersion: 2, mediaType: manifestType, config, layers: [] } as object;
const subject = sha256("subject") as Described["digest"];
const referrer = (name: string): Described => ({ mediaType: manifestType, digest: sha256(name) as Described["digest"], size: name.length });

function world(options: FakeOptions = {}): { fake: FakeRegistry; network: FakeNetwork } {
  const fake = new FakeRegistry(options);
  fake.manifest("team/app", document, "1");
  return { fake, network: new FakeNetwork().at("https://registry.example", fake.host) };
}

const repository = (network: FakeNetwork): Promise<RepositoryClient> => openRegistries(network).repository("registry.example/team/app");

describe("Y1 a mirror that fetches from others", () => {
  const registries = {
    registries: {
      "registry.example": { mirrors: ["mirror.example", "plain.example"] },
      "mirror.example": { pullThrough: true },
    },
  };
  const files = { "/registries.json": JSON.stringify(registries), "/auth.json": '{"auths":{"registry.example":{"auth":"dTpw"}}}' };

  async function pull(mirror: FakeRegistry): Promise<FakeNetwork> {
    const { network, fake } = world();
    const blob = fake.blob("team/app", "content");
    network.at("https://mirror.example", mirror.host).at("https://plain.example", () => fault(404, "NAME_UNKNOWN"));
    const opened = openRegistries(network, { files });
    const source = await openRegistrySource(opened, await opened.resolve("registry.example/team/app:1"));
    for await (const _ of source.open(blob.digest));
    return network;
  }

  test("Y1 is told which registry is meant, of manifests and blobs, and nobody else is", async () => {
    const mirror = new FakeRegistry();
    mirror.manifest("team/app", document, "1");
    mirror.blob("team/app", "content");
    const asked = (await pull(mirror)).requests.map(({ url }) => `${url.host} ${url.searchParams.get("ns") ?? "-"}`);
    expect(new Set(asked)).toEqual(new Set(["mirror.example registry.example"]));
    const others = (await pull(new FakeRegistry())).requests.map(({ url }) => `${url.host} ${url.searchParams.get("ns") ?? "-"}`);
    expect(new Set(others)).toEqual(new Set(["mirror.example registry.example", "plain.example -", "registry.example -"]));
  });

  test("Y1 that answers for another registry (OCI-Namespace) is not used, and never gets the registry's login", async () => {
    const mirror = new FakeRegistry({
      before: () => new Response(JSON.stringify(document), { headers: { "content-type": manifestType, "oci-namespace": "evil.example" } }),
    });
    const network = await pull(mirror);
    expect(network.requests.map(({ url }) => url.host)).toContain("registry.example");
    expect(network.credentialsSentTo("mirror.example")).toEqual([]);
  });
});

describe("U6 several tags", () => {
  async function push(options: FakeOptions): Promise<{ puts: string[]; tags: Map<string, string> }> {
    const { fake, network } = world(options);
    const registries = openRegistries(network);
    const moreTags = ["1.2", "latest", "new"];
    await using target: RegistryTarget = await openRegistryTarget(registries, await registries.resolve("registry.example/team/app:new"), {
      moreTags,
    });
    const bytes = Buffer.from(JSON.stringify(document));
    const descriptor = { mediaType: manifestType, digest: sha256(bytes) as Described["digest"], size: bytes.length };
    await target.putDocument(descriptor, bytes);
    network.requests.length = 0;
    await target.finish([{ names: [], tag: undefined, descriptor }]);
    const puts = network.requests.map(({ method, url }) => `${method} ${url.pathname.split("/").at(-1)?.slice(0, 7) ?? ""}${url.search}`);
    return { puts, tags: fake.repository("team/app").tags };
  }

  test("U6 go in one request (?tag=) to a registry that says OCI-Tag, and one by one what it left out", async () => {
    expect((await push({ tagsAtOnce: 10 })).puts).toEqual(["PUT sha256:?tag=new&tag=1.2&tag=latest"]);
    const some = await push({ tagsAtOnce: 1 });
    expect(some.puts).toEqual(["PUT sha256:?tag=new&tag=1.2&tag=latest", "PUT 1.2", "PUT latest"]);
    expect(new Set(some.tags.values()).size).toBe(1);
  });

  test("U6 go one by one to a registry that knows nothing of it, or refuses it", async () => {
    expect((await push({})).puts.slice(1)).toEqual(["PUT new", "PUT 1.2", "PUT latest"]);
    const refusing = await push({ before: ({ url }) => (url.searchParams.has("tag") ? new Response(null, { status: 414 }) : undefined) });
    expect(refusing.puts.slice(1)).toEqual(["PUT new", "PUT 1.2", "PUT latest"]);
    expect([...refusing.tags.keys()]).toEqual(["1", "new", "1.2", "latest"]);
  });
});

describe("U6 uploads", () => {
  const content = Buffer.from("content");
  const blob = (algorithm: "sha256" | "sha512"): Described => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: `${algorithm}:${new Bun.CryptoHasher(algorithm).update(content).digest("hex")}` as Described["digest"],
    size: content.length,
  });

  test("U6 of content that is not named by sha256 say so (?digest-algorithm=)", async () => {
    const posts: string[] = [];
    const before = ({ method, url }: SeenRequest): Response | undefined => {
      if (method === "POST") posts.push(url.search);
      return method === "PUT" ? new Response(null, { status: 201 }) : undefined;
    };
    const { network } = world({ before });
    for (const algorithm of ["sha256", "sha512"] as const) await uploadBlob(await repository(network), { blob: blob(algorithm), content });
    expect(posts).toEqual(["", "?digest-algorithm=sha512"]);
  });

  test("U6 that fail are given up with DELETE, and a registry that will have none of that is no other failure", async () => {
    const { network } = world({
      before: ({ method }) => (method === "PUT" ? fault(403, "DENIED") : method === "DELETE" ? fault(405, "UNSUPPORTED") : undefined),
    });
    await expect(uploadBlob(await repository(network), { blob: blob("sha256"), content })).rejects.toThrow("does not allow it");
    const last = network.requests.at(-1);
    expect([last?.method, last?.url.searchParams.has("_state")]).toEqual(["DELETE", true]);
  });

  test("U2 an upload's address may be absolute, on another host, which gets no credentials; never http after https", async () => {
    const files = { "/auth.json": '{"auths":{"registry.example":{"registrytoken":"secret"}}}' };
    for (const [location, isTaken] of [
      ["https://store.example/put?signature=a%2Fb", true],
      ["http://store.example/put", false],
    ] as const) {
      const { network } = world({
        before: ({ method }) => (method === "POST" ? new Response(null, { status: 202, headers: { location } }) : undefined),
      });
      network.at("https://store.example", () => new Response(null, { status: 201 }));
      const client = await openRegistries(network, { files }).repository("registry.example/team/app");
      const uploading = uploadBlob(client, { blob: blob("sha256"), content });
      if (isTaken) await uploading;
      else await expect(uploading).rejects.toThrow("without encryption");
      expect(network.credentialsSentTo("store.example")).toEqual([]);
      if (isTaken) expect(network.requests.at(-1)?.url.search).toStartWith("?signature=a%2Fb&digest=sha256%3A");
    }
  });
});

describe("U8 lists of referrers under a tag", () => {
  test("U8 what another client adds meanwhile is kept where the registry knows conditions (If-Match, If-None-Match)", async () => {
    const { fake, network } = world({ conditions: true });
    const client = await repository(network);
    let others = 0;
    const puts: (string | null)[] = [];
    fake.options.before = ({ method, url, headers }) => {
      if (method !== "PUT" || !url.pathname.endsWith(referrersTag(subject))) return undefined;
      puts.push(headers.get("if-match") === null ? headers.get("if-none-match") : "if-match");
      if (others++ >= 2) return undefined;
      // Somebody else is quicker, twice.
      const { tags, manifests } = fake.repository("team/app");
      const before = manifests.get(tags.get(referrersTag(subject)) ?? "");
      const list = before === undefined ? [] : (JSON.parse(Buffer.from(before.bytes).toString()) as { manifests: object[] }).manifests;
      const mediaType = "application/vnd.oci.image.index.v1+json";
      fake.manifest(
        "team/app",
        { schemaVersion: 2, mediaType, manifests: [...list, referrer(`other${others}`)] } as object,
        referrersTag(subject),
      );
      return undefined;
    };
    await addToReferrersTag(client, subject, referrer("mine"));
    const digests = (await listReferrers(client, subject)).map(({ digest }) => digest);
    expect(digests).toEqual([referrer("other1").digest, referrer("other2").digest, referrer("mine").digest]);
    expect(puts).toEqual(["*", "if-match", "if-match"]);
    others = 0;
    await removeFromReferrersTag(client, subject, referrer("mine").digest);
    expect((await listReferrers(client, subject)).map(({ digest }) => digest)).not.toContain(referrer("mine").digest);
  });

  test("U8 a list that changes for ever is given up", async () => {
    const { network } = world({
      before: ({ method }) => (method === "PUT" ? new Response(null, { status: 412 }) : undefined),
    });
    await expect(addToReferrersTag(await repository(network), subject, referrer("mine"))).rejects.toThrow("somebody else has changed it");
  });

  test("U8 the tag of a subject is its digest, cut and with - for what a tag must not have", () => {
    const encoded = "alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharactersToExcerciseEncodedTruncation";
    // SPEC: distribution-spec, "Referrers Tag Schema", the table.
    expect(
      referrersTag(`test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall+truncation:${encoded}` as never),
    ).toBe("test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot");
    expect(referrersTag(`sha512:${"a".repeat(128)}` as never)).toBe(`sha512-${"a".repeat(64)}`);
  });

  test("R1 a list of several pages is read whole, and one that the registry filtered is filtered again", async () => {
    const mediaType = "application/vnd.oci.image.index.v1+json";
    const page = (names: readonly string[], next?: string): Response =>
      new Response(
        JSON.stringify({ schemaVersion: 2, mediaType, manifests: names.map((name) => ({ ...referrer(name), artifactType: `a/${name}` })) }),
        { headers: { "content-type": mediaType, ...(next === undefined ? {} : { link: `<${next}>; rel="next"` }) } },
      );
    const { network } = world({
      before: ({ url }) => {
        if (!url.pathname.includes("/referrers/")) return undefined;
        return url.searchParams.has("page") ? page(["three"]) : page(["one", "two"], `${url.pathname}?page=2`);
      },
    });
    const client = await repository(network);
    expect(await listReferrers(client, subject)).toHaveLength(3);
    expect((await listReferrers(client, subject, "a/three")).map(({ digest }) => digest)).toEqual([referrer("three").digest]);
  });
});
