import { expect, test } from "bun:test";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { LayoutWriter, mediaTypes, type WrittenDescriptor } from "../../../test/support/images/layout-writer.ts";
import { tar } from "../../../test/support/images/tar-writer.ts";
import { loadFrom, scratchStore } from "../../../test/support/image-store.ts";
import { scratchDirectory } from "../../../test/support/scratch-directory.ts";
import { copyImage } from "../copy.ts";
import { openLayoutDirectory } from "../source/layout-directory.ts";
import { openImageSource } from "../source/open.ts";
import type { ImageTarget } from "../target.ts";
import { verifyLayout } from "../verify.ts";
import { openDockerArchiveTarget } from "./docker-archive.ts";
import { openOciArchiveTarget } from "./oci-archive.ts";
import { pathSink, streamSink, type ByteSink } from "./sink.ts";

const layers = [tar([{ name: "a", data: "lower" }]), tar([{ name: "b", data: Buffer.alloc(100_000, "upper").toString() }])];

function writeSource(directory: string): { writer: LayoutWriter; manifest: WrittenDescriptor } {
  const writer = new LayoutWriter(directory);
  const manifest = writer.image([writer.layer(layers[0] as Buffer, "gzip"), writer.layer(layers[1] as Buffer, "zstd")]);
  writer.tag(manifest, "v1");
  return { writer, manifest };
}

async function write(source: string, target: ImageTarget, name = "x:1"): Promise<void> {
  await using from = await openLayoutDirectory(source);
  await using to = target;
  const [image] = from.images;
  if (image === undefined) throw new Error("the source has no image");
  const copied = await copyImage(from, to, { root: image.descriptor, platforms: "all", referrers: true });
  await to.finish([{ names: [name], tag: undefined, descriptor: copied.descriptor }], copied.referrers);
}

type Make = (sink: ByteSink, spool: string) => ImageTarget;
const oci: Make = (sink) => openOciArchiveTarget(sink, "out.tar");
const docker: Make = (sink, spoolDirectory) => openDockerArchiveTarget(sink, { name: "out.tar", spoolDirectory });

test.each([
  ["OCI", oci],
  ["docker", docker],
] as const)("C10 W5 the %s archive is the same in a file and in a pipe, and every time", async (_name, make) => {
  using scratch = scratchDirectory();
  writeSource(join(scratch.path, "source"));
  const path = join(scratch.path, "out.tar");
  await write(join(scratch.path, "source"), make(await pathSink(path), scratch.path));
  const chunks: Uint8Array[] = [];
  const collect = streamSink((bytes) => {
    chunks.push(Uint8Array.from(bytes));
    return Promise.resolve();
  });
  await write(join(scratch.path, "source"), make(collect, scratch.path));
  expect(Buffer.concat(chunks)).toEqual(readFileSync(path));
  expect(readdirSync(scratch.path).toSorted()).toEqual(["out.tar", "source"]);
});

test("what takes the bytes of an archive may keep them", async () => {
  const kept: Uint8Array[] = [];
  const sink = streamSink((bytes) => {
    kept.push(bytes);
    return Promise.resolve();
  });
  const memory = Buffer.from("one");
  await sink.write(memory);
  memory.write("two");
  await sink.write(memory);
  expect(kept.map((bytes) => Buffer.from(bytes).toString())).toEqual(["one", "two"]);
});

test("A2 an OCI archive gives back the image with its digest and name", async () => {
  using store = await scratchStore();
  const { manifest } = writeSource(join(store.path, "source"));
  const path = join(store.path, "out.tar");
  await write(join(store.path, "source"), oci(await pathSink(path), store.path));
  const [image] = await loadFrom(store.layout, path);
  expect(image?.descriptor.digest as string).toBe(manifest.digest);
  expect(image?.names).toEqual(["x:1"]);
  expect(await verifyLayout(store.layout)).toEqual([]);
});

