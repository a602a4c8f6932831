import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { LayoutWriter, configFor, mediaTypes, sha256 } from "../../../test/support/images/layout-writer.ts";
import { tar, type TarEntry } from "../../../test/support/images/tar-writer.ts";
import { loadFrom, scratchStore } from "../../../test/support/image-store.ts";
import { scratchDirectory } from "../../../test/support/scratch-directory.ts";
import { CodedError } from "#base/errors.ts";
import { nameOf } from "../layout.ts";
import { verifyLayout } from "../verify.ts";
import { openArchiveIndex } from "./archive-index.ts";

const layer = tar([{ name: "file", data: "hello" }]);
const config = JSON.stringify(configFor([sha256(layer)]));
const configName = `${sha256(Buffer.from(config)).slice(7)}.json`;
const saved = [{ Config: configName, RepoTags: ["x:1", "a.example/y:2"], Layers: ["abc/layer.tar"] }];

/** The members of a docker archive; `changes` replaces or adds members by name. */
function dockerArchive(changes: Readonly<Record<string, Partial<TarEntry> | undefined>> = {}): Buffer {
  const members: Record<string, Partial<TarEntry> | undefined> = {
    "abc/": { type: "directory" },
    "abc/layer.tar": { data: layer },
    [configName]: { data: config },
    "manifest.json": { data: JSON.stringify(saved) },
    ...changes,
  };
  return tar(Object.entries(members).flatMap(([name, entry]) => (entry === undefined ? [] : [{ name, ...entry }])));
}

/** An OCI layout as archive members. */
function layoutMembers(directory: string): TarEntry[] {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map((entry) => ({
    name: join(entry.parentPath, entry.name).slice(directory.length + 1),
    data: readFileSync(join(entry.parentPath, entry.name)),
  }));
}

