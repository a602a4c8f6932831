import { expect, test } from "bun:test";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LayoutWriter, mediaTypes, type WrittenDescriptor } from "../../test/support/images/layout-writer.ts";
import { tar } from "../../test/support/images/tar-writer.ts";
import { loadNew, scratchStore } from "../../test/support/image-store.ts";
import { copyImage } from "./copy.ts";
import { getEntry, listImages } from "./images.ts";
import { nameOf, openLayout } from "./layout.ts";
import { pruneImages, removeImage, tagImage, untagImage } from "./removal.ts";
import { openLayoutDirectory } from "./source/layout-directory.ts";
import { openLayoutTarget } from "./target/layout.ts";
import { verifyLayout } from "./verify.ts";

type Store = Awaited<ReturnType<typeof scratchStore>>;
const namesIn = async ({ layout }: Store): Promise<(string | undefined)[]> => (await layout.readIndex()).manifests.map(nameOf);

async function countBlobs({ layout }: Store): Promise<number> {
  let count = 0;
  for (const _digest of await layout.blobs.list()) count++;
  return count;
}

/** An image with a signature, in the store under `name`. */
async function copySigned(store: Store, name: string): Promise<WrittenDescriptor> {
  const writer = new LayoutWriter(join(store.path, "signed"));
  const subject = writer.image([writer.layer(tar([{ name: "signed", data: name }]))]);
  const config = writer.blob(Buffer.from("{}"), "application/vnd.oci.empty.v1+json");
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: "application/x-sig",
    config,
    layers: [config],
    subject,
  };
  const signature = { ...writer.json(document, mediaTypes.manifest), artifactType: "application/x-sig" };
  const list = writer.json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [signature] }, mediaTypes.index);
  const named = (text: string): object => ({ annotations: { "org.opencontainers.image.ref.name": text } });
  writer.index([
    { ...subject, ...named("v1") },
    { ...list, ...named(subject.digest.replace(":", "-")) },
  ]);
  await using source = await openLayoutDirectory(writer.directory);
  await using target = await openLayoutTarget(store.layout, { kind: "store" });
  const copied = await copyImage(source, target, { root: source.images[0]?.descriptor as never, platforms: "all", referrers: true });
  await target.finish([{ names: [name], tag: undefined, descriptor: copied.descriptor }], copied.referrers);
  return subject;
}

test("the list of an image's referrers does not keep the image, and goes with it", async () => {
  using store = await scratchStore();
  await copySigned(store, "x:1");
  expect(await countBlobs(store)).toBe(6);
  expect((await listImages(store.layout)).others.map(({ kind }) => kind)).toEqual(["referrers"]);
  await removeImage(store.layout, "x:1");
  expect(await namesIn(store)).toEqual([]);
  expect(await countBlobs(store)).toBe(0);
  expect(await verifyLayout(store.layout)).toEqual([]);
});

test("untagging leaves an image without a name, and pruning takes it", async () => {
  using store = await scratchStore();
  await loadNew(store, { name: "x:1", text: "x" });
  await loadNew(store, { name: "y:1", text: "y" });
  expect(await untagImage(store.layout, "x:1")).toBe("x:1");
  expect(new Set(await namesIn(store))).toEqual(new Set(["y:1", undefined]));
  const planned = await pruneImages(store.layout, { isDryRun: true });
  expect(await countBlobs(store)).toBe(6);
  const pruned = await pruneImages(store.layout);
  expect([pruned.images, pruned.blobs.toSorted(), pruned.freedBytes]).toEqual([
    planned.images,
    planned.blobs.toSorted(),
    planned.freedBytes,
  ]);
  expect(await namesIn(store)).toEqual(["y:1"]);
  expect(await countBlobs(store)).toBe(3);
});

