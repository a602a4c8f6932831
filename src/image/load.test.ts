import { expect, test } from "bun:test";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LayoutWriter, mediaTypes, configFor } from "../../test/support/images/layout-writer.ts";
import { tar } from "../../test/support/images/tar-writer.ts";
import { loadFrom, overwriteBlob, scratchStore, writeImage } from "../../test/support/image-store.ts";
import { hostPlatform, parsePlatform } from "#spec/platform.ts";
import { nameOf } from "./layout.ts";
import { verifyLayout } from "./verify.ts";

type Store = Awaited<ReturnType<typeof scratchStore>>;

const namesIn = async ({ layout }: Store): Promise<(string | undefined)[]> => (await layout.readIndex()).manifests.map(nameOf);

/** After any failure: no name, no lease, no temporary file, no blob that is not what it is called. */
async function expectUntouched(store: Store): Promise<void> {
  expect(await namesIn(store)).toEqual([]);
  expect(readdirSync(join(store.layout.path, "tmp"))).toEqual([]);
  expect(await verifyLayout(store.layout)).toEqual([]);
}

function writer(store: Store): LayoutWriter {
  return new LayoutWriter(join(store.path, "source"));
}

const layerOf = (text: string): Buffer => tar([{ name: "file", data: text }]);

test("loadImages() stores an image with all its blobs and tells what it is", async () => {
  using store = await scratchStore();
  const written = writeImage(join(store.path, "source"), { name: "a.example/x:1", text: "hello" });
  const seen = new Map<string, number>();
  const [image, ...others] = await loadFrom(store.layout, join(store.path, "source"), {
    progress: (blob, done) => void seen.set(blob.digest, done),
  });
  expect(others).toEqual([]);
  expect(image?.names).toEqual(["a.example/x:1"]);
  expect(image?.descriptor.digest as string).toBe(written.digest);
  expect(image?.id).toBe(image?.manifest.config.digest);
  expect(image?.chainIds).toEqual(image?.config.rootfs.diff_ids);
  expect(seen).toEqual(
    new Map(
      [image?.manifest.layers[0], image?.manifest.config, image?.descriptor].map((blob): [string, number] => [
        blob?.digest ?? "",
        blob?.size ?? 0,
      ]),
    ),
  );
  expect(await namesIn(store)).toEqual(["a.example/x:1"]);
  expect(await verifyLayout(store.layout)).toEqual([]);
});

test("loading again changes nothing and stores nothing", async () => {
  using store = await scratchStore();
  writeImage(join(store.path, "source"), { name: "x:1", text: "hello" });
  const [first] = await loadFrom(store.layout, join(store.path, "source"));
  const stored: string[] = [];
  const [second] = await loadFrom(store.layout, join(store.path, "source"), { progress: (blob) => void stored.push(blob.digest) });
  expect(second).toEqual(first);
  expect(stored).toEqual([]);
  expect(await namesIn(store)).toEqual(["x:1"]);
});

test("a name that is only a tag needs a name before it", async () => {
  using store = await scratchStore();
  writeImage(join(store.path, "source"), { name: "12", text: "hello" });
  const load = async (fallbackName?: string) =>
    (await loadFrom(store.layout, join(store.path, "source"), fallbackName === undefined ? {} : { fallbackName }))[0]?.names;
  expect(await load()).toEqual([]);
  expect(await load("debian")).toEqual(["debian:12"]);
  expect(await load("12")).toEqual(["12:latest"]);
});

test("names can be given and images chosen", async () => {
  using store = await scratchStore();
  const source = writer(store);
  const [one, two] = ["1", "2"].map((text) => source.image([source.layer(layerOf(text))]));
  const named = (name: string, image: object | undefined) => ({ ...image, annotations: { "org.opencontainers.image.ref.name": name } });
  source.index([named("x:1", one), named("y:2", two), named("z:2", two)]);
  const load = (options: object) => loadFrom(store.layout, source.directory, options);
  expect((await load({ only: ["y:2"], names: ["new"] })).map(({ names }) => names)).toEqual([["new:latest"]]);
  expect((await load({})).map(({ names }) => names)).toEqual([["x:1"], ["y:2", "z:2"]]);
  await expect(load({ only: ["q"] })).rejects.toThrow(`cannot find q:latest in the image layout ${source.directory}: it has x:1, y:2, z:2`);
  await expect(load({ names: ["new"] })).rejects.toThrow("it has 2 images: x:1, y:2, z:2");
  await expect(load({ only: ["x:1"], names: ["No"] })).rejects.toThrow("the path must be lower case");
  expect(await namesIn(store)).toEqual(["new:latest", "x:1", "y:2", "z:2"]);
});

