import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadNew, overwriteBlob, scratchStore } from "../../test/support/image-store.ts";
import { encodeJson } from "#base/json.ts";
import { digestOf } from "#spec/digest.ts";
import { mediaTypes } from "#spec/media-type.ts";
import { verifyLayout } from "./verify.ts";

type Store = Awaited<ReturnType<typeof scratchStore>>;
const messages = async ({ layout }: Store): Promise<string[]> => (await verifyLayout(layout)).map(({ message }) => message);
/** Compares text by text; a pattern stands for a text that it matches. */
function expectMessages(actual: readonly string[], ...expected: readonly (string | RegExp)[]): void {
  expect(actual.map((text, n) => (expected[n] instanceof RegExp && expected[n].test(text) ? String(expected[n]) : text))).toEqual(
    expected.map(String),
  );
}

const fileOf = ({ layout }: Store, digest: string): string => join(layout.path, "blobs", digest.replace(":", "/"));

test("a clean store has no problems", async () => {
  using store = await scratchStore();
  expect(await messages(store)).toEqual([]);
  await loadNew(store, { name: "a:1", text: "a" });
  await loadNew(store, { name: "b:1", text: "b" });
  expect(await messages(store)).toEqual([]);
});

test("L3 a changed blob, a missing one and one of another size are found, each once", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  const layer = a.manifest.layers[0]?.digest as string;
  const good = readFileSync(fileOf(store, layer));
  overwriteBlob(store.layout.path, layer, Buffer.alloc(good.length));
  expectMessages(await messages(store), new RegExp(`^cannot accept ${layer}: its content has the digest sha256:`));
  overwriteBlob(store.layout.path, layer, "x");
  expectMessages(
    await messages(store),
    /its content has the digest/,
    `${a.descriptor.digest} refers to ${layer} with ${good.length} bytes, but it has 1`,
  );
  rmSync(fileOf(store, layer));
  expect(await messages(store)).toEqual([`${a.descriptor.digest} refers to ${layer}, which is not here`]);
});

test("documents that contradict each other are found", async () => {
  using store = await scratchStore();
  const { layout } = store;
  const a = await loadNew(store, { name: "a:1", text: "a" });
  const bytes = encodeJson({ schemaVersion: 2, config: a.manifest.config, layers: [] });
  await layout.blobs.put(bytes);
  await layout.updateIndex((entries) => [...entries, { mediaType: mediaTypes.manifest, digest: digestOf(bytes), size: bytes.length }]);
  expect(await messages(store)).toEqual([`cannot use image ${digestOf(bytes)}: it has 0 layers, but its config lists 1 diff_ids`]);
});

test("D8 embedded data must be the content", async () => {
  using store = await scratchStore();
  const { layout } = store;
  await loadNew(store, { name: "a:1", text: "a" });
  await layout.updateIndex((entries) => entries.map((entry) => ({ ...entry, data: "e30=" })));
  expectMessages(await messages(store), /^cannot accept sha256:\w+: it has 2 bytes, not \d+ bytes$/);
});

test("names that occur twice, files with wrong names and leftovers are found", async () => {
  using store = await scratchStore();
  const { layout } = store;
  await loadNew(store, { name: "a:1", text: "a" });
  await layout.updateIndex((entries) => [...entries, ...entries]);
  writeFileSync(join(layout.path, "blobs/sha256/NOTADIGEST"), "");
  writeFileSync(join(layout.path, "blobs/file"), "");
  const lease = await layout.lease();
  const namespace = readdirSync(join(layout.path, "tmp"))[0]?.split("-")[3];
  await lease.release();
  writeFileSync(join(layout.path, `tmp/4194305-1-${namespace}-0`), "");
  expect((await messages(store)).sort()).toEqual(
    [
      `${layout.path}/blobs/file is not a directory`,
      `${layout.path}/blobs/sha256/NOTADIGEST has no digest for a name: sha256 needs 64 lower-case hexadecimal digits`,
      'index.json has several entries of the name "a:1"',
      `${layout.path}/tmp/4194305-1-${namespace}-0 was left behind by a process that ended`,
    ].sort(),
  );
});

test("L2 damaged layout files are problems, not exceptions", async () => {
  using store = await scratchStore();
  writeFileSync(join(store.layout.path, "oci-layout"), '{"imageLayoutVersion":"9"}');
  writeFileSync(join(store.layout.path, "index.json"), "{");
  rmSync(join(store.layout.path, "blobs"), { recursive: true });
  expectMessages(
    await messages(store),
    /only "1\.0\.0" can be read/,
    `${store.layout.path}/blobs is not a directory`,
    /^cannot read index\.json/,
  );
  mkdirSync(join(store.layout.path, "blobs"));
  rmSync(join(store.layout.path, "index.json"));
  expect(await messages(store)).toHaveLength(2);
});

test("M1 D1: each fault of a manifest is a problem with its place, and what can be read of it is still followed", async () => {
  using store = await scratchStore();
  const { layout } = store;
  const a = await loadNew(store, { name: "a:1", text: "a" });
  const missing = { ...a.manifest.config, digest: digestOf(Buffer.from("missing")) };
  const bytes = encodeJson({
    schemaVersion: 1,
    config: a.manifest.config,
    layers: [{ ...missing, size: "x" }, missing],
    annotations: { n: 1 },
  });
  await layout.blobs.put(bytes);
  await layout.updateIndex((entries) => [...entries, { mediaType: mediaTypes.manifest, digest: digestOf(bytes), size: bytes.length }]);
  const problems = await verifyLayout(layout);
  expect(problems.map(({ pointer, digest }) => [pointer, digest as string])).toEqual([
    ["/schemaVersion", digestOf(bytes)],
    ["/layers/0/size", digestOf(bytes)],
    ["/annotations/n", digestOf(bytes)],
    ["/layers/1", missing.digest],
  ]);
});

test("M10: a deep check compares unpacked layers with the config", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  const { layout } = store;
  const config = JSON.parse(readFileSync(fileOf(store, a.id), "utf8")) as { rootfs: { diff_ids: string[] } };
  config.rootfs.diff_ids = [`sha256:${"1".repeat(64)}`];
  const wrong = encodeJson(config);
  const { digest, size } = await layout.blobs.put(wrong);
  const manifest = encodeJson({ schemaVersion: 2, config: { ...a.manifest.config, digest, size }, layers: a.manifest.layers });
  await layout.blobs.put(manifest);
  await layout.updateIndex((entries) => [
    ...entries,
    { mediaType: mediaTypes.manifest, digest: digestOf(manifest), size: manifest.length },
  ]);
  expect(await verifyLayout(layout)).toEqual([]);
  const problems = await verifyLayout(layout, { isDeep: true });
  expect(problems.at(-1)?.pointer).toBe("/rootfs/diff_ids/0");
});

test("L4: blobs may be missing when that is asked for", async () => {
  using store = await scratchStore();
  const a = await loadNew(store, { name: "a:1", text: "a" });
  rmSync(fileOf(store, a.manifest.layers[0]?.digest as string));
  expect(await verifyLayout(store.layout)).toHaveLength(1);
  expect(await verifyLayout(store.layout, { mayLackBlobs: true })).toEqual([]);
});
