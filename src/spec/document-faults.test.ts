import { expect, test } from "bun:test";
import { readWithFaults } from "./document-faults.ts";
import { imageConfigLimits, parseImageConfig } from "./image-config.ts";
import { manifestLimits, parseManifest } from "./image.ts";

const digest = `sha256:${"a".repeat(64)}`;
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: 1 };

function pointersOf(document: unknown): (string | undefined)[] {
  return readWithFaults(Buffer.from(JSON.stringify(document)), manifestLimits, (bytes) => parseManifest(bytes, "it")).faults.map(
    ({ pointer }) => pointer,
  );
}

test("D1 D2 D3 D7 D8 M1: every fault of a manifest is found, each at its place", () => {
  const document = {
    schemaVersion: 1,
    config: { mediaType: "nonsense", digest: "sha256:ABC", size: -1 },
    layers: [layer, { ...layer, size: 2 ** 60, urls: ["not a url"] }, { ...layer, data: "***" }, "text"],
    annotations: { a: 1 },
  };
  expect(new Set(pointersOf(document))).toEqual(
    new Set([
      "/schemaVersion",
      "/config/mediaType",
      "/config/digest",
      "/config/size",
      "/layers/1/size",
      "/layers/1/urls/0",
      "/layers/2/data",
      "/layers/3",
      "/annotations/a",
    ]),
  );
});

test("a document without faults has none", () => {
  expect(pointersOf({ schemaVersion: 2, config: layer, layers: [layer] })).toEqual([]);
});

test("J1: text that cannot be read at all is one fault without a place", () => {
  const { value, faults } = readWithFaults(Buffer.from('{"a":1,"a":2}'), manifestLimits, (bytes) => parseManifest(bytes, "it"));
  expect([value, faults.length, faults[0]?.pointer]).toEqual([undefined, 1, undefined]);
});

test("C1 C3: every fault of a config is found", () => {
  const config = { os: 1, created: "yesterday", rootfs: { type: "tree", diff_ids: ["x", digest] }, history: [{ created: "x" }] };
  const { faults } = readWithFaults(Buffer.from(JSON.stringify(config)), imageConfigLimits, (bytes) => parseImageConfig(bytes, "it"));
  expect(new Set(faults.map(({ pointer }) => pointer))).toEqual(
    new Set(["/os", "/architecture", "/created", "/rootfs/type", "/rootfs/diff_ids/0", "/history/0/created"]),
  );
});
