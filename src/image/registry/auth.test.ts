import { describe, expect, test } from "bun:test";
import { FakeRegistry, fault } from "../../../test/support/registry/fake.ts";
import { FakeNetwork, stream, type SeenRequest } from "../../../test/support/registry/network.ts";
import { openRegistries } from "../../../test/support/registry/open.ts";

const registry = "registry.example";
const image = { schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: descriptor("c"), layers: [] };
const auths = (entries: Record<string, object>): string => JSON.stringify({ auths: entries });
const basic = (text: string): string => Buffer.from(text).toString("base64");
const challenge = (text: string): Response => fault(401, "UNAUTHORIZED", { "www-authenticate": text });

function descriptor(text: string): object {
  return {
    mediaType: "application/vnd.oci.image.config.v1+json",
    digest: `sha256:${Buffer.from(text).toString("hex").padEnd(64, "0")}`,
    size: 1,
  };
}

/** A registry that wants a bearer token, and a realm that `token` answers for. */
function guarded(token: (request: SeenRequest) => Response | Promise<Response>, realm = "https://auth.example/token"): FakeNetwork {
  const fake = new FakeRegistry({
    before: (request) =>
      request.headers.get("authorization") === "Bearer good"
        ? undefined
        : challenge(`Bearer realm="${realm}",service="registry.example",scope="repository:team/app:pull"`),
  });
  fake.manifest("team/app", image, "1");
  return new FakeNetwork().at(`https://${registry}`, fake.host).at("https://auth.example", token);
}

async function pull(network: FakeNetwork, files: Record<string, string> = {}, helper?: () => Promise<string>): Promise<string> {
  const registries = openRegistries(network, { files, ...(helper === undefined ? {} : { helper }) });
  const client = await registries.repository(`${registry}/team/app`);
  return (await client.getManifest("1")).descriptor.digest;
}

describe("tokens", () => {
  test("A2 A4 an anonymous token is got first, with service and scope, and used for what follows", async () => {
    const network = guarded(() => Response.json({ token: "good", expires_in: 300 }));
    const client = await openRegistries(network).repository(`${registry}/team/app`);
    await client.getManifest("1");
    await client.getManifest("1");
    expect(network.log).toEqual([
      "GET https://registry.example/v2/team/app/manifests/1",
      "GET https://auth.example/token?service=registry.example&scope=repository%3Ateam%2Fapp%3Apull",
      "GET https://registry.example/v2/team/app/manifests/1",
      "GET https://registry.example/v2/team/app/manifests/1",
    ]);
    expect(network.credentialsSentTo("auth.example")).toEqual([]);
  });

  test("A2 access_token counts as token, and a lifetime that is over makes a new one", async () => {
    const network = guarded(() => Response.json({ access_token: "good" }));
    const client = await openRegistries(network).repository(`${registry}/team/app`);
    await client.getManifest("1");
    network.nowMs += 59_000;
    await client.getManifest("1");
    expect(network.log.filter((line) => line.includes("auth.example"))).toHaveLength(2);
  });

  test("A4 those who want the same token at the same time get one", async () => {
    const network = guarded(() => Response.json({ token: "good" }));
    const client = await openRegistries(network).repository(`${registry}/team/app`);
    await Promise.all([client.getManifest("1"), client.getManifest("1"), client.getManifest("1")]);
    expect(network.log.filter((line) => line.includes("auth.example"))).toHaveLength(1);
  });

  test("A4 a registry that never takes a token gets one new one for each request, and no more", async () => {
    const network = guarded(() => Response.json({ token: "bad" }));
    await expect(pull(network)).rejects.toThrow(
      /^cannot get manifest 1 of registry\.example\/team\/app: registry\.example wants to know who you are/,
    );
    expect(network.requests).toHaveLength(3);
  });

  test("A3 an identity token is exchanged by POST, as a form", async () => {
    const network = guarded((request) =>
      request.method === "POST" ? Response.json({ access_token: "good" }) : new Response(null, { status: 500 }),
    );
    await pull(network, { "/auth.json": auths({ [registry]: { identitytoken: "identity", auth: basic("user:pw") } }) });
    const [, exchange] = network.requests;
    expect(Object.fromEntries(new URLSearchParams(Buffer.from(exchange?.body ?? []).toString()))).toEqual({
      grant_type: "refresh_token",
      refresh_token: "identity",
      client_id: "gantry",
      service: "registry.example",
      scope: "repository:team/app:pull",
    });
  });

  test("A3 a realm that knows no GET is asked by POST with the password", async () => {
    const network = guarded(({ method }) => (method === "GET" ? new Response(null, { status: 405 }) : Response.json({ token: "good" })));
    await pull(network, { "/auth.json": auths({ [registry]: { auth: basic("user:pw") } }) });
    expect(Buffer.from(network.requests[2]?.body ?? []).toString()).toContain("grant_type=password&username=user&password=pw");
  });

  test("stale credentials do not keep anybody from a public image", async () => {
    const network = guarded(({ headers }) =>
      headers.has("authorization") ? fault(401, "UNAUTHORIZED") : Response.json({ token: "good" }),
    );
    expect(await pull(network, { "/auth.json": auths({ [registry]: { auth: basic("user:old") } }) })).toStartWith("sha256:");
  });

  test.each([
    ["a token of several lines", () => Response.json({ token: "good\r\nX-Evil: 1" })],
    ["a token that fills a header", () => Response.json({ token: "x".repeat(70_000) })],
    ["an answer without a token", () => Response.json({ tokens: ["good"] })],
    ["an answer that is no JSON", () => new Response("<html>")],
    ["a token flood", () => new Response(stream([Buffer.alloc(65_536, 0x20)], "endless"))],
  ])("%s is refused", async (_name, answer) => {
    const network = guarded(answer);
    await expect(pull(network)).rejects.toThrow(/cannot (?:use|get|read) (?:the|a) token/);
    expect(network.requests).toHaveLength(2);
  });
});

