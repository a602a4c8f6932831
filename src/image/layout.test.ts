import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inProcessLock } from "../../test/support/in-process-lock.ts";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";
import { digestOf } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { mediaTypes } from "#spec/media-type.ts";
import { putName } from "./entries.ts";
import { openLayout } from "./layout.ts";

const image = (text: string): Descriptor => ({ mediaType: mediaTypes.manifest, digest: digestOf(Buffer.from(text)), size: 1 });

test("openLayout() makes an image layout that says what it is", async () => {
  using scratch = scratchDirectory();
  const layout = await openLayout(join(scratch.path, "a/b"), inProcessLock());
  expect(JSON.parse(readFileSync(join(layout.path, "oci-layout"), "utf8"))).toEqual({ imageLayoutVersion: "1.0.0" });
  expect(JSON.parse(readFileSync(join(layout.path, "index.json"), "utf8"))).toEqual({
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [],
  });
  expect(existsSync(join(layout.path, "blobs"))).toBe(true);
  expect((await layout.readIndex()).manifests).toEqual([]);
});

test("openLayout() opens what is there and finishes what a crash left half made", async () => {
  using scratch = scratchDirectory();
  const first = await openLayout(scratch.path, inProcessLock());
  await first.updateIndex((entries) => putName(entries, image("a"), "a:1"));
  expect((await (await openLayout(scratch.path, inProcessLock())).readIndex()).manifests).toHaveLength(1);
  using half = scratchDirectory();
  mkdirSync(join(half.path, "blobs"));
  expect((await (await openLayout(half.path, inProcessLock())).readIndex()).manifests).toEqual([]);
});

test("L1 openLayout() refuses a directory of something else and layouts of other versions", async () => {
  using scratch = scratchDirectory();
  writeFileSync(join(scratch.path, "precious"), "");
  await expect(openLayout(scratch.path, inProcessLock())).rejects.toThrow(
    `cannot make an image layout at ${scratch.path}: it holds "precious"`,
  );
  expect(readdirSync(scratch.path)).toEqual(["precious"]);
  using other = scratchDirectory();
  writeFileSync(join(other.path, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}');
  await expect(openLayout(other.path, inProcessLock())).rejects.toThrow('/imageLayoutVersion: it is "2.0.0"; only "1.0.0" can be read');
});

test("updateIndex() keeps fields that nobody here knows", async () => {
  using scratch = scratchDirectory();
  const layout = await openLayout(scratch.path, inProcessLock());
  const known = { ...image("a"), "x-entry": { deep: [1] } };
  writeFileSync(
    join(scratch.path, "index.json"),
    JSON.stringify({ schemaVersion: 2, "x-top": 1, manifests: [known], annotations: { a: "b" } }),
  );
  await layout.updateIndex((entries) => putName(entries, image("b"), "b:1"));
  const after = JSON.parse(readFileSync(join(scratch.path, "index.json"), "utf8")) as {
    "x-top": unknown;
    annotations: unknown;
    manifests: Record<string, unknown>[];
  };
  expect(after["x-top"]).toBe(1);
  expect(after.annotations).toEqual({ a: "b" });
  expect(after.manifests[0] as unknown).toEqual(known);
  expect(after.manifests[1]?.["annotations"]).toEqual({ "org.opencontainers.image.ref.name": "b:1" });
});

test("updateIndex() of fifty callers at once loses none of their names", async () => {
  using scratch = scratchDirectory();
  const layout = await openLayout(scratch.path, inProcessLock());
  await Promise.all(Array.from({ length: 50 }, (_, n) => layout.updateIndex((entries) => putName(entries, image(String(n)), `n:${n}`))));
  expect((await layout.readIndex()).manifests).toHaveLength(50);
  expect(readdirSync(scratch.path).sort()).toEqual(["blobs", "index.json", "oci-layout", "tmp"]);
});

test("updateIndex() whose change fails leaves index.json as it was, and the lock free", async () => {
  using scratch = scratchDirectory();
  const layout = await openLayout(scratch.path, inProcessLock());
  const before = readFileSync(join(scratch.path, "index.json"), "utf8");
  await expect(layout.updateIndex(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(readFileSync(join(scratch.path, "index.json"), "utf8")).toBe(before);
  await layout.updateIndex((entries) => putName(entries, image("a"), "a:1"));
});

test("a damaged index.json is an error that names it, and stays", async () => {
  using scratch = scratchDirectory();
  const layout = await openLayout(scratch.path, inProcessLock());
  writeFileSync(join(scratch.path, "index.json"), '{"schemaVersion":2,"manifests":[{"size":-1}]}');
  await expect(layout.readIndex()).rejects.toThrow(`cannot read index.json of ${scratch.path}: /manifests/0/`);
  await expect(layout.updateIndex(() => [])).rejects.toThrow("cannot read index.json");
});

test("leases are known while they last", async () => {
  using scratch = scratchDirectory();
  const layout = await openLayout(scratch.path, inProcessLock());
  const [one, two] = [await layout.lease(), await layout.lease()];
  expect(layout.listLeaseHolders()).toEqual([process.pid, process.pid]);
  await one.release();
  await one.release();
  await two.release();
  expect(layout.listLeaseHolders()).toEqual([]);
});

test("openLayout() removes what ended processes left and keeps work under way", async () => {
  using scratch = scratchDirectory();
  const layout = await openLayout(scratch.path, inProcessLock());
  const lease = await layout.lease();
  const namespace = readdirSync(join(scratch.path, "tmp"))[0]?.split("-")[3];
  writeFileSync(join(scratch.path, "tmp", `4194305-1-${namespace}-0`), "half a blob");
  writeFileSync(join(scratch.path, "tmp", `lease-4194305-1-${namespace}-0`), "");
  writeFileSync(join(scratch.path, `.index.json.4194305-1-${namespace}-0`), "");
  await openLayout(scratch.path, inProcessLock());
  expect(readdirSync(join(scratch.path, "tmp"))).toHaveLength(1);
  expect(readdirSync(scratch.path).sort()).toEqual(["blobs", "index.json", "oci-layout", "tmp"]);
  await lease.release();
});