test("an OCI archive of one platform can be read as docker's, too: manifest.json names its files", async () => {
  using scratch = scratchDirectory();
  writeSource(join(scratch.path, "source"));
  const path = join(scratch.path, "out.tar");
  await write(join(scratch.path, "source"), oci(await pathSink(path), scratch.path));
  const { openArchiveIndex } = await import("../source/archive-index.ts");
  const archive = await openArchiveIndex(path);
  const [saved] = JSON.parse(Buffer.from(await archive.read("manifest.json", 1 << 20)).toString()) as {
    Config: string;
    RepoTags: string[];
    Layers: string[];
  }[];
  expect(saved?.RepoTags).toEqual(["x:1"]);
  for (const name of [saved?.Config ?? "", ...(saved?.Layers ?? [])]) expect(archive.find(name)).toBeDefined();
});

test("a docker archive gives back the image id, the name and the layers without their packing", async () => {
  using store = await scratchStore();
  writeSource(join(store.path, "source"));
  const path = join(store.path, "out.tar");
  await write(join(store.path, "source"), docker(await pathSink(path), store.path));
  const [before] = await loadFrom(store.layout, join(store.path, "source"));
  const [image] = await loadFrom(store.layout, path);
  expect(image?.id).toBe(before?.id as never);
  expect(image?.names).toEqual(["x:1"]);
  expect(image?.manifest.layers.map(({ digest }) => digest)).toEqual(before?.config.rootfs.diff_ids as never);
});

test("a docker archive takes no index and no artifact, and leaves no file", async () => {
  using scratch = scratchDirectory();
  const { writer, manifest } = writeSource(join(scratch.path, "source"));
  const path = join(scratch.path, "out.tar");
  writer.tag(writer.json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [manifest] }, mediaTypes.index), "v1");
  await expect(write(join(scratch.path, "source"), docker(await pathSink(path), scratch.path))).rejects.toThrow("choose one");
  writer.tag(writer.manifest(writer.blob(Buffer.from("{}"), "application/vnd.oci.empty.v1+json"), []), "v1");
  await expect(write(join(scratch.path, "source"), docker(await pathSink(path), scratch.path))).rejects.toThrow(
    "docker archives hold images",
  );
  expect(readdirSync(scratch.path)).toEqual(["source"]);
});

test("an archive that fails halfway leaves the old file as it was", async () => {
  using scratch = scratchDirectory();
  const { manifest } = writeSource(join(scratch.path, "source"));
  const path = join(scratch.path, "out.tar");
  await Bun.write(path, "old");
  const { layers: stored } = JSON.parse(readFileSync(join(scratch.path, "source/blobs", manifest.digest.replace(":", "/")), "utf8")) as {
    layers: WrittenDescriptor[];
  };
  await Bun.write(join(scratch.path, "source/blobs", (stored[1]?.digest ?? "").replace(":", "/")), Buffer.alloc(stored[1]?.size ?? 0));
  await expect(write(join(scratch.path, "source"), oci(await pathSink(path), scratch.path))).rejects.toThrow("its content has the digest");
  expect(readFileSync(path, "utf8")).toBe("old");
  expect(readdirSync(scratch.path).toSorted()).toEqual(["out.tar", "source"]);
});

test("referrers go into an OCI archive and come out of it", async () => {
  using scratch = scratchDirectory();
  const { writer, manifest } = writeSource(join(scratch.path, "source"));
  const config = writer.blob(Buffer.from("{}"), "application/vnd.oci.empty.v1+json");
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: "application/x-sbom",
    config,
    layers: [config],
    subject: manifest,
  };
  const sbom = { ...writer.json(document, mediaTypes.manifest), artifactType: "application/x-sbom" };
  const index = writer.json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [sbom] }, mediaTypes.index);
  const ref = (name: string): object => ({ annotations: { "org.opencontainers.image.ref.name": name } });
  writer.index([
    { ...manifest, ...ref("v1") },
    { ...index, ...ref(manifest.digest.replace(":", "-")) },
  ]);
  const path = join(scratch.path, "out.tar");
  await write(join(scratch.path, "source"), oci(await pathSink(path), scratch.path));
  await using source = await openImageSource(path, { spoolDirectory: scratch.path });
  expect(source.images).toHaveLength(1);
  expect((await source.referrers?.(manifest.digest as never))?.map(({ digest }) => digest as string)).toEqual([sbom.digest]);
});
