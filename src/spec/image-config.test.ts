import { expect, test } from "bun:test";
import { digestOf, type Digest } from "./digest.ts";
import { chainIds, parseImageConfig, requireLayerCount } from "./image-config.ts";
import { parseManifest } from "./image.ts";
import { mediaTypes } from "./media-type.ts";

const diffId = digestOf(Buffer.from("layer"));
const minimal = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [diffId] } };
const parse = (document: unknown) => parseImageConfig(Buffer.from(JSON.stringify(document)), "config c");

test("C9 chainIds() follows the vectors of the image spec", () => {
  expect(chainIds([])).toEqual([]);
  expect(chainIds(["sha256:a" as Digest])).toEqual(["sha256:a" as Digest]);
  // sha256 of "sha256:a sha256:b", and of that digest with "sha256:c".
  expect(chainIds(["sha256:a", "sha256:b", "sha256:c"] as Digest[])).toEqual([
    "sha256:a",
    "sha256:970a948bffa8de94d6e22d747ba8c95030e6e546909f98f54e99a13005e173a8",
    "sha256:dee159b33409cefa3f6eda71539f006014283e9d9130c18a1dea7bd8a33c9b1b",
  ] as Digest[]);
});

test("parseImageConfig() reads the least that a config must have", () => {
  const config = parse(minimal);
  expect(config.config).toEqual({});
  expect(config.history).toEqual([]);
  expect(config.rootfs.diff_ids).toEqual([diffId]);
});

test("C2 parseImageConfig() takes null for absent, as the spec says of optional fields", () => {
  const empty = {
    User: null,
    ExposedPorts: null,
    Env: null,
    Entrypoint: null,
    Cmd: null,
    Volumes: null,
    WorkingDir: null,
    Labels: null,
    StopSignal: null,
    Healthcheck: null,
    Shell: null,
    OnBuild: null,
  };
  expect(parse({ ...minimal, created: null, author: null, variant: null, history: null, config: empty }).config.Env).toBeUndefined();
  expect(parse({ ...minimal, config: null }).config).toEqual({});
  expect(parse({ ...minimal, rootfs: { type: "layers", diff_ids: null } }).rootfs.diff_ids).toEqual([]);
});

test("C5 C6 C7 parseImageConfig() reads all fields and ignores unknown ones", () => {
  const config = {
    User: "1000:1000",
    ExposedPorts: { "80/tcp": {} },
    Env: ["PATH=/bin", "EMPTY="],
    Entrypoint: ["/bin/sh", "-c"],
    Cmd: ["true"],
    Volumes: { "/data": {} },
    WorkingDir: "/w",
    Labels: { a: "b" },
    StopSignal: "SIGQUIT",
    ArgsEscaped: false,
    Healthcheck: { Test: ["CMD", "true"], Interval: 30_000_000_000, Timeout: 0, StartPeriod: 1, StartInterval: 2, Retries: 3 },
    Shell: ["/bin/bash"],
    OnBuild: ["RUN x"],
  };
  const history = [{ created: "2023-11-14T22:13:20.5+01:00", created_by: "x", author: "y", comment: "z", empty_layer: true }];
  const parsed = parse({
    ...minimal,
    created: "2023-11-14T22:13:20Z",
    author: "me",
    config: { ...config, Memory: 1 },
    history,
    container: "x",
  });
  expect(parsed.config).toEqual(config);
  expect(parsed.history).toEqual(history);
});

test("C1 parseImageConfig() refuses what would break later", () => {
  const faults: [object, string][] = [
    [{ rootfs: { type: "chunks", diff_ids: [] } }, '/rootfs/type: it is "chunks"; only "layers" can be unpacked'],
    [{ rootfs: { type: "layers", diff_ids: ["sha256:../x"] } }, "/rootfs/diff_ids/0: "],
    [{ rootfs: undefined }, "/rootfs: it is missing"],
    [{ os: undefined }, "/os: it is missing"],
    [{ architecture: 1 }, "/architecture: it is 1, not a string"],
    [{ config: { Env: ["=x"] } }, "/config/Env/0: "],
    [{ config: { Env: ["A=x\0y"] } }, "/config/Env/0: it holds a NUL character"],
    [{ config: { Cmd: "true" } }, '/config/Cmd: it is "true", not an array'],
    [{ config: { Labels: { a: 1 } } }, "/config/Labels/a: it is 1, not a string"],
    [{ config: { Healthcheck: { Interval: -1 } } }, "/config/Healthcheck/Interval: it is -1"],
    [{ created: "yesterday" }, '/created: it is "yesterday", not a time in RFC 3339'],
  ];
  for (const [change, fault] of faults) expect(() => parse({ ...minimal, ...change })).toThrow(`cannot read config c: ${fault}`);
});

test("requireLayerCount() wants one diff_id for each layer", () => {
  const config = { mediaType: mediaTypes.config, digest: diffId, size: 1 };
  const manifest = parseManifest(Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [] })), "manifest m");
  expect(() => requireLayerCount(manifest, parse(minimal), "image i")).toThrow(
    "cannot use image i: it has 0 layers, but its config lists 1 diff_ids",
  );
});