test("M8 pruning all takes what no container uses, and leaves artifacts with names", async () => {
  using store = await scratchStore();
  const used = await loadNew(store, { name: "used:1", text: "used" });
  await loadNew(store, { name: "free:1", text: "free" });
  const writer = new LayoutWriter(join(store.path, "artifact"));
  const artifact = writer.manifest(writer.blob(Buffer.from("{}"), "application/vnd.oci.empty.v1+json"), []);
  writer.tag(artifact, "v1");
  await using source = await openLayoutDirectory(writer.directory);
  await using target = await openLayoutTarget(store.layout, { kind: "store" });
  const copied = await copyImage(source, target, { root: source.images[0]?.descriptor as never, platforms: "all" });
  await target.finish([{ names: ["chart:1"], tag: undefined, descriptor: copied.descriptor }]);
  await target[Symbol.asyncDispose]();
  const { images } = await pruneImages(store.layout, { all: true, keep: () => [used.descriptor] });
  expect(images.map(({ names }) => names)).toEqual([["free:1"]]);
  expect(new Set(await namesIn(store))).toEqual(new Set(["chart:1", "used:1"]));
});

test("what is kept is asked for once the lock is held: a container may have been made while it was waited for", async () => {
  using store = await scratchStore();
  const path = join(store.path, "waiting");
  let isHeld = false;
  const layout = await openLayout(path, async (work) => {
    isHeld = true;
    try {
      return await work();
    } finally {
      isHeld = false;
    }
  });
  const asked: boolean[] = [];
  const keep = (): [] => {
    asked.push(isHeld);
    return [];
  };
  const { descriptor } = await loadNew({ layout, path: store.path }, { name: "x:1", text: "x" });
  await pruneImages(layout, { all: false, keep });
  const check = (): Promise<void> => Promise.reject(new Error("a container uses it"));
  await expect(removeImage(layout, "x:1", { keep, check })).rejects.toThrow("a container uses it");
  expect((await getEntry(layout, "x:1")).descriptor.digest).toBe(descriptor.digest);
  await removeImage(layout, "x:1", { keep });
  expect(asked).toEqual([true, true]);
});

test("while somebody has a lease, pruning takes names and no blobs", async () => {
  using store = await scratchStore();
  await loadNew(store, { name: "x:1", text: "x" });
  await untagImage(store.layout, "x:1");
  const lease = await store.layout.lease();
  const { waitingFor, blobs } = await pruneImages(store.layout);
  expect([waitingFor, blobs]).toEqual([[process.pid], []]);
  await lease.release();
  expect((await pruneImages(store.layout)).blobs).toHaveLength(3);
});

test("a download that nobody went on with for a day is forgotten", async () => {
  using store = await scratchStore();
  const directory = join(store.layout.path, "tmp");
  mkdirSync(directory, { recursive: true });
  for (const name of ["partial-sha256-old", "partial-sha256-new"]) writeFileSync(join(directory, name), "x");
  utimesSync(join(directory, "partial-sha256-old"), 1, 1);
  await pruneImages(store.layout);
  const { readdirSync } = await import("node:fs");
  expect(readdirSync(directory)).toEqual(["partial-sha256-new"]);
});

test("sizes tell what images share", async () => {
  using store = await scratchStore();
  const writer = new LayoutWriter(join(store.path, "source"));
  const [base, top] = [
    writer.layer(tar([{ name: "base", data: "b".repeat(5000) }]), "none"),
    writer.layer(tar([{ name: "top", data: "t" }]), "none"),
  ];
  const [lower, upper] = [writer.image([base]), writer.image([base, top])];
  const named = (text: string): object => ({ annotations: { "org.opencontainers.image.ref.name": text } });
  writer.index([
    { ...lower, ...named("lower:1") },
    { ...upper, ...named("upper:1") },
  ]);
  const { loadFrom } = await import("../../test/support/image-store.ts");
  await loadFrom(store.layout, writer.directory);
  const { images } = await listImages(store.layout);
  for (const image of images) expect(image.sizeBytes - image.uniqueBytes).toBe(base.descriptor.size);
});

test("L7 an index and an artifact get and lose names like images", async () => {
  using store = await scratchStore();
  const subject = await copySigned(store, "x:1");
  await tagImage(store.layout, subject.digest, "y:1");
  expect((await namesIn(store)).includes("y:1")).toBe(true);
  await removeImage(store.layout, subject.digest, { force: true });
  expect(await namesIn(store)).toEqual([]);
});
