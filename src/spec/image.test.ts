import { expect, test } from "bun:test";
import { digestOf } from "./digest.ts";
import { descriptorToJson, parseIndex, parseManifest, parseManifestOrIndex, readDescriptor } from "./image.ts";
import { mediaTypes } from "./media-type.ts";
import { parseJsonNode } from "#base/json-node.ts";

const config = { mediaType: mediaTypes.config, digest: digestOf(Buffer.from("c")), size: 1 };
const layer = { mediaType: mediaTypes.layerGzip, digest: digestOf(Buffer.from("l")), size: 9 };
const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [layer] };
const entry = { mediaType: mediaTypes.manifest, digest: digestOf(Buffer.from("m")), size: 7 };
const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [entry] };

const bytes = (document: unknown): Uint8Array => Buffer.from(JSON.stringify(document));
const parse = (document: unknown) => parseManifest(bytes(document), "manifest m");
const withLayer = (changes: object) => ({ ...manifest, layers: [{ ...layer, ...changes }] });

test("T1 parseManifest() reads an OCI manifest and its docker twin", () => {
  expect(parse(manifest)).toEqual({
    kind: "manifest",
    mediaType: mediaTypes.manifest,
    artifactType: undefined,
    config,
    layers: [layer],
    subject: undefined,
    annotations: {},
  });
  expect(parse({ ...manifest, mediaType: mediaTypes.dockerManifest }).mediaType).toBe(mediaTypes.dockerManifest);
  expect(parse({ ...manifest, mediaType: undefined, annotations: null, subject: null, unknown: { x: 1 } }).layers).toHaveLength(1);
});

test("parseManifest() refuses a document that is a manifest and an index (CVE-2021-41190)", () => {
  expect(() => parse({ ...manifest, manifests: [] })).toThrow("cannot read manifest m: /manifests: a manifest must not have it");
  expect(() => parseIndex(bytes({ ...index, layers: [] }), "index i")).toThrow("cannot read index i: /layers: an index must not have it");
  expect(() => parseIndex(bytes({ ...index, config: null }), "index i")).toThrow("/config: an index must not have it");
});

test("T3 T4 the media type in the document must be the one that led to it", () => {
  expect(() => parseManifestOrIndex(bytes(manifest), mediaTypes.index, "index i")).toThrow(
    `/mediaType: it is "${mediaTypes.manifest}", but what refers to it says "${mediaTypes.index}"`,
  );
  expect(() => parseManifestOrIndex(bytes(manifest), mediaTypes.dockerManifest, "manifest m")).toThrow("but what refers to it says");
  expect(() => parseManifest(bytes({ ...manifest, mediaType: mediaTypes.config }), "manifest m")).toThrow(
    "which is not the type of a manifest",
  );
  expect(() => parseManifestOrIndex(bytes(manifest), "text/html", "page p")).toThrow(
    "its media type \"text/html\" is neither a manifest's nor an index's",
  );
  expect(parseManifestOrIndex(bytes({ ...index, mediaType: undefined }), mediaTypes.dockerIndex, "index i").kind).toBe("index");
  expect(() => parseManifestOrIndex(bytes({ ...index, mediaType: undefined }), mediaTypes.manifest, "manifest m")).toThrow(
    "/manifests: a manifest must not have it",
  );
});

test("M1 only schema version 2 is read", () => {
  expect(() => parse({ ...manifest, schemaVersion: 1 })).toThrow("/schemaVersion: it is 1; only version 2 can be read");
  expect(() => parse({ ...manifest, schemaVersion: "2" })).toThrow('/schemaVersion: it is "2"');
  expect(() => parse({ ...manifest, schemaVersion: undefined })).toThrow("/schemaVersion: it is missing");
});

test("D7 sizes that are negative, absurd or text are refused", () => {
  for (const size of [-1, 1.5, "12", 2 ** 53, 1e300, null, undefined])
    expect(() => parse(withLayer({ size }))).toThrow("cannot read manifest m: /layers/0/size: ");
});

test("D1 digests and media types that break their grammar are refused", () => {
  for (const digest of ["sha256:../../x", "sha256:abc", "", layer.digest.toUpperCase(), `${layer.digest}\0`])
    expect(() => parse(withLayer({ digest }))).toThrow("/layers/0/digest: ");
  for (const mediaType of ["", "tar", "a/b/c", "a/b\0", `a/${"b".repeat(128)}`, "a/b c"])
    expect(() => parse(withLayer({ mediaType }))).toThrow("/layers/0/mediaType: ");
});

test("unknown media types of config and layers are no error", () => {
  expect(
    parse({ ...withLayer({ mediaType: "application/x.unknown" }), config: { ...config, mediaType: "a/b" } }).layers[0]?.mediaType,
  ).toBe("application/x.unknown");
});

test("M2 config and layers must be there", () => {
  expect(() => parse({ ...manifest, config: undefined })).toThrow("/config: it is missing");
  expect(() => parse({ ...manifest, layers: undefined })).toThrow("/layers: it is missing");
  expect(() => parse({ ...manifest, layers: {} })).toThrow("/layers: it is an object, not an array");
});

test("duplicate names and deep nesting are refused", () => {
  expect(() => parseManifest(Buffer.from(JSON.stringify(manifest).replace('"config"', '"layers":[],"config"')), "manifest m")).toThrow(
    'the name "layers" occurs twice',
  );
  let deep: unknown = 1;
  for (let level = 0; level < 40; level++) deep = { deep };
  expect(() => parse({ ...manifest, deep })).toThrow("it is more than 32 levels deep");
});

test("a manifest of more than 4 MiB is refused before it is parsed", () => {
  expect(() => parse({ ...manifest, annotations: { x: "x".repeat(4 << 20) } })).toThrow(/it has 4194\d{3} bytes, more than 4194304/);
});

test("I1 parseIndex() keeps platforms and takes null for an empty list", () => {
  const platform = { os: "linux", architecture: "arm", variant: "v7", "os.version": "1", "os.features": ["x"] };
  expect(parseIndex(bytes({ ...index, manifests: [{ ...entry, platform }] }), "index i").manifests[0]?.platform).toEqual(platform);
  expect(parseIndex(bytes({ ...index, manifests: null }), "index i").manifests).toEqual([]);
  expect(() => parseIndex(bytes({ ...index, manifests: [{ ...entry, platform: { os: "linux" } }] }), "index i")).toThrow(
    "/manifests/0/platform/architecture: it is missing",
  );
  expect(() => parseIndex(bytes({ schemaVersion: 2 }), "index i")).toThrow("/manifests: it is missing");
});

test("a descriptor survives reading and writing with its unknown fields", () => {
  const written = {
    ...entry,
    urls: ["https://example.org/x"],
    annotations: { a: "", b: "c" },
    data: "e30=",
    platform: { os: "linux", architecture: "amd64" },
    artifactType: "a/b",
    "x-new": { deep: [1] },
  };
  const read = readDescriptor(parseJsonNode(bytes(written), "descriptor d", { maxBytes: 10_000 }));
  expect(JSON.parse(JSON.stringify(descriptorToJson(read)))).toEqual(written);
});

test("A1 annotations are text, data is base64, urls are URLs", () => {
  expect(() => parse(withLayer({ annotations: { a: 1 } }))).toThrow("/layers/0/annotations/a: it is 1, not a string");
  expect(() => parse(withLayer({ data: "!" }))).toThrow("/layers/0/data: it is not base64");
  expect(() => parse(withLayer({ urls: ["not a url"] }))).toThrow("/layers/0/urls/0: ");
});
