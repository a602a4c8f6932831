import { expect, test } from "bun:test";
import { join } from "node:path";
import { LayoutWriter, mediaTypes, type WrittenDescriptor } from "../../test/support/images/layout-writer.ts";
import { tar } from "../../test/support/images/tar-writer.ts";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";
import { parseIndex, type Descriptor, type Index } from "#spec/image.ts";
import { emptyBlob, makeArtifact } from "./artifact.ts";
import { DirectoryBlobStore } from "./blob/directory.ts";
import { editIndex, makeIndex, type IndexEdit, type MadeDocument } from "./make-index.ts";

interface Fixture {
  readonly writer: LayoutWriter;
  readonly store: DirectoryBlobStore;
  readonly image: (architecture: string, variant?: string) => Descriptor;
}

async function withStore(body: (fixture: Fixture) => Promise<void>): Promise<void> {
  using scratch = scratchDirectory();
  const writer = new LayoutWriter(join(scratch.path, "layout"));
  const image = (architecture: string, variant?: string): Descriptor =>
    writer.image([writer.layer(tar([{ name: "file", data: architecture }]))], {
      architecture,
      ...(variant === undefined ? {} : { variant }),
    }) as unknown as Descriptor;
  await body({ writer, image, store: new DirectoryBlobStore(writer.directory) });
}

const parsed = ({ bytes }: MadeDocument): Index => parseIndex(bytes, "it");
const platformsOf = (made: MadeDocument): unknown[] =>
  parsed(made).manifests.map(({ platform }) => JSON.parse(JSON.stringify(platform)) as unknown);
const edit = (change: Partial<IndexEdit>): IndexEdit => ({ annotations: {}, platform: {}, ...change });

test("I1 D10: an index of images says the platforms that their configs say", async () => {
  await withStore(async ({ image, store }) => {
    const images = [image("amd64"), image("arm", "v7")];
    const made = await makeIndex(store, images, { a: "b" });
    expect(platformsOf(made)).toEqual([
      { os: "linux", architecture: "amd64" },
      { os: "linux", architecture: "arm", variant: "v7" },
    ]);
    expect(parsed(made).manifests.map(({ digest }) => digest)).toEqual(images.map(({ digest }) => digest));
    expect([parsed(made).annotations, parsed(made).mediaType]).toEqual([{ a: "b" }, mediaTypes.index]);
  });
});

test("an index among the images gives its entries; one image twice is one entry", async () => {
  await withStore(async ({ image, store, writer }) => {
    const [amd64, arm64] = [image("amd64"), image("arm64")];
    const inner = await makeIndex(store, [amd64]);
    writer.blob(inner.bytes, mediaTypes.index);
    expect(parsed(await makeIndex(store, [inner.descriptor, arm64, arm64])).manifests.map(({ digest }) => digest)).toEqual([
      amd64.digest,
      arm64.digest,
    ]);
  });
});

test("two images for one platform are refused", async () => {
  await withStore(async ({ image, store, writer }) => {
    const other = writer.image([writer.layer(tar([{ name: "other" }]))]) as unknown as Descriptor;
    await expect(makeIndex(store, [image("amd64"), other])).rejects.toThrow("both are for linux/amd64");
  });
});

test("C2 J2: a changed index keeps what this version does not know", async () => {
  await withStore(async ({ image, store, writer }) => {
    const entry = { ...(image("arm64") as unknown as WrittenDescriptor), platform: { os: "linux", architecture: "arm64" }, "x-entry": 1 };
    const index = writer.json(
      { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [entry], "x-index": 2 },
      mediaTypes.index,
    ) as unknown as Descriptor;
    const made = await editIndex(store, index, edit({ entry: "linux/arm64", platform: { variant: "v8" }, annotations: { a: "b" } }));
    expect(JSON.parse(Buffer.from(made.bytes).toString())).toEqual({
      schemaVersion: 2,
      mediaType: mediaTypes.index,
      manifests: [{ ...entry, platform: { os: "linux", architecture: "arm64", variant: "v8" }, annotations: { a: "b" } }],
      "x-index": 2,
    });
  });
});

test("entries are found by digest and platform, and removed", async () => {
  await withStore(async ({ image, store, writer }) => {
    const [amd64, arm64] = [image("amd64"), image("arm64")];
    const made = await makeIndex(store, [amd64, arm64]);
    writer.blob(made.bytes, mediaTypes.index);
    expect(
      parsed(await editIndex(store, made.descriptor, edit({ entry: amd64.digest.slice(7, 19), isRemoval: true }))).manifests.map(
        ({ digest }) => digest,
      ),
    ).toEqual([arm64.digest]);
    await expect(editIndex(store, made.descriptor, edit({ entry: "linux/s390x" }))).rejects.toThrow("no entry is called so");
    await expect(editIndex(store, amd64, edit({}))).rejects.toThrow("cannot change");
    expect(parsed(await editIndex(store, made.descriptor, edit({ annotations: { x: "y" } }))).annotations).toEqual({ x: "y" });
  });
});

test("M6 M7: an artifact has the empty config, its type and its subject, and an empty layer when it has no files", async () => {
  await withStore(async ({ image }) => {
    const subject = image("amd64");
    const { bytes, descriptor } = makeArtifact({ artifactType: "application/x-sig", files: [], annotations: { a: "b" }, subject });
    const document = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
    const empty = { mediaType: "application/vnd.oci.empty.v1+json", digest: emptyBlob.descriptor.digest, size: 2, data: "e30=" };
    expect(document).toEqual({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: "application/x-sig",
      config: empty,
      layers: [empty],
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
      annotations: { a: "b" },
    });
    expect([descriptor.artifactType, descriptor.annotations]).toEqual(["application/x-sig", { a: "b" }]);
    expect(empty.digest as string).toBe("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
  });
});
