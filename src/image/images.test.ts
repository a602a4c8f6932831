import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { loadNew, overwriteBlob, scratchStore } from "../../test/support/image-store.ts";
import { getImage, listImages } from "./images.ts";
import { removeImage, tagImage } from "./removal.ts";
import { nameOf } from "./layout.ts";
import { collectGarbage } from "./reachable.ts";
import { verifyLayout } from "./verify.ts";

type Store = Awaited<ReturnType<typeof scratchStore>>;
const namesIn = async ({ layout }: Store): Promise<(string | undefined)[]> => (await layout.readIndex()).manifests.map(nameOf);

async function blobsIn({ layout }: Store): Promise<string[]> {
  const digests: string[] = [];
  for (const digest of await layout.blobs.list()) digests.push(digest);
  return digests.sort();
}

test("listImages() shows images with all their names and the size of their blobs", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  await tagImage(store.layout, "a:1", "other/a");
  const b = await loadNew(store, { name: "b:1", text: "b" });
  const { images, unreadable } = await listImages(store.layout);
  expect(images.map((image) => [image.id, image.names])).toEqual([
    [a.id, ["a:1", "other/a:latest"]],
    [b.id, ["b:1"]],
  ]);
  const blobs = [a.descriptor, a.manifest.config, ...a.manifest.layers];
  expect(images[0]?.sizeBytes).toBe(blobs.reduce((sum, { size }) => sum + size, 0));
  expect(unreadable).toEqual([]);
});

test("listImages() shows the others when one image is damaged", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  await loadNew(store, { name: "b:1", text: "b" });
  rmSync(join(store.layout.path, "blobs", a.id.replace(":", "/")));
  const { images, unreadable } = await listImages(store.layout);
  expect(images.map(({ names }) => names)).toEqual([["b:1"]]);
  expect(unreadable.map(({ names, error }) => [names, error.message])).toEqual([[["a:1"], `cannot read ${a.id}: there is no such blob`]]);
});

test("getImage() finds by name, by name and digest, by id and by the beginning of an id", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:latest", text: "a" });
  await loadNew(store, { name: "b:latest", text: "b" });
  for (const text of [
    "a",
    "a:latest",
    `a@${a.descriptor.digest}`,
    a.id,
    a.id.slice(7),
    a.id.slice(0, 20),
    a.id.slice(7, 19),
    a.descriptor.digest,
  ]) {
    expect((await getImage(store.layout, text)).id).toBe(a.id);
  }
});

test("getImage() prefers a name to an id that begins so", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  const short = a.id.slice(7, 9);
  const b = await loadNew(store, { name: `${short}:latest`, text: "b" });
  expect((await getImage(store.layout, short)).id).toBe(b.id);
});

test("getImage() finds a short name behind a domain, unless two have it", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a.example/library/debian:12", text: "a" });
  await loadNew(store, { name: "a.example/team/tool:1", text: "b" });
  expect((await getImage(store.layout, "debian:12")).id).toBe(a.id);
  expect((await getImage(store.layout, "team/tool:1")).names).toEqual(["a.example/team/tool:1"]);
  await expect(getImage(store.layout, "tool:1")).rejects.toThrow(
    "cannot find image tool:1: there is none of that name or id (there is a.example/team/tool:1)",
  );
  await loadNew(store, { name: "b.example/debian:12", text: "c" });
  await expect(getImage(store.layout, "debian:12")).rejects.toThrow(
    "several have that name: a.example/library/debian:12, b.example/debian:12",
  );
  await expect(getImage(store.layout, "c.example/debian:12")).rejects.toThrow("there is none of that name or id");
});

test("getImage() says which ids are meant when several begin so, and what is near when none is", async () => {
  using store = await scratchStore();
  const firsts = new Map<string, string>();
  let twice: string | undefined;
  for (let n = 0; twice === undefined; n++) {
    const { id } = await loadNew(store, { name: `n${n}:1`, text: String(n) });
    if (firsts.has(id[7] as string)) twice = id[7];
    firsts.set(id[7] as string, id);
  }
  await expect(getImage(store.layout, `sha256:${twice}`)).rejects.toThrow("2 images have ids that begin so");
  await expect(getImage(store.layout, "n0")).rejects.toThrow("cannot find image n0: there is none of that name or id (there is n0:1)");
  await expect(getImage(store.layout, "Zebra zoo")).rejects.toThrow("cannot find image Zebra zoo: there is none of that name or id");
});

test("removing one of two names only takes the name, removing the last takes the image and its blobs", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  await tagImage(store.layout, "a:1", "b:1");
  expect(await removeImage(store.layout, "a:1")).toEqual({
    untagged: ["a:1"],
    removed: undefined,
    collection: { deleted: [], freedBytes: 0, waitingFor: [] },
  });
  const last = await removeImage(store.layout, "b:1");
  expect([last.untagged, last.removed]).toEqual([["b:1"], a.id]);
  expect(last.collection.deleted.length).toBe(3);
  expect(last.collection.freedBytes).toBe(a.descriptor.size + a.manifest.config.size + (a.manifest.layers[0]?.size as number));
  expect(await blobsIn(store)).toEqual([]);
  await expect(removeImage(store.layout, "b:1")).rejects.toThrow("cannot find image b:1");
});

test("removing by id takes an image with one name or none, and asks for force when it has several", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  await tagImage(store.layout, "a:1", "b:1");
  await expect(removeImage(store.layout, a.id)).rejects.toThrow(`cannot remove image ${a.id}: it has several names: a:1, b:1`);
  expect((await removeImage(store.layout, a.id, { force: true })).untagged).toEqual(["a:1", "b:1"]);
  const b = await loadNew(store, { name: "x:1", text: "b" });
  await loadNew(store, { name: "x:1", text: "c" });
  expect(await namesIn(store)).toEqual([undefined, "x:1"]);
  expect((await removeImage(store.layout, b.id.slice(7, 27))).removed).toBe(b.id);
  expect(await namesIn(store)).toEqual(["x:1"]);
});

test("removing keeps blobs that another image or a container needs", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "same" });
  await tagImage(store.layout, "a:1", "b:1");
  const c = await loadNew(store, { name: "c:1", text: "c" });
  await removeImage(store.layout, "c:1", { keep: () => [c.descriptor] });
  expect(await blobsIn(store)).toHaveLength(6);
  expect((await collectGarbage(store.layout)).deleted).toHaveLength(3);
  expect((await getImage(store.layout, "a:1")).id).toBe(a.id);
  expect(await verifyLayout(store.layout)).toEqual([]);
});

test("a damaged image can be removed by its name", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  overwriteBlob(store.layout.path, a.descriptor.digest, "{}");
  expect((await removeImage(store.layout, "a:1")).removed).toBe(a.descriptor.digest);
  expect(await blobsIn(store)).toEqual([]);
});

test("tagImage() moves a name and refuses one with a digest", async () => {
  using store = await scratchStore();
  await loadNew(store, { name: "a:1", text: "a" });
  const b = await loadNew(store, { name: "b:1", text: "b" });
  await tagImage(store.layout, b.id, "a:1");
  expect((await getImage(store.layout, "a:1")).id).toBe(b.id);
  expect(await namesIn(store)).toEqual(["b:1", undefined, "a:1"]);
  await expect(tagImage(store.layout, "a:1", `c@${b.id}`)).rejects.toThrow("a name must not have a digest");
});