async function* chunksOf(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

type Store = Awaited<ReturnType<typeof scratchStore>>;

async function loadBytes(store: Store, bytes: Uint8Array) {
  const path = join(store.path, "archive.tar");
  writeFileSync(path, bytes);
  return loadFrom(store.layout, path);
}

async function expectUntouched({ layout }: Store): Promise<void> {
  expect((await layout.readIndex()).manifests.map(nameOf)).toEqual([]);
  expect(readdirSync(join(layout.path, "tmp"))).toEqual([]);
  expect(await verifyLayout(layout)).toEqual([]);
}

test("a docker archive gives its image with docker's id, its names and layers that are their own diffs", async () => {
  using store = await scratchStore();
  const [image] = await loadBytes(store, dockerArchive());
  expect(image?.id as string).toBe(sha256(Buffer.from(config)));
  expect(image?.names).toEqual(["x:1", "a.example/y:2"]);
  expect(image?.manifest.layers).toEqual([{ mediaType: mediaTypes.tar, digest: sha256(layer) as never, size: layer.length }]);
  expect(await verifyLayout(store.layout)).toEqual([]);
});

test("J3 the manifest made for a docker archive is the same every time", async () => {
  using one = await scratchStore();
  using two = await scratchStore();
  const reordered = dockerArchive({ "manifest.json": undefined, "z/manifest": { data: "x" }, [configName]: undefined });
  expect(reordered.length).toBeGreaterThan(0);
  const [first] = await loadBytes(one, dockerArchive());
  const [second] = await loadBytes(two, dockerArchive({ repositories: { data: "{}" }, "abc/VERSION": { data: "1.0" } }));
  expect(second?.descriptor).toEqual(first?.descriptor as never);
});

test("layers may be symbolic or hard links to files of the archive", async () => {
  using store = await scratchStore();
  const symbolic = { "abc/layer.tar": { type: "symlink", link: "../real.tar" }, "real.tar": { data: layer } } as const;
  expect(await loadBytes(store, dockerArchive(symbolic))).toHaveLength(1);
  const hard = { "abc/layer.tar": { type: "hardlink", link: "./real.tar" }, "real.tar": { data: layer } } as const;
  expect(await loadBytes(store, dockerArchive(hard))).toHaveLength(1);
});

test("a compressed layer in a docker archive keeps its bytes", async () => {
  using store = await scratchStore();
  const packed = gzipSync(layer);
  const [image] = await loadBytes(store, dockerArchive({ "abc/layer.tar": { data: packed } }));
  expect(image?.manifest.layers).toEqual([{ mediaType: mediaTypes.gzip, digest: sha256(packed) as never, size: packed.length }]);
  await expect(loadBytes(store, dockerArchive({ "abc/layer.tar": { data: "BZh91AY" } }))).rejects.toThrow("it is compressed with bzip2");
});

test("an OCI archive is a layout in a tar, with or without ./ before its names", async () => {
  using store = await scratchStore();
  const writer = new LayoutWriter(join(store.path, "source"));
  writer.tag(writer.image([writer.layer(layer)]), "a.example/x:1");
  for (const prefix of ["", "./"]) {
    const [image] = await loadBytes(store, tar(layoutMembers(writer.directory).map((entry) => ({ ...entry, name: prefix + entry.name }))));
    expect(image?.names).toEqual(["a.example/x:1"]);
  }
});

test("L5 what docker saves since 25 is read as OCI, under the names of its manifest.json", async () => {
  using store = await scratchStore();
  const writer = new LayoutWriter(join(store.path, "source"));
  const manifest = writer.image([writer.layer(layer, "gzip")]);
  const index = writer.json(
    { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [{ ...manifest, platform: { os: "linux", architecture: "amd64" } }] },
    mediaTypes.index,
  );
  writer.index([
    { ...index, annotations: { "io.containerd.image.name": "long.example/library/x:1", "org.opencontainers.image.ref.name": "1" } },
  ]);
  const { config: described } = JSON.parse(readFileSync(join(writer.directory, "blobs", manifest.digest.replace(":", "/")), "utf8")) as {
    config: { digest: string };
  };
  const saved25 = [{ Config: `blobs/${described.digest.replace(":", "/")}`, RepoTags: ["x:1", "x:latest"], Layers: [] }];
  const members = layoutMembers(writer.directory);
  const [named] = await loadBytes(store, tar([...members, { name: "manifest.json", data: JSON.stringify(saved25) }]));
  expect(named?.names).toEqual(["x:1", "x:latest"]);
  const [unnamed] = await loadBytes(store, tar([...members, { name: "manifest.json", data: "[]" }]));
  expect(unnamed?.names).toEqual(["long.example/library/x:1"]);
});

test("archives that are compressed as a whole, come as a stream or through a pipe are read", async () => {
  using store = await scratchStore();
  const archive = dockerArchive();
  const halves = Buffer.concat([gzipSync(archive.subarray(0, 700)), gzipSync(archive.subarray(700))]);
  for (const bytes of [gzipSync(archive), halves, Bun.zstdCompressSync(archive)])
    expect((await loadBytes(store, bytes))[0]?.names[0]).toBe("x:1");
  await expect(loadFrom(store.layout, chunksOf(archive, 7), { only: ["q"] })).rejects.toThrow(
    "cannot find q:latest in the docker archive the input: it has x:1, a.example/y:2",
  );
  expect(await loadFrom(store.layout, chunksOf(archive, 7))).toHaveLength(1);
  expect(await loadFrom(store.layout, chunksOf(gzipSync(archive), 3))).toHaveLength(1);
  const fifo = join(store.path, "fifo");
  expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
  const writer = Bun.spawn(["sh", "-c", `cat "$1" > "$2"`, "sh", join(store.path, "archive.tar"), fifo]);
  expect(await loadFrom(store.layout, fifo)).toHaveLength(1);
  await writer.exited;
  expect(readdirSync(join(store.layout.path, "tmp"))).toEqual([]);
});

test("archives that are damaged or no archives of images are refused", async () => {
  using store = await scratchStore();
  const path = join(store.path, "archive.tar");
  const archive = dockerArchive();
  const damaged = gzipSync(archive);
  damaged[damaged.length - 6] = (damaged[damaged.length - 6] ?? 0) ^ 1;
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(), `cannot read ${path}: at byte 0: it has no entries`],
    [Buffer.from("hello"), `cannot read ${path}: at byte 0: the file ends within a header`],
    [Buffer.alloc(1024, "x"), `cannot read ${path}: at byte 0: its checksum is wrong`],
    [Buffer.alloc(10240), "it has no entries"],
    [layer, `cannot load ${path}: the archive holds neither oci-layout and index.json nor manifest.json`],
    [tar([{ name: "repositories", data: "{}" }]), "it is an archive of docker before 1.10"],
    [archive.subarray(0, 1024 + 700), "an entry of 2048 bytes begins here, but the file ends after 1724 bytes"],
    [
      Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), archive]),
      `cannot load ${path}: it is compressed with xz; unpack it first`,
    ],
    [gzipSync(archive).subarray(0, 200), `cannot load ${path}: its gzip stream is damaged or ends early`],
    [damaged, `cannot load ${path}: its gzip stream is damaged or ends early`],
    [Bun.zstdCompressSync(archive).subarray(0, 100), `cannot load ${path}: its zstd stream is damaged or ends early`],
  ];
  for (const [bytes, message] of cases) {
    await expect(loadBytes(store, bytes)).rejects.toThrow(message);
    await expectUntouched(store);
  }
  await expect(loadFrom(store.layout, join(store.path, "missing"))).rejects.toThrow("missing: there is no such file");
  await expect(loadFrom(store.layout, store.path)).rejects.toThrow("the directory is no image layout: it has no file oci-layout");
});