test("I6 an index is followed to the image for the platform, past attestations", async () => {
  using store = await scratchStore();
  const source = writer(store);
  const arm = source.image([source.layer(layerOf("arm"))], { architecture: "arm64" });
  const amd = source.image([source.layer(layerOf("amd"))], { architecture: "amd64" });
  const inner = source.json(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.index,
      manifests: [
        { ...arm, platform: { os: "linux", architecture: "arm64" } },
        { ...amd, platform: { os: "linux", architecture: "amd64" } },
        { ...amd, digest: `sha256:${"0".repeat(64)}`, platform: { os: "unknown", architecture: "unknown" } },
      ],
    },
    mediaTypes.index,
  );
  source.tag(inner, "x:1");
  expect((await loadFrom(store.layout, source.directory, { platform: parsePlatform("arm64") }))[0]?.descriptor.digest as string).toBe(
    arm.digest,
  );
  expect((await loadFrom(store.layout, source.directory, { platform: parsePlatform("amd64") }))[0]?.descriptor.digest as string).toBe(
    amd.digest,
  );
  await expect(loadFrom(store.layout, source.directory, { platform: parsePlatform("s390x") })).rejects.toThrow(
    `cannot find an image for linux/s390x in ${inner.digest}: it has linux/arm64, linux/amd64, unknown/unknown`,
  );
});

test("an image for another platform than the one asked for is refused, but taken when nothing was asked for", async () => {
  using store = await scratchStore();
  const source = writer(store);
  source.tag(source.image([], { architecture: "mips64le" }), "x:1");
  await expect(loadFrom(store.layout, source.directory, { platform: hostPlatform() })).rejects.toThrow("is for linux/mips64le");
  await expectUntouched(store);
  expect((await loadFrom(store.layout, source.directory))[0]?.config.architecture).toBe("mips64le");
});

test("L6 one name of several images is taken for the best platform, and refused without platforms", async () => {
  using store = await scratchStore();
  const source = writer(store);
  const images = ["amd64", "arm64"].map((architecture) => ({
    ...source.image([], { architecture }),
    annotations: { "org.opencontainers.image.ref.name": "x:1" },
  }));
  source.index(images.map((image, n) => ({ ...image, platform: { os: "linux", architecture: ["amd64", "arm64"][n] } })));
  expect(
    (await loadFrom(store.layout, source.directory, { platform: parsePlatform("arm64") })).map(({ config }) => config.architecture),
  ).toEqual(["arm64"]);
  source.index(images);
  await expect(loadFrom(store.layout, source.directory)).rejects.toThrow("it has 2 images of the name x:1");
});

test("I2 entries that are no images are passed over", async () => {
  using store = await scratchStore();
  const source = writer(store);
  const image = source.image([source.layer(layerOf("x"))]);
  source.index([
    image,
    { ...image, mediaType: "application/x.signature" },
    { ...image, digest: `sha256:${"1".repeat(64)}`, artifactType: "application/x.sbom" },
  ]);
  expect(await loadFrom(store.layout, source.directory)).toHaveLength(1);
  source.index([]);
  await expect(loadFrom(store.layout, source.directory)).rejects.toThrow(
    `cannot load the image layout ${source.directory}: it has no images`,
  );
});

test("a layer that is not what its digest says is refused, and nothing of the image stays visible", async () => {
  using store = await scratchStore();
  const source = writer(store);
  const layer = source.layer(layerOf("good"));
  source.tag(source.image([layer]), "x:1");
  overwriteBlob(source.directory, layer.descriptor.digest, Buffer.alloc(layer.descriptor.size));
  await expect(loadFrom(store.layout, source.directory)).rejects.toThrow(
    `cannot accept ${layer.descriptor.digest}: its content has the digest`,
  );
  await expectUntouched(store);
  overwriteBlob(source.directory, layer.descriptor.digest, "short");
  await expect(loadFrom(store.layout, source.directory)).rejects.toThrow(
    `cannot load ${layer.descriptor.digest}: it has 5 bytes, not ${layer.descriptor.size} bytes`,
  );
  rmSync(join(source.directory, "blobs", layer.descriptor.digest.replace(":", "/")));
  await expect(loadFrom(store.layout, source.directory)).rejects.toThrow(
    `cannot load ${layer.descriptor.digest}: the image layout ${source.directory} does not have it`,
  );
  await expectUntouched(store);
});

