import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { blobStoreContract } from "../../../test/contract/blob-store.ts";
import { scratchDirectory } from "../../../test/support/scratch-directory.ts";
import { digestOf, parseDigest } from "#spec/digest.ts";
import { DirectoryBlobStore } from "./directory.ts";
import { MemoryBlobStore } from "./memory.ts";

blobStoreContract("memory", () => new MemoryBlobStore());
blobStoreContract("directory", (directory) => new DirectoryBlobStore(join(directory, "store")));

const hello = Buffer.from("hello");
const { digest } = { digest: digestOf(hello) };

test("directory: blobs lie where the image spec says, and tmp/ is empty afterwards", async () => {
  using scratch = scratchDirectory();
  await new DirectoryBlobStore(scratch.path).put(hello);
  expect(readdirSync(scratch.path, { recursive: true, encoding: "utf8" }).sort()).toEqual([
    "blobs",
    "blobs/sha256",
    `blobs/${digest.replace(":", "/")}`,
    "tmp",
  ]);
});

test("directory: a refused blob leaves no temporary file", async () => {
  using scratch = scratchDirectory();
  await expect(new DirectoryBlobStore(scratch.path).put(Buffer.from("x"), { digest })).rejects.toThrow("cannot accept");
  expect(readdirSync(join(scratch.path, "tmp"))).toEqual([]);
});

test("directory: a blob that was changed on disk is not given out as whole", async () => {
  using scratch = scratchDirectory();
  const store = new DirectoryBlobStore(scratch.path);
  await store.put(hello);
  writeFileSync(join(scratch.path, "blobs", digest.replace(":", "/")), "hallo");
  const drain = async (): Promise<void> => {
    for await (const _ of store.open(digest));
  };
  await expect(drain()).rejects.toThrow(`cannot accept ${digest}: its content has the digest`);
});

test("directory: a symbolic link or directory in the place of a blob is an error, not content", async () => {
  using scratch = scratchDirectory();
  mkdirSync(join(scratch.path, "blobs/sha256"), { recursive: true });
  symlinkSync("/etc/hostname", join(scratch.path, "blobs", digest.replace(":", "/")));
  await expect(new DirectoryBlobStore(scratch.path).size(digest)).rejects.toThrow("in the store it is not a regular file");
});

test("directory: files whose names are no digests are not listed", async () => {
  using scratch = scratchDirectory();
  const store = new DirectoryBlobStore(scratch.path);
  await store.put(hello);
  writeFileSync(join(scratch.path, "blobs/sha256/short"), "");
  writeFileSync(join(scratch.path, "blobs/README"), "");
  const listed: string[] = [];
  for (const found of await store.list()) listed.push(found);
  expect(listed).toEqual([digest]);
});

test("directory: what is not a regular file cannot be put", async () => {
  using scratch = scratchDirectory();
  await expect(new DirectoryBlobStore(scratch.path).put({ path: scratch.path }, { digest: parseDigest(digest) })).rejects.toThrow();
});