describe("who gets a password", () => {
  const files = { "/auth.json": auths({ [registry]: { auth: basic("user:secret") }, "other.example": { auth: basic("other:secret") } }) };

  test("A7 the realm that the registry names gets the password of this registry's login, and of no other", async () => {
    const network = guarded(() => Response.json({ token: "good" }));
    await pull(network, files);
    expect(network.credentialsSentTo("auth.example")).toEqual([`Basic ${basic("user:secret")}`]);
    expect(network.credentialsSentTo(registry)).toEqual(["Bearer good"]);
  });

  test.each(["http://auth.example/token", "ftp://auth.example/", "https://user:pw@auth.example/", "auth.example", ""])(
    "A7 CVE-2020-15157: the realm %p is not trusted",
    async (realm) => {
      const network = guarded(() => Response.json({ token: "good" }), realm).at("http://auth.example", () =>
        Response.json({ token: "good" }),
      );
      await expect(pull(network, files)).rejects.toThrow("its realm");
      expect(network.credentialsSentTo("auth.example")).toEqual([]);
    },
  );

  test("A7 a realm that redirects to another host takes no password along", async () => {
    const network = guarded(() => new Response(null, { status: 302, headers: { location: "https://evil.example/token" } })).at(
      "https://evil.example",
      () => Response.json({ token: "good" }),
    );
    await pull(network, files);
    expect(network.credentialsSentTo("evil.example")).toEqual([]);
  });

  test("A7 CVE-2020-15157: a host that a redirect leads to is never answered", async () => {
    const fake = new FakeRegistry({
      before: ({ url }) =>
        url.pathname.includes("/blobs/")
          ? new Response(null, { status: 307, headers: { location: "https://store.example/blob" } })
          : undefined,
    });
    const network = new FakeNetwork()
      .at(`https://${registry}`, fake.host)
      .at("https://store.example", () => challenge('Basic realm="give me all you have"'));
    const client = await openRegistries(network, { files }).repository(`${registry}/team/app`);
    const response = await client.send({ method: "GET", to: "blobs/x", action: "pull", doing: "get it", isRepeatable: false });
    expect(response.status).toBe(401);
    expect(network.credentialsSentTo("store.example")).toEqual([]);
  });

  test("A1 Basic is answered with the login, once; without a login with nothing", async () => {
    const fake = new FakeRegistry({
      before: ({ headers }) => (headers.get("authorization") === `Basic ${basic("user:secret")}` ? undefined : challenge("Basic realm=x")),
    });
    fake.manifest("team/app", image, "1");
    const network = new FakeNetwork().at(`https://${registry}`, fake.host);
    await pull(network, files);
    expect(network.requests).toHaveLength(2);
    await expect(pull(network)).rejects.toThrow("wants to know who you are (try: gantry login registry.example)");
    expect(network.requests).toHaveLength(3);
  });

  test("A5 a registry token is sent as it is", async () => {
    const network = guarded(() => new Response(null, { status: 500 }));
    await pull(network, { "/auth.json": auths({ [registry]: { registrytoken: "good" } }) });
    expect(network.requests).toHaveLength(2);
  });
});