test("hostile docker archives are refused with the name of what is wrong", async () => {
  using store = await scratchStore();
  const manifest = (change: object) => ({ "manifest.json": { data: JSON.stringify([{ ...saved[0], ...change }]) } });
  const cases: [Uint8Array, string][] = [
    [dockerArchive({ "../../etc/passwd": { data: "x" } }), 'the name "../../etc/passwd" leads out of the archive'],
    [
      dockerArchive({ "abc/layer.tar": { type: "symlink", link: "../../../etc/passwd" } }),
      'the name "../../../etc/passwd" leads out of the archive',
    ],
    [dockerArchive({ "abc/layer.tar": { type: "symlink", link: "/etc/passwd" } }), 'cannot read layer "abc/layer.tar"'],
    [
      dockerArchive({ "abc/layer.tar": { type: "symlink", link: "x" }, "abc/x": { type: "symlink", link: "layer.tar" } }),
      "more than 16 links lead to it",
    ],
    [dockerArchive({ "abc/layer.tar": undefined }), 'cannot read layer "abc/layer.tar"'],
    [dockerArchive({ [configName]: undefined }), `cannot read ${configName} in `],
    [
      dockerArchive({ "abc/layer.tar": { data: tar([{ name: "file", data: "other" }]) } }),
      `cannot accept ${sha256(layer)}: its content has the digest`,
    ],
    [dockerArchive(manifest({ Layers: [] })), "it lists 1 diff_ids, but manifest.json 0 layers"],
    [dockerArchive(manifest({ Config: "../../etc/passwd" })), "cannot read ../../etc/passwd in "],
    [dockerArchive(manifest({ Config: 5 })), "/0/Config: it is 5, not a string"],
    [dockerArchive(manifest({ RepoTags: ["Bad Name"] })), '/0/RepoTags/0: it is "Bad Name", not the name of an image'],
    [dockerArchive(manifest({ Layers: ["abc/layer.tar\0"] })), "/0/Layers/0: it holds a NUL character"],
    [dockerArchive({ "manifest.json": { data: "{}" } }), "it is an object, not an array"],
    [dockerArchive({ "manifest.json": { data: '[{"Config":"a","Config":"b"}]' } }), 'the name "Config" occurs twice'],
    [dockerArchive({ "manifest.json": { data: " ".repeat((4 << 20) + 1) } }), "cannot read manifest.json in "],
    [dockerArchive({ "manifest.json": { data: "[]" } }), "it has no images"],
  ];
  for (const [bytes, message] of cases) {
    await expect(loadBytes(store, bytes)).rejects.toThrow(message);
    await expectUntouched(store);
  }
});

test("a spooled archive may not become longer than the limit", async () => {
  using scratch = scratchDirectory();
  const { openImageSource } = await import("./open.ts");
  const bomb = chunksOf(gzipSync(Buffer.concat([layer, Buffer.alloc(1 << 24)])));
  await expect(openImageSource(bomb, { spoolDirectory: scratch.path, maxSpoolBytes: 1 << 20 })).rejects.toThrow(
    "cannot load the input: it unpacks to more than 1048576 bytes",
  );
  expect(readdirSync(scratch.path)).toEqual([]);
});

test("an archive reads the same by seeking as in GNU tar, long names and all", async () => {
  using scratch = scratchDirectory();
  const long = `${"d".repeat(90)}/${"e".repeat(90)}`;
  mkdirSync(join(scratch.path, "in", long), { recursive: true });
  writeFileSync(join(scratch.path, "in", long, "f"), "long");
  writeFileSync(join(scratch.path, "in", "empty"), "");
  writeFileSync(join(scratch.path, "in", "é"), "umlaut");
  for (const format of ["gnu", "pax", "ustar"]) {
    const path = join(scratch.path, `${format}.tar`);
    expect(spawnSync("tar", [`--format=${format}`, "-C", join(scratch.path, "in"), "-cf", path, "."]).status).toBe(0);
    const archive = await openArchiveIndex(path);
    expect(Buffer.from(await archive.read(`${long}/f`, 10)).toString()).toBe("long");
    expect((await archive.read("empty", 10)).length).toBe(0);
    expect(archive.find(Buffer.from("é").toString("latin1"))?.size).toBe(6);
    expect(archive.find(long)).toBeUndefined();
  }
});

test("openArchiveIndex() takes any damage without anything but an error of ours", async () => {
  using scratch = scratchDirectory();
  const path = join(scratch.path, "a.tar");
  const archive = dockerArchive({ ["n".repeat(150)]: { data: "x" } });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }), async (changes) => {
      const bytes = Buffer.from(archive);
      for (const [at, value] of changes) bytes[at] = value;
      writeFileSync(path, bytes);
      const error = await openArchiveIndex(path).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error !== undefined) expect(error).toBeInstanceOf(CodedError);
    }),
    { numRuns: 300 },
  );
});
