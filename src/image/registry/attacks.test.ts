/** Published attacks on clients of registries, each by its number: a registry, or a host that it leads to, that means harm. */
import { describe, expect, test } from "bun:test";
import { FakeRegistry, fault, sha256, type Described } from "../../../test/support/registry/fake.ts";
import { FakeNetwork, stream, type SeenRequest } from "../../../test/support/registry/network.ts";
import { openRegistries } from "../../../test/support/registry/open.ts";
import { copyImage } from "../copy.ts";
import { MemoryBlobStore } from "../blob/memory.ts";
import { reachOf } from "./proxy.ts";
import { openRegistrySource } from "./source.ts";
import { uploadBlob } from "./upload.ts";

const registry = "registry.example";
const manifestType = "application/vnd.oci.image.manifest.v1+json";
const indexType = "application/vnd.oci.image.index.v1+json";
const login = { "/auth.json": JSON.stringify({ auths: { [registry]: { auth: Buffer.from("user:secret").toString("base64") } } }) };
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256("{}"), size: 2 };
const image = { schemaVersion: 2, mediaType: manifestType, config, layers: [] as object[] };

/** A registry that answers the password of its login, and nobody else. */
function guarded(before?: (request: SeenRequest) => Response | undefined): { fake: FakeRegistry; network: FakeNetwork } {
  const fake = new FakeRegistry({
    before: (request) =>
      request.headers.has("authorization") ? before?.(request) : fault(401, "UNAUTHORIZED", { "www-authenticate": "Basic" }),
  });
  fake.manifest("team/app", image, "1");
  return { fake, network: new FakeNetwork().at(`https://${registry}`, fake.host) };
}

async function pull(network: FakeNetwork, files: Record<string, string> = login, name = `${registry}/team/app`): Promise<void> {
  await (await openRegistries(network, { files }).repository(name)).getManifest("1");
}

describe("realms", () => {
  const naming = (realm: string, origin = `https://${registry}`): FakeNetwork =>
    new FakeNetwork().at(origin, ({ headers }) =>
      headers.has("authorization")
        ? new Response(JSON.stringify(image), { headers: { "content-type": manifestType } })
        : fault(401, "UNAUTHORIZED", { "www-authenticate": `Bearer realm="${realm}"` }),
    );

  test.each([
    "https://169.254.169.254/latest/meta-data/",
    "https://127.0.0.1:8443/token",
    "https://localhost/token",
    "https://registry.localhost./token",
    "https://[::1]/token",
    "https://[fe80::1]/token",
    "https://[::ffff:169.254.169.254]/token",
    "https://2852039166/token",
    "https://0xa9fea9fe/token",
    "https://0.0.0.0/token",
    "https://10.0.0.1/token",
    "https://192.168.1.1/token",
    "https://[fd00::1]/token",
  ])("CVE-2026-48978, CVE-2026-12566: %s is not asked for a token, and gets no password", async (realm) => {
    const network = naming(realm);
    await expect(pull(network)).rejects.toThrow("is an address that only this machine or its network knows");
    expect(network.requests.map(({ url }) => url.host)).toEqual([registry]);
  });

  test("CVE-2019-10214, CVE-2026-48978: a realm without encryption gets nothing", async () => {
    const network = naming("http://auth.example/token");
    await expect(pull(network)).rejects.toThrow("is not an https address");
    expect(network.requests).toHaveLength(1);
  });

  test("a registry of a private network may name an address there, but not this machine", async () => {
    for (const [realm, isAsked] of [
      ["http://10.0.0.6/token", true],
      ["http://10.0.0.5/token", true],
      ["http://169.254.169.254/token", false],
      ["http://127.0.0.1/token", false],
    ] as const) {
      const network = naming(realm, "http://10.0.0.5").at(new URL(realm).origin, ({ url, headers }) =>
        url.pathname === "/token"
          ? Response.json({ token: "t" })
          : headers.has("authorization")
            ? new Response(JSON.stringify(image), { headers: { "content-type": manifestType } })
            : fault(401, "UNAUTHORIZED", { "www-authenticate": `Bearer realm="${realm}"` }),
      );
      const files = { "/registries.json": '{"registries":{"10.0.0.5":{"plainHttp":true}}}' };
      const asking = pull(network, files, "10.0.0.5/team/app");
      if (isAsked) await asking;
      else await expect(asking).rejects.toThrow("its realm");
      expect(network.requests.some(({ url }) => url.pathname === "/token")).toBe(isAsked);
    }
  });

  test("reachOf() knows an address in all its spellings", () => {
    const reach = (host: string): string => reachOf(new URL(`https://${host}/`).hostname);
    for (const host of ["127.1", "0x7f.1", "169。254。169。254", "[::]", "[::ffff:7f00:1]", "a.localhost"])
      expect([host, reach(host)]).toEqual([host, "machine"]);
    for (const host of ["10.255.0.1", "172.16.0.1", "100.64.0.1", "[fc00::1]", "[::ffff:10.0.0.1]"])
      expect([host, reach(host)]).toEqual([host, "site"]);
    for (const host of ["172.32.0.1", "8.8.8.8", "[2001:db8::1]", "auth.example", "fd.example"])
      expect([host, reach(host)]).toEqual([host, "world"]);
  });
});

