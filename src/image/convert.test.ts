import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LayoutWriter, mediaTypes, type WrittenDescriptor } from "../../test/support/images/layout-writer.ts";
import { tar } from "../../test/support/images/tar-writer.ts";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";
import { manifestLimits, parseManifestOrIndex, type Descriptor, type Manifest } from "#spec/image.ts";
import { readBlob } from "./blob/store.ts";
import { convertImage, type Conversion, type ConvertedImage } from "./convert.ts";
import { readImage } from "./image.ts";
import { compressLayer } from "./layer/compress.ts";
import { decompressLayer } from "./layer/decompress.ts";
import { openLayoutDirectory } from "./source/layout-directory.ts";

const archive = tar([{ name: "file", data: Buffer.alloc(200_000, "some text ").toString() }]);

async function withImage(
  body: (fixture: { writer: LayoutWriter; convert: (conversion: Conversion) => Promise<ConvertedImage> }) => Promise<void>,
): Promise<void> {
  using scratch = scratchDirectory();
  const writer = new LayoutWriter(join(scratch.path, "source"));
  const convert = async (conversion: Conversion): Promise<ConvertedImage> => {
    const source = await openLayoutDirectory(writer.directory);
    return await convertImage(source, source.images[0]?.descriptor as Descriptor, { conversion, scratch: join(scratch.path, "scratch") });
  };
  await body({ writer, convert });
}

async function manifestOf({ source, root }: ConvertedImage): Promise<Manifest> {
  return parseManifestOrIndex(await readBlob(source, root, manifestLimits.maxBytes), root.mediaType, "it") as Manifest;
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

test.each([
  ["gzip", "zstd"],
  ["zstd", "gzip"],
  ["none", "zstd"],
  ["gzip", "none"],
] as const)("R1: a layer of %s becomes %s with the same content, config and other fields of the manifest", async (from, to) => {
  await withImage(async ({ writer, convert }) => {
    const layer = writer.layer(archive, from);
    const config = writer.json(
      { created: "2023-11-14T22:13:20Z", architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [layer.diffId] } },
      mediaTypes.config,
    );
    const document = {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config,
      layers: [{ ...layer.descriptor, annotations: { kept: "yes", "io.github.containers.zstd-chunked.manifest-position": "1:2:3:1" } }],
      annotations: { a: "b" },
      "x-unknown": [1],
    };
    writer.tag(writer.json(document, mediaTypes.manifest), "v1");
    const converted = await convert({ compression: to });
    const manifest = await manifestOf(converted);
    const [made] = manifest.layers;
    expect(await bytesOf(decompressLayer(converted.source.open(made?.digest as never), made?.mediaType ?? ""))).toEqual(archive);
    expect(made?.annotations).toEqual({ kept: "yes" });
    expect(manifest.config.digest as string).toBe(config.digest);
    const raw = JSON.parse(Buffer.from(await readBlob(converted.source, converted.root, 1 << 20)).toString()) as Record<string, unknown>;
    expect(raw["x-unknown"]).toEqual([1]);
    expect(raw["annotations"]).toEqual({ a: "b" });
    expect((await readImage(converted.source, converted.root)).config.rootfs.diff_ids).toEqual([layer.diffId] as never);
  });
});

test("J2: an image that is in the wanted form stays as it is", async () => {
  await withImage(async ({ writer, convert }) => {
    const manifest = writer.image([writer.layer(archive)]);
    writer.tag(manifest, "v1");
    expect((await convert({ compression: "gzip", format: "oci" })).root.digest as string).toBe(manifest.digest);
  });
});

test("T2: Docker's media types and back give the first digest again", async () => {
  await withImage(async ({ writer, convert }) => {
    const manifest = writer.image([writer.layer(archive)]);
    writer.tag(manifest, "v1");
    const converted = await convert({ format: "docker" });
    const { config, layers } = await manifestOf(converted);
    expect([converted.root.mediaType, config.mediaType, layers[0]?.mediaType]).toEqual([
      "application/vnd.docker.distribution.manifest.v2+json",
      "application/vnd.docker.container.image.v1+json",
      "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ]);
    writer.tag(writer.blob(await readBlob(converted.source, converted.root, 1 << 20), converted.root.mediaType), "v1");
    expect((await convert({ format: "oci" })).root.digest as string).toBe(manifest.digest);
  });
});

test("an index is converted with all that it lists", async () => {
  await withImage(async ({ writer, convert }) => {
    const child = { ...writer.image([writer.layer(archive)]), platform: { os: "linux", architecture: "amd64" } };
    writer.tag(writer.json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [child] }, mediaTypes.index), "v1");
    const { root, source } = await convert({ format: "docker" });
    const { manifests } = JSON.parse(Buffer.from(await readBlob(source, root, 1 << 20)).toString()) as { manifests: WrittenDescriptor[] };
    expect(root.mediaType).toBe("application/vnd.docker.distribution.manifest.list.v2+json");
    expect(manifests[0]?.["platform"]).toEqual({ os: "linux", architecture: "amd64" });
    expect(manifests[0]?.mediaType).toBe("application/vnd.docker.distribution.manifest.v2+json");
  });
});

test("M10: a layer that is not what the config says is not passed on in another packing", async () => {
  await withImage(async ({ writer, convert }) => {
    writer.tag(writer.image([{ ...writer.layer(archive), diffId: `sha256:${"0".repeat(64)}` }]), "v1");
    await expect(convert({ compression: "zstd" })).rejects.toThrow("its content has the digest");
  });
});

test("Docker's format has no artifacts", async () => {
  await withImage(async ({ writer, convert }) => {
    writer.tag(writer.manifest(writer.blob(Buffer.from("{}"), "application/vnd.oci.empty.v1+json"), []), "v1");
    await expect(convert({ format: "docker" })).rejects.toThrow("cannot convert to Docker's format");
    expect((await convert({ compression: "zstd" })).root.mediaType).toBe(mediaTypes.manifest);
  });
});

const present = (["gzip", "zstd"] as const).filter((program) => Bun.which(program) !== null);

test.each(present)("%s of no bytes, and of more than one piece, can be read by others", async (compression) => {
  using scratch = scratchDirectory();
  const many = Buffer.alloc((9 << 20) + 17, Buffer.from(Array.from({ length: 1021 }, (_, at) => at % 256)));
  for (const bytes of [Buffer.alloc(0), many]) {
    const path = join(scratch.path, "packed");
    const whole = {
      async *[Symbol.asyncIterator]() {
        yield bytes;
      },
    };
    const packed = await bytesOf(compressLayer(whole, compression));
    await Bun.write(path, packed);
    const again = {
      async *[Symbol.asyncIterator]() {
        yield packed;
      },
    };
    const mediaType = compression === "gzip" ? mediaTypes.gzip : mediaTypes.zstd;
    expect(Buffer.compare(await bytesOf(decompressLayer(again, mediaType)), bytes)).toBe(0);
    const unpacked = Bun.spawnSync([compression, "-dc"], { stdin: readFileSync(path) });
    expect(unpacked.exitCode).toBe(0);
    expect(Buffer.compare(unpacked.stdout, bytes)).toBe(0);
  }
});
