import { describe, expect, test } from "bun:test";
import { FakeRegistry, fault, sha256, type Described } from "../../../test/support/registry/fake.ts";
import { FakeNetwork, stream, type Host } from "../../../test/support/registry/network.ts";
import { openRegistries, type FakeWorld } from "../../../test/support/registry/open.ts";
import type { RepositoryClient } from "./client.ts";

const manifestType = "application/vnd.oci.image.manifest.v1+json";
const indexType = "application/vnd.oci.image.index.v1+json";
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256("{}") as Described["digest"], size: 2 };
const manifest = { schemaVersion: 2, mediaType: manifestType, config, layers: [] };
const bytes = JSON.stringify(manifest);

/** A client of a registry that answers every request so. */
async function client(host: Host, world: FakeWorld = {}): Promise<{ client: RepositoryClient; network: FakeNetwork }> {
  const network = new FakeNetwork().at("https://registry.example", host);
  return { client: await openRegistries(network, world).repository("registry.example/team/app"), network };
}

const answer =
  (body: string, headers: Record<string, string> = {}): Host =>
  () =>
    new Response(body, { headers: { "content-type": manifestType, ...headers } });

async function getting(host: Host, reference = "1"): Promise<string> {
  const { client: repository } = await client(host);
  return (await repository.getManifest(reference)).descriptor.digest;
}

describe("getManifest()", () => {
  test("P1 asks for every kind, and believes the type that comes with it, parameters aside", async () => {
    const { client: repository, network } = await client(answer(bytes, { "content-type": `${manifestType}; charset=utf-8` }));
    expect(await repository.getManifest("1")).toMatchObject({
      descriptor: { mediaType: manifestType, digest: sha256(bytes), size: bytes.length },
    });
    expect(network.requests[0]?.headers.get("accept")?.split(", ")).toHaveLength(4);
  });

  test("P1 CVE-2021-41190: one thing by its header and another by its words is refused", async () => {
    await expect(getting(answer(bytes, { "content-type": indexType }))).rejects.toThrow("what refers to it says");
    const both = JSON.stringify({ ...manifest, manifests: [] });
    await expect(getting(answer(both))).rejects.toThrow("must not have it");
  });

  test("P1 an index where a manifest was referred to is refused", async () => {
    const { client: repository } = await client(answer(bytes));
    const expected = { mediaType: indexType, digest: sha256(bytes) as Described["digest"], size: bytes.length };
    await expect(repository.getManifest(expected.digest, expected)).rejects.toThrow("but what refers to it says");
  });

  test("P2 by digest: other bytes are refused", async () => {
    await expect(getting(answer(bytes), sha256("else"))).rejects.toThrow(`cannot accept ${sha256("else")}`);
  });

  test("P2 by tag: the digest is computed, and one that the registry says must be the same", async () => {
    expect(await getting(answer(bytes))).toBe(sha256(bytes));
    expect(await getting(answer(bytes, { "docker-content-digest": sha256(bytes) }))).toBe(sha256(bytes));
    await expect(getting(answer(bytes, { "docker-content-digest": sha256("else") }))).rejects.toThrow("says sha256:");
    expect(await getting(answer(bytes, { "docker-content-digest": "md9:x" }))).toBe(sha256(bytes));
  });

  test("P5 more than 4 MiB is not read, whether it is announced or not", async () => {
    const padded = bytes.replace("{", `{${" ".repeat((4 << 20) - bytes.length)}`);
    expect(padded.length).toBe(4 << 20);
    expect(await getting(answer(padded))).toBe(sha256(padded));
    await expect(getting(answer(`${padded} `))).rejects.toThrow("more than 4194304 bytes");
    const endless: Host = () =>
      new Response(stream([Buffer.alloc(1 << 20, 0x20)], "endless"), { headers: { "content-type": manifestType } });
    await expect(getting(endless)).rejects.toThrow("more than 4194304 bytes");
  });

  test("schema 1 is refused with what to do, other types by name", async () => {
    const schema1 = JSON.stringify({ schemaVersion: 1, name: "x", fsLayers: [] });
    for (const type of ["application/vnd.docker.distribution.manifest.v1+prettyjws", "application/json"])
      await expect(getting(answer(schema1, { "content-type": type }))).rejects.toThrow("schema 1");
    await expect(getting(answer("<html>", { "content-type": "text/html" }))).rejects.toThrow('type "text/html", which is no manifest\'s');
  });

  test("an encoded answer is refused: the digest is of what is stored", async () => {
    await expect(getting(answer(bytes, { "content-encoding": "gzip" }))).rejects.toThrow("encoded as gzip");
  });

  test("U9 a passing failure is waited for, with growing pauses, five times in all", async () => {
    const { client: repository, network } = await client(() => fault(503, "UNAVAILABLE"));
    await expect(repository.getManifest("1")).rejects.toThrow("has trouble of its own (HTTP status 503)");
    expect(network.pauses).toEqual([375, 750, 1500, 3000]);
  });

  test("E1 429 says the limit, what is asked of us, and is not waited for hours", async () => {
    const limited: Host = () => fault(429, "TOOMANYREQUESTS", { "retry-after": "7200", "ratelimit-limit": "100;w=21600" });
    const { client: repository, network } = await client(limited);
    await expect(repository.getManifest("1")).rejects.toThrow(
      "cannot get manifest 1 of registry.example/team/app: the rate limit of registry.example is reached: 100 requests in 6 hours; try again in 2 hours (it says: TOOMANYREQUESTS: toomanyrequests)",
    );
    expect(network.pauses).toEqual([]);
  });

  test("E1 what a registry says reaches the sentence without control characters, and not all of it", async () => {
    const said = { errors: [{ code: "DENIED", message: `\u001b[2Jgo\u202e away\n${"x".repeat(5000)}` }] };
    const failure = await getting(() => Response.json(said, { status: 403 })).catch((error: Error) => error.message);
    expect(failure).toStartWith("cannot get manifest 1 of registry.example/team/app: registry.example does not allow it without a login");
    expect(failure).toContain("DENIED:  [2Jgo  away xxx");
    expect(failure.length).toBeLessThan(700);
  });

  test("E1 an error body may be anything, and endless", async () => {
    await expect(getting(() => new Response(stream([Buffer.alloc(65_536)], "endless"), { status: 404 }))).rejects.toThrow(
      "does not have it",
    );
  });

  test("E2 a warning is shown once", async () => {
    const warnings: string[] = [];
    const warned = answer(bytes, { warning: '299 - "this repository \\"moves\\"", 199 - "no"' });
    const { client: repository } = await client(warned, { options: { onWarning: (text) => warnings.push(text) } });
    await repository.getManifest("1");
    await repository.getManifest("1");
    expect(warnings).toEqual(['registry.example warns: this repository "moves"']);
  });
});