describe("credentials", () => {
  test.each(["https://registry.example:444/x", "https://sub.registry.example/x", "https://registry.example.evil.example/x"])(
    "GHSA-vh4v-2xq2-g5cg: a redirect to %s, another port or a like name, gets no credentials",
    async (location) => {
      const { network } = guarded(() => new Response(null, { status: 302, headers: { location } }));
      network.at(new URL(location).origin, () => new Response(JSON.stringify(image), { headers: { "content-type": manifestType } }));
      await pull(network);
      expect(network.credentialsSentTo(new URL(location).host)).toEqual([]);
    },
  );

  test("CVE-2026-50151: the address of an upload on another host gets the content, and no credentials", async () => {
    const { network } = guarded(({ method }) =>
      method === "POST" ? new Response(null, { status: 202, headers: { location: "https://evil.example/put" } }) : undefined,
    );
    network.at("https://evil.example", () => fault(401, "UNAUTHORIZED", { "www-authenticate": "Basic" }));
    const client = await openRegistries(network, { files: login }).repository(`${registry}/team/app`);
    const content = Buffer.from("content");
    const blob = { mediaType: "a/b", digest: sha256(content) as Described["digest"], size: content.length };
    await expect(uploadBlob(client, { blob, content })).rejects.toThrow("cannot upload");
    expect(network.credentialsSentTo("evil.example")).toEqual([]);
  });

  test("CVE-2020-15157: the address that a layer names asks who we are, and is not told", async () => {
    const { fake, network } = guarded();
    const foreign = {
      mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
      digest: sha256("foreign"),
      size: 7,
      urls: ["https://evil.example/layer"],
    };
    fake.manifest("team/app", { ...image, layers: [foreign] } as object, "1");
    for (const challenge of ['Basic realm="x"', `Bearer realm="https://evil.example/token",service="${registry}"`])
      network.at("https://evil.example", () => fault(401, "UNAUTHORIZED", { "www-authenticate": challenge }));
    const registries = openRegistries(network, { files: login });
    const source = await openRegistrySource(registries, await registries.resolve(`${registry}/team/app:1`));
    await expect(Array.fromAsync(source.open(foreign.digest as Described["digest"]))).rejects.toThrow();
    expect(network.credentialsSentTo("evil.example")).toEqual([]);
    expect(network.log.filter((line) => line.includes("evil.example/token"))).toEqual([]);
  });

  test("CVE-2014-5277: a registry that does not answer by https is not asked by http", async () => {
    const network = new FakeNetwork().at(`http://${registry}`, () => Response.json(image));
    await expect(pull(network)).rejects.toThrow("cannot be reached");
    expect(network.log.filter((line) => line.includes("http://"))).toEqual([]);
  });

  test("a redirect to this machine, or to where a cloud tells its secrets, is not followed", async () => {
    for (const location of ["https://169.254.169.254/latest", "https://localhost/x", "https://[::1]/x"]) {
      const { network } = guarded(() => new Response(null, { status: 307, headers: { location } }));
      await expect(pull(network)).rejects.toThrow("which only this machine or its network knows");
      expect(network.requests.every(({ url }) => url.host === registry)).toBe(true);
    }
  });
});