test("one bad image among several keeps all of them from being named", async () => {
  using store = await scratchStore();
  const source = writer(store);
  const good = source.image([source.layer(layerOf("good"))]);
  source.index([good, { ...good, digest: `sha256:${"2".repeat(64)}` }]);
  await expect(loadFrom(store.layout, source.directory)).rejects.toThrow(`cannot read sha256:${"2".repeat(64)}: there is no such blob`);
  await expectUntouched(store);
});

test("hostile documents are refused with the place of the fault", async () => {
  using store = await scratchStore();
  const source = writer(store);
  const layer = source.layer(layerOf("x"));
  const config = source.json(configFor([layer.diffId]), mediaTypes.config);
  const manifestText = (text: string) => source.blob(Buffer.from(text), mediaTypes.manifest);
  const plain = JSON.stringify({ schemaVersion: 2, config, layers: [layer.descriptor] });
  const deep = `${"[".repeat(2000)}${"]".repeat(2000)}`;
  const cases: [ReturnType<typeof manifestText>, string][] = [
    [manifestText(plain.replace("{", '{"layers":[],')), 'the name "layers" occurs twice'],
    [manifestText(plain.replace("{", `{"deep":${deep},`)), "it is more than 32 levels deep"],
    [manifestText(plain.replace("{", '{"manifests":[],')), "/manifests: a manifest must not have it"],
    [manifestText(plain.replace("{", `{"mediaType":"${mediaTypes.index}",`)), "but what refers to it says"],
    [manifestText(plain.replaceAll(layer.descriptor.digest, "sha256:../../../etc/passwd")), "/layers/0/digest: "],
    [manifestText(plain.replace(`"size":${layer.descriptor.size}`, '"size":-1')), "/layers/0/size: it is -1, not a non-negative integer"],
    [manifestText("\0"), "a value is malformed at character 0"],
    [manifestText(""), "the text ends early"],
    [source.manifest(config, []), "it has 0 layers, but its config lists 1 diff_ids"],
    [source.manifest(config, [{ ...layer.descriptor, mediaType: "application/x.unknown" }]), 'is of the type "application/x.unknown"'],
    [source.manifest({ ...config, mediaType: "application/x.unknown" }, []), 'its config is of the type "application/x.unknown"'],
    [
      source.manifest({ ...config, size: config.size + 1 }, [layer.descriptor]),
      `cannot accept ${config.digest}: it has ${config.size} bytes, not ${config.size + 1} bytes`,
    ],
    [{ ...source.manifest(config, [layer.descriptor]), size: 2 ** 52 }, "bytes, not 4503599627370496 bytes"],
    [{ ...source.blob(Buffer.alloc((4 << 20) + 1, " "), mediaTypes.manifest) }, "it has 4194305 bytes, more than 4194304"],
  ];
  for (const [manifest, fault] of cases) {
    source.tag(manifest, "x:1");
    await expect(loadFrom(store.layout, source.directory)).rejects.toThrow(fault);
    await expectUntouched(store);
  }
});

test("indexes in indexes end somewhere", async () => {
  using store = await scratchStore();
  const source = writer(store);
  let inner = source.image([]);
  const platform = { os: "linux", architecture: "amd64" };
  for (let level = 0; level < 6; level++) {
    inner = source.json({ schemaVersion: 2, manifests: [{ ...inner, platform }] }, mediaTypes.index);
    source.tag(inner, "x:1");
    const load = loadFrom(store.layout, source.directory, { platform: parsePlatform("amd64") });
    if (level < 4) expect(await load).toHaveLength(1);
    else await expect(load).rejects.toThrow("its indexes are more than 4 levels deep");
  }
});

test("a layout whose index.json or oci-layout is damaged is refused", async () => {
  using store = await scratchStore();
  const source = writer(store);
  source.rawIndex('{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:../x","size":1}]}');
  await expect(loadFrom(store.layout, source.directory)).rejects.toThrow(
    `cannot read index.json of ${source.directory}: /manifests/0/digest: `,
  );
  writeFileSync(join(source.directory, "oci-layout"), "{}");
  await expect(loadFrom(store.layout, source.directory)).rejects.toThrow("/imageLayoutVersion: it is missing");
  await expectUntouched(store);
});
