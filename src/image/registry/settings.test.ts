import { describe, expect, test } from "bun:test";
import { FakeRegistry, sha256 } from "../../../test/support/registry/fake.ts";
import { FakeNetwork } from "../../../test/support/registry/network.ts";
import { openRegistries } from "../../../test/support/registry/open.ts";
import { CodedError } from "#base/errors.ts";
import { findCredentials, helperFor, parseCredentialFile, withCredentials, type Credentials, type RunHelper } from "./credentials.ts";
import { proxyFor } from "./proxy.ts";
import { parseRetryAfter, retryDelayMs } from "./retry.ts";
import { parseSettings } from "./settings.ts";

const basic = (text: string): string => Buffer.from(text).toString("base64");

describe("A5 findCredentials()", () => {
  const noHelper: RunHelper = () => Promise.reject(new Error("no helper is expected"));
  const asking = (documents: readonly object[], runHelper: RunHelper) => (registry: string, repository: string) => {
    const files = documents.map((_, index) => `/file${index}`);
    const readFile = async (path: string): Promise<Uint8Array> => Buffer.from(JSON.stringify(documents[files.indexOf(path)]));
    return findCredentials({ files, readFile, runHelper }, registry, repository);
  };
  const find = (documents: readonly object[], registry: string, repository = "team/app"): Promise<Credentials | undefined> =>
    asking(documents, noHelper)(registry, repository);
  const user = (username: string): Credentials => ({ kind: "basic", username, password: "p:w" });

  test("A5 the longest key that begins the repository wins", async () => {
    const auths = {
      "r.example": { auth: basic("host:p:w") },
      "r.example/team": { auth: basic("team:p:w") },
      "r.example/te": { auth: basic("no:p:w") },
    };
    expect(await find([{ auths }], "r.example")).toEqual(user("team"));
    expect(await find([{ auths }], "r.example", "other/app")).toEqual(user("host"));
    expect(await find([{ auths }], "else.example")).toBeUndefined();
  });

  test("keys may be the URLs of old, and user and password may stand apart", async () => {
    expect(await find([{ auths: { "https://r.example/v1/": { username: "a", password: "p:w" } } }], "r.example")).toEqual(user("a"));
  });

  test("the first file with an entry decides; empty entries are none", async () => {
    const files = [{ auths: { "r.example": {} } }, { auths: { "r.example": { auth: basic("second:p:w") } } }];
    expect(await find(files, "r.example")).toEqual(user("second"));
  });

  test("A5 a helper is asked for the host; <token> means an identity token; what it does not have is looked for elsewhere", async () => {
    const asked: string[] = [];
    const helper: RunHelper = async (name, action, input) => {
      asked.push(`${name} ${action} ${input}`);
      if (input === "none.example")
        throw new CodedError("unavailable", "it failed", { details: { output: "credentials not found in native keychain" } });
      return JSON.stringify({ ServerURL: input, Username: input === "t.example" ? "<token>" : "u", Secret: "p:w" });
    };
    const file = { credsStore: "all", credHelpers: { "h.example": "one" }, auths: { "none.example": { auth: basic("file:p:w") } } };
    expect(await asking([file], helper)("h.example", "x")).toEqual(user("u"));
    expect(await asking([file], helper)("t.example", "x")).toEqual({ kind: "identity-token", token: "p:w" });
    expect(await asking([file], helper)("none.example", "x")).toEqual(user("file"));
    expect(asked).toEqual(["one get h.example", "all get t.example", "all get none.example"]);
  });

  test("a helper's name is a word, and never a path", () => {
    const file = (credsStore: string): ReturnType<typeof parseCredentialFile> =>
      parseCredentialFile(Buffer.from(JSON.stringify({ credsStore })), "f");
    for (const name of ["../../bin/sh", "a b", "-x"])
      expect(() => helperFor(file(name), "r.example")).toThrow("not the name of a credential helper");
  });

  test("an entry is written among others' fields, and taken out again", () => {
    const file = parseCredentialFile(Buffer.from('{"HttpHeaders":{"a":"b"},"auths":{"https://r.example/v1/":{"auth":"x"}}}'), "f");
    const after = withCredentials(file, "r.example", user("a"));
    expect(after).toEqual({ HttpHeaders: { a: "b" }, auths: { "r.example": { auth: basic("a:p:w") } } });
    expect(withCredentials({ path: "f", document: after }, "r.example", undefined)).toEqual({ HttpHeaders: { a: "b" }, auths: {} });
  });
});

describe("proxyFor()", () => {
  const environment = {
    HTTPS_PROXY: "http://proxy.example:3128",
    http_proxy: "plain.example:80",
    NO_PROXY: "a.example,.b.example,10.0.0.0/8,c.example:5000",
  };
  test.each([
    ["https://registry.example/", "http://proxy.example:3128"],
    ["http://registry.example/", "http://plain.example:80"],
    ["https://a.example/", false],
    ["https://x.a.example/", false],
    ["https://notta.example/", "http://proxy.example:3128"],
    ["https://x.b.example/", false],
    ["https://10.1.2.3/", false],
    ["https://11.1.2.3/", "http://proxy.example:3128"],
    ["https://c.example:5000/", false],
    ["https://c.example/", "http://proxy.example:3128"],
    ["http://127.0.0.5:5000/", false],
    ["http://[::1]:5000/", false],
    ["https://localhost/", false],
  ])("%s: %p", (url, expected) => {
    expect<string | boolean>(proxyFor(new URL(url), environment)).toBe(expected);
  });
});