describe("documents", () => {
  const answering = (document: object, type = manifestType): FakeNetwork =>
    new FakeNetwork().at(`https://${registry}`, () => new Response(JSON.stringify(document), { headers: { "content-type": type } }));

  test.each([
    "sha256:../../../../v2/_catalog",
    "sha256:..",
    "../team/other/manifests/1",
    `sha256:${"a".repeat(63)}/`,
    "sha256:",
    `sha256:${"a".repeat(64)}?x=`,
    `sha256:${"A".repeat(64)}`,
  ])("CVE-2024-3727: the digest %p is refused before it becomes a request or a path", async (digest) => {
    for (const change of [{ config: { ...config, digest } }, { layers: [{ ...config, digest }] }, { subject: { ...config, digest } }]) {
      const network = answering({ ...image, ...change });
      await expect(pull(network)).rejects.toThrow("cannot read manifest");
      expect(network.requests).toHaveLength(1);
    }
    await expect(
      pull(answering({ schemaVersion: 2, manifests: [{ ...config, mediaType: manifestType, digest }] }, indexType)),
    ).rejects.toThrow("cannot read manifest");
  });

  test("CVE-2020-1702, CVE-2023-25153: a manifest without end is not kept in memory", async () => {
    const network = new FakeNetwork().at(
      `https://${registry}`,
      () => new Response(stream([Buffer.alloc(1 << 20, 0x20)], "endless"), { headers: { "content-type": manifestType } }),
    );
    await expect(pull(network)).rejects.toThrow("more than 4194304 bytes");
  });

  test.each([2 ** 53, 2 ** 63, -1, 1.5, "2"])("GHSA-f36w-mj3v-6jqv: the size %p of a descriptor is refused", async (size) => {
    await expect(pull(answering({ ...image, config: { ...config, size } }))).rejects.toThrow("/config/size");
  });

  test("GHSA-f36w-mj3v-6jqv: a size that is only absurd allocates nothing: what comes is counted", async () => {
    const fake = new FakeRegistry();
    const child = fake.manifest("team/app", image);
    const huge = { ...child, size: Number.MAX_SAFE_INTEGER };
    fake.manifest("team/app", { schemaVersion: 2, mediaType: indexType, manifests: [huge] } as object, "1");
    const network = new FakeNetwork().at(`https://${registry}`, fake.host);
    const registries = openRegistries(network);
    const source = await openRegistrySource(registries, await registries.resolve(`${registry}/team/app:1`));
    const [{ descriptor: root } = { descriptor: undefined }] = source.images;
    if (root === undefined) throw new Error("there is no image");
    const store = new MemoryBlobStore();
    const target = {
      description: "memory",
      takesNondistributable: true,
      has: async (blob: Described) => (await store.size(blob.digest)) !== undefined,
      putBlob: async () => "copied" as const,
      putDocument: async () => "copied" as const,
      finish: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    await expect(copyImage(source, target as never, { root, platforms: "all" })).rejects.toThrow(/cannot/);
  });

  test("CVE-2014-8178, CVE-2014-8179: docker's first form, whose layers nothing verifies, is refused", async () => {
    const schema1 = { schemaVersion: 1, name: "team/app", fsLayers: [{ blobSum: sha256("x") }], history: [] };
    await expect(pull(answering(schema1, "application/vnd.docker.distribution.manifest.v1+prettyjws"))).rejects.toThrow("schema 1");
  });

  test("CVE-2021-41190: a manifest that is an index to others is neither", async () => {
    const both = { ...image, manifests: [{ ...config, mediaType: manifestType }] };
    for (const type of [manifestType, indexType]) await expect(pull(answering(both, type))).rejects.toThrow(/must not have it|says/);
  });

  test("text of a registry, a realm or a warning reaches no terminal raw", async () => {
    const said = "\u001b]0;title\u0007\u202e\u009b2J";
    const network = new FakeNetwork().at(`https://${registry}`, () => fault(403, said));
    const failure = await pull(network).catch((error: Error) => error.message);
    expect(failure).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  });
});
