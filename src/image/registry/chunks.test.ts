/** Uploads in chunks: what is asked of them, and what registries do in between. */
import { describe, expect, test } from "bun:test";
import { FakeRegistry, sha256, type Described, type FakeOptions } from "../../../test/support/registry/fake.ts";
import { FakeNetwork, type SeenRequest } from "../../../test/support/registry/network.ts";
import { openRegistries } from "../../../test/support/registry/open.ts";
import { uploadBlob } from "./upload.ts";

/** A little more than three of the chunks that are sent when nobody says otherwise: 32 MiB. */
const content = Buffer.alloc((96 << 20) + 5, "chunk");
const blob: Described = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: sha256(content) as Described["digest"],
  size: content.length,
};
const mebibytes = (count: number): number => count << 20;

/** Uploads to a registry that takes no blob in one request. */
async function upload(options: FakeOptions): Promise<{ requests: SeenRequest[]; stored: number | undefined; pauses: number[] }> {
  const before = (request: SeenRequest): Response | undefined | Promise<Response | undefined> =>
    request.method === "PUT" && request.body.length > 0 ? new Response(null, { status: 413 }) : options.before?.(request);
  const fake = new FakeRegistry({ ...options, before });
  const network = new FakeNetwork().at("https://registry.example", fake.host);
  const client = await openRegistries(network).repository("registry.example/team/app");
  await uploadBlob(client, { blob, content });
  return { requests: network.requests, stored: fake.repository("team/app").blobs.get(blob.digest)?.length, pauses: network.pauses };
}

const ranges = (requests: readonly SeenRequest[]): string[] =>
  requests.filter(({ method }) => method === "PATCH").map(({ headers }) => headers.get("content-range") ?? "");

describe("U4 uploadBlob()", () => {
  test("U4 chunks are sent in order, each to the address that the answer before gave, none but the last smaller than the registry wants", async () => {
    const { requests, stored } = await upload({ minChunkBytes: mebibytes(40) });
    expect(stored).toBe(content.length);
    const [first, second, third] = [0, mebibytes(40), mebibytes(80)] as const;
    expect(ranges(requests)).toEqual([`${first}-${second - 1}`, `${second}-${third - 1}`, `${third}-${content.length - 1}`]);
    const states = requests.filter(({ url }) => url.searchParams.has("_state")).map(({ url }) => Number(url.searchParams.get("_state")));
    expect(states).toEqual(states.toSorted((a, b) => a - b));
    for (const { method, headers } of requests.filter(({ method }) => method === "PATCH"))
      expect([method, headers.get("content-type"), Number(headers.get("content-length")) > 0]).toEqual([
        "PATCH",
        "application/octet-stream",
        true,
      ]);
    const last = requests.at(-1);
    expect([last?.method, last?.url.searchParams.get("digest"), last?.body.length]).toEqual(["PUT", blob.digest, 0]);
  });

  test("U4 416: the upload goes on at the byte that the registry says it has", async () => {
    let patches = 0;
    const { requests, stored, pauses } = await upload({
      before: ({ method }) => (method === "PATCH" && ++patches === 3 ? new Response(null, { status: 416 }) : undefined),
    });
    expect(stored).toBe(content.length);
    expect(ranges(requests).map((range) => Number(range.split("-")[0]) / mebibytes(1))).toEqual([0, 32, 64, 64, 96]);
    expect(requests.filter(({ method, url }) => method === "GET" && url.pathname.includes("/uploads/")).length).toBe(2);
    expect(pauses.length).toBe(1);
  });

  test("U4 a registry that keeps part of a chunk only is sent the rest of it", async () => {
    const fake: { keep: number } = { keep: mebibytes(10) };
    const { stored, requests } = await upload({
      before: (request) => {
        if (request.method !== "PATCH" || fake.keep === 0) return undefined;
        Object.assign(request, { body: request.body.subarray(0, fake.keep) });
        fake.keep = 0;
        return undefined;
      },
    });
    expect(stored).toBe(content.length);
    expect(ranges(requests)[1]).toBe(`${mebibytes(10)}-${mebibytes(42) - 1}`);
  });
});