describe("P6 redirects", () => {
  const redirect =
    (location: string, status = 307): Host =>
    () =>
      new Response(null, { status, headers: { location } });

  test.each([
    ["http://registry.example/x", "leads from https to http"],
    ["file:///etc/passwd", "leads to a file: address"],
    ["https://", "leads nowhere"],
    [`https://registry.example/${"x".repeat(9000)}`, "leads nowhere"],
  ])("to %s is not followed", async (location, reason) => {
    await expect(getting(redirect(location))).rejects.toThrow(reason);
  });

  test("in a circle ends", async () => {
    await expect(getting(redirect("/v2/team/app/manifests/1"))).rejects.toThrow("more than 10 redirects");
  });

  test("content does not go to another host because a redirect says so", async () => {
    const { client: repository } = await client(redirect("https://evil.example/x"));
    const descriptor = { mediaType: manifestType, digest: sha256(bytes) as Described["digest"], size: bytes.length };
    await expect(repository.putManifest("1", { descriptor, bytes: Buffer.from(bytes) })).rejects.toThrow(
      "wants content to go to another host, evil.example",
    );
  });
});

describe("headManifest(), listTags(), deleteManifest()", () => {
  test("P4 404 is absence; an answer without type or digest, or 405, is made up for by a GET", async () => {
    const fake = new FakeRegistry({ before: ({ method }) => (method === "HEAD" ? new Response(null, { status: 405 }) : undefined) });
    const { digest } = fake.manifest("team/app", manifest, "1");
    const { client: repository } = await client(fake.host);
    expect((await repository.headManifest("1"))?.digest).toBe(digest);
    expect(await repository.headManifest("2")).toBeUndefined();
  });

  test("T1 pages are followed by their links, relative or absolute", async () => {
    const pages: Record<string, [string[], string?]> = {
      "": [["a", "b"], '</v2/team/app/tags/list?last=b>; rel="next"'],
      b: [["c"], "<https://registry.example/v2/team/app/tags/list?last=c>;rel=next"],
      c: [["d"]],
    };
    const { client: repository } = await client(({ url }) => {
      const [tags, link] = pages[url.searchParams.get("last") ?? ""] ?? [[]];
      return Response.json({ name: "team/app", tags }, { headers: link === undefined ? {} : { link } });
    });
    expect(await repository.listTags()).toEqual(["a", "b", "c", "d"]);
  });

  test("T1 links in a circle and links to other hosts are refused", async () => {
    const linking =
      (link: string): Host =>
      () =>
        Response.json({ tags: null }, { headers: { link } });
    const listing = async (link: string): Promise<string[]> => (await client(linking(link))).client.listTags();
    await expect(listing('</v2/team/app/tags/list?last=a>; rel="next"')).rejects.toThrow("its pages have no end");
    await expect(listing('<https://evil.example/x>; rel="next"')).rejects.toThrow("at another place, evil.example");
    expect(await listing('<https://evil.example/x>; rel="prev"')).toEqual([]);
  });

  test("K1 a registry that does not delete says so; what is not there is no error", async () => {
    expect(await (await client(() => fault(404, "MANIFEST_UNKNOWN"))).client.deleteManifest("1")).toBe(false);
    await expect((await client(() => fault(405, "UNSUPPORTED"))).client.deleteManifest("1")).rejects.toThrow("does not support that");
  });
});