describe("retries", () => {
  test("U9 Retry-After is seconds or a date", () => {
    expect(parseRetryAfter("120", 0)).toBe(120_000);
    expect(parseRetryAfter("Thu, 01 Jan 1970 00:00:30 GMT", 10_000)).toBe(20_000);
    expect(parseRetryAfter("soon", 0)).toBeUndefined();
  });

  test("pauses grow, differ by chance, and end", () => {
    const at = (attempts: number, random: number): number | undefined => retryDelayMs({ attempts, nowMs: 0, random });
    expect([at(1, 0), at(1, 0.999), at(4, 0)]).toEqual([250, 499.75, 2000]);
    expect(at(5, 0)).toBeUndefined();
  });
});

describe("settings", () => {
  test.each([
    ['{"registry":{}}', 'it has "registry"'],
    ['{"registries":{"r.example":{"mirror":[]}}}', 'it has "mirror"'],
    ['{"defaultRegistry":"library"}', "not HOST[:PORT]"],
    ['{"registries":{"r.example":{"mirrors":["https://m.example"]}}}', "not HOST[:PORT]"],
  ])("%s is refused", (text, reason) => {
    expect(() => parseSettings(Buffer.from(text), "registries.json")).toThrow(reason);
  });

  test("N2 a short name goes to the default registry, and without one nowhere", async () => {
    const network = new FakeNetwork();
    const files = { "/registries.json": '{"defaultRegistry":"registry.example","officialPath":"library"}' };
    const registries = openRegistries(network, { files });
    expect(await registries.resolve("debian")).toEqual({ name: "registry.example/library/debian", tag: "latest" });
    expect(await registries.resolve("team/app:1")).toEqual({ name: "registry.example/team/app", tag: "1" });
    await expect(openRegistries(network).resolve("debian")).rejects.toThrow("it names no registry");
  });
});

test("N2 a registry may be reached at another host than it is called by, and its login kept under a third name", async () => {
  const fake = new FakeRegistry({
    before: ({ headers }) =>
      headers.has("authorization") ? undefined : new Response(null, { status: 401, headers: { "www-authenticate": "Basic" } }),
  });
  fake.manifest("app", { schemaVersion: 2, config: { mediaType: "a/b", digest: sha256("{}"), size: 2 }, layers: [] } as object, "1");
  const network = new FakeNetwork().at("https://api.example", fake.host);
  const files = {
    "/registries.json": '{"registries":{"registry.example":{"endpoint":"api.example","login":"index.example"}}}',
    "/auth.json": JSON.stringify({
      auths: { "https://index.example/v1/": { auth: basic("u:p") }, "registry.example": { auth: basic("no:no") } },
    }),
  };
  await (await openRegistries(network, { files }).repository("registry.example/app")).getManifest("1");
  expect(network.credentialsSentTo("api.example")).toEqual([`Basic ${basic("u:p")}`]);
});

describe("A6 https, http and certificates", () => {
  const fake = new FakeRegistry();
  fake.manifest("app", { schemaVersion: 2, config: { mediaType: "a/b", digest: sha256("{}"), size: 2 }, layers: [] } as object, "1");
  const certificateFault = (): never => {
    throw Object.assign(new Error("self signed certificate"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
  };
  const get = async (network: FakeNetwork, host: string, world: Parameters<typeof openRegistries>[1] = {}): Promise<void> => {
    await (await openRegistries(network, world).repository(`${host}/app`)).getManifest("1");
  };

  test("X1 http is tried for this machine only, and not when a certificate is at fault", async () => {
    await get(new FakeNetwork().at("http://localhost:5000", fake.host), "localhost:5000");
    const network = new FakeNetwork().at("http://registry.example", fake.host);
    await expect(get(network, "registry.example")).rejects.toThrow("registry.example cannot be reached");
    expect(network.log.filter((line) => line.includes("http://"))).toEqual([]);
    const untrusted = new FakeNetwork().at("https://localhost:5000", certificateFault).at("http://localhost:5000", fake.host);
    await expect(get(untrusted, "localhost:5000")).rejects.toThrow(
      "the certificate of localhost:5000 is not trusted: self signed certificate",
    );
    expect(untrusted.requests).toHaveLength(1);
  });

  test("A6 --insecure takes any certificate, and http where there is no https", async () => {
    const network = new FakeNetwork().at("https://registry.example", fake.host);
    await get(network, "registry.example", { options: { insecure: true } });
    expect(network.requests.every(({ init }) => init.tls?.rejectUnauthorized === false)).toBe(true);
    await get(new FakeNetwork().at("http://registry.example", fake.host), "registry.example", { options: { insecure: true } });
  });

  test("A6 certificates of certs.d go to their registry and to no host that it leads to", async () => {
    const network = new FakeNetwork()
      .at("https://registry.example:5000", () => new Response(null, { status: 307, headers: { location: "https://store.example/m" } }))
      .at("https://store.example", () => fake.host({ url: new URL("https://x/v2/app/manifests/1"), method: "GET" } as never));
    const directory = "/certs.d/registry.example:5000";
    const files = { [`${directory}/ca.crt`]: "CA", [`${directory}/client.cert`]: "CERT", [`${directory}/client.key`]: "KEY" };
    await get(network, "registry.example:5000", { files });
    expect(network.requests.map(({ init }) => init.tls)).toEqual([{ ca: ["CA"], cert: "CERT", key: "KEY" }, undefined]);
  });

  test("a certificate without its key is an error", async () => {
    const files = { "/certs.d/registry.example/client.cert": "CERT" };
    await expect(get(new FakeNetwork(), "registry.example", { files })).rejects.toThrow("client.key: there is no such file");
  });
});
