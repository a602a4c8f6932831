/** Images as values: what each change leaves and what it does. */
import { expect, test } from "bun:test";
import type { JsonObject } from "#base/json.ts";
import { digestOf } from "#spec/digest.ts";
import { joinEdits, parseInstruction } from "./instruction.ts";
import {
  annotate,
  appendLayer,
  completeHistory,
  editConfig,
  rebaseImage,
  squashLayers,
  type ImageDocuments,
  type LayerPart,
} from "./mutate.ts";

const layer = (name: string, mediaType = "application/vnd.oci.image.layer.v1.tar+gzip"): LayerPart => ({
  descriptor: { mediaType, digest: digestOf(Buffer.from(name)), size: 1 },
  diffId: digestOf(Buffer.from(`tar of ${name}`)),
});

function image(names: readonly string[], more: JsonObject = {}): ImageDocuments {
  const layers = names.map((name) => layer(name));
  const config = {
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/bin", "A=1"], Labels: { old: "1" }, "x-unknown": true },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: names.flatMap((name) => [{ created_by: name }, { created_by: `ENV of ${name}`, empty_layer: true }]),
    "x-top": { kept: 1 },
    ...more,
  };
  return { manifest: { schemaVersion: 2, "x-manifest": 1 }, config, layers };
}

const steps = (value: ImageDocuments): unknown[] => completeHistory(value).map(({ created_by }) => created_by);

test("C8 M10: appendLayer() adds the layer, its diff id and a step, and keeps fields that it does not know", () => {
  const made = appendLayer(image(["a"]), layer("b"), { created_by: "new", created: "2026-01-01T00:00:00Z" });
  expect(made.layers.length).toBe(2);
  expect((made.config["rootfs"] as JsonObject)["diff_ids"]).toEqual(made.layers.map(({ diffId }) => diffId));
  expect(steps(made)).toEqual(["a", "ENV of a", "new"]);
  expect([made.config["x-top"], made.config["created"], made.manifest["x-manifest"]]).toEqual([{ kept: 1 }, "2026-01-01T00:00:00Z", 1]);
});

test("C8: a history that does not fit the layers is replaced by steps that say nothing", () => {
  expect(completeHistory(image(["a", "b"], { history: [{ created_by: "x" }] })).length).toBe(2);
  expect(completeHistory(image(["a"], { history: null })).length).toBe(1);
});

test("T2: a layer of docker's type gets OCI's name; a foreign one keeps its own", () => {
  const foreign = layer("f", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
  const docker = layer("d", "application/vnd.docker.image.rootfs.diff.tar.gzip");
  const made = appendLayer({ ...image([]), layers: [docker, foreign] }, layer("b"), {});
  expect(made.layers.map(({ descriptor }) => descriptor.mediaType)).toEqual([
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.v1.tar+gzip",
  ]);
});

test("squashLayers() keeps the layers and steps below, and refuses a number that is none", () => {
  const made = squashLayers(image(["a", "b", "c"]), 1, { layer: layer("s"), history: { created_by: "squash" } });
  expect(steps(made)).toEqual(["a", "ENV of a", "squash"]);
  expect(made.layers.length).toBe(2);
  for (const from of [-1, 3, 0.5, Number.NaN])
    expect(() => squashLayers(image(["a", "b", "c"]), from, { layer: layer("s"), history: {} })).toThrow("cannot squash from layer");
});

test("rebaseImage() takes the layers and steps of the old base away, and those of the new one come first", () => {
  const made = rebaseImage(image(["a", "b", "c"]), { from: image(["a", "b"]), to: image(["n"]) });
  expect(steps(made)).toEqual(["n", "ENV of n", "c", "ENV of c"]);
  expect(made.layers.map(({ diffId }) => diffId)).toEqual([layer("n").diffId, layer("c").diffId]);
  expect(() => rebaseImage(image(["a", "b"]), { from: image(["x"]), to: image(["n"]) })).toThrow("does not begin with the layers");
});

test("C2 C7 editConfig() merges variables by name and labels, removes fields set to null, and keeps the rest", () => {
  const edit = { env: ["A=2", "B=3"], unsetEnv: ["PATH"], labels: { new: "2" }, removeLabels: ["old"], Cmd: ["sh"], User: null };
  const made = editConfig(image(["a"]), edit, { created_by: "config" });
  expect(made.config["config"]).toEqual({ Env: ["A=2", "B=3"], Labels: { new: "2" }, "x-unknown": true, Cmd: ["sh"] });
  expect(completeHistory(made).at(-1)).toEqual({ created_by: "config", empty_layer: true });
  expect(annotate(made, { a: "b" }).manifest["annotations"]).toEqual({ a: "b" });
});

test.each([
  ['CMD ["a","b"]', { Cmd: ["a", "b"] }],
  ["CMD a b", { Cmd: ["/bin/sh", "-c", "a b"] }],
  ['entrypoint ["x"]', { Entrypoint: ["x"] }],
  ['ENV A=b "C=d e" F=\\ g', { env: ["A=b", "C=d e", "F= g"] }],
  ["ENV A the rest of it", { env: ["A=the rest of it"] }],
  ["EXPOSE 80 53/udp", { exposedPorts: ["80/tcp", "53/udp"] }],
  ["LABEL a=b", { labels: { a: "b" } }],
  ["VOLUME /a /b", { volumes: ["/a", "/b"] }],
  ["HEALTHCHECK NONE", { Healthcheck: { Test: ["NONE"] } }],
  ["HEALTHCHECK --interval=1m30s --retries=3 CMD curl x", { Healthcheck: { Test: ["CMD-SHELL", "curl x"], Interval: 90e9, Retries: 3 } }],
] as const)("parseInstruction(%j)", (text, edit) => {
  expect(parseInstruction(text) as unknown).toEqual(edit);
});

test.each(["RUN x", "CMD", "EXPOSE x", "WORKDIR x", "ENV", 'LABEL "a', "HEALTHCHECK x", "HEALTHCHECK --interval=x CMD y", "VOLUME x"])(
  "parseInstruction(%j) is refused",
  (text) => {
    expect(() => parseInstruction(text)).toThrow("cannot use the change");
  },
);

test("joinEdits() lets the later edit hold and joins lists", () => {
  expect(
    joinEdits([
      { User: "a", env: ["A=1"] },
      { User: "b", env: ["B=2"], labels: { x: "1" } },
    ]),
  ).toEqual({
    User: "b",
    env: ["A=1", "B=2"],
    labels: { x: "1" },
  });
});
