import { expect, test } from "bun:test";
import { loadNew, overwriteBlob, scratchStore } from "../../test/support/image-store.ts";
import { digestOf } from "#spec/digest.ts";
import { mediaTypes } from "#spec/media-type.ts";
import { encodeJson } from "#base/json.ts";
import { MemoryBlobStore } from "./blob/memory.ts";
import { collectGarbage, findReachable } from "./reachable.ts";
import { verifyLayout } from "./verify.ts";

const descriptor = (bytes: Uint8Array, mediaType: string) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });

test("M9 findReachable() walks through nested indexes to layers and the subject", async () => {
  const store = new MemoryBlobStore();
  const [config, layer, subject] = ["config", "layer", "subject"].map((text) => descriptor(Buffer.from(text), mediaTypes.layer));
  const put = async (document: object, mediaType: string) => {
    const bytes = encodeJson({ schemaVersion: 2, ...document });
    await store.put(bytes);
    return descriptor(bytes, mediaType);
  };
  const manifest = await put({ config, layers: [layer, layer], subject }, mediaTypes.manifest);
  const missing = descriptor(Buffer.from("missing"), mediaTypes.manifest);
  const inner = await put({ manifests: [manifest, missing] }, mediaTypes.index);
  const outer = await put({ manifests: [inner, manifest] }, mediaTypes.dockerIndex);
  const reached = await findReachable(store, [outer]);
  const expected = [config, layer, subject, manifest, missing, inner, outer].flatMap((each) => each?.digest ?? []);
  expect([...reached].sort()).toEqual(expected.sort());
});

test("collectGarbage() deletes what nothing reaches and nothing else", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  const { digest } = await store.layout.blobs.put(Buffer.from("rubbish"));
  expect(await collectGarbage(store.layout)).toEqual({ deleted: [digest], freedBytes: 7, waitingFor: [] });
  expect(await store.layout.blobs.size(a.id)).toBeNumber();
});

test("collectGarbage() waits for work under way", async () => {
  using store = await scratchStore();
  const lease = await store.layout.lease();
  const { digest } = await store.layout.blobs.put(Buffer.from("soon named"));
  expect(await collectGarbage(store.layout)).toEqual({ deleted: [], freedBytes: 0, waitingFor: [process.pid] });
  await lease.release();
  expect((await collectGarbage(store.layout)).deleted).toEqual([digest]);
});

test("collectGarbage() deletes nothing while a needed manifest is damaged", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  overwriteBlob(store.layout.path, a.descriptor.digest, Buffer.alloc(a.descriptor.size));
  await expect(collectGarbage(store.layout)).rejects.toThrow("cannot collect unused blobs: a needed document is damaged: cannot accept");
  expect(await store.layout.blobs.size(a.id)).toBeNumber();
});

test("loading and collecting at once never loses a blob of a named image", async () => {
  using store = await scratchStore();
  const collectThrice = async (): Promise<void> => {
    for (let n = 0; n < 3; n++) await collectGarbage(store.layout);
  };
  for (let n = 0; n < 10; n++) {
    await Promise.all([...["p", "q", "r"].map((text) => loadNew(store, { name: `${text}:1`, text: `${text}${n % 2}` })), collectThrice()]);
  }
  await collectGarbage(store.layout);
  expect(await verifyLayout(store.layout)).toEqual([]);
  expect((await store.layout.readIndex()).manifests).toHaveLength(6);
});
