import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";
import { cloneFile, readFileChunks } from "./file-chunks.ts";
import { findFile, readFileBounded, writeFileAtomic } from "./fs.ts";

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

test("writeFileAtomic() replaces a file and leaves nothing beside it", async () => {
  using scratch = scratchDirectory();
  const path = join(scratch.path, "a");
  await writeFileAtomic(path, "one");
  await writeFileAtomic(path, Buffer.from("two"), 0o600);
  expect(readFileSync(path, "utf8")).toBe("two");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(scratch.path)).toEqual(["a"]);
});

test("writeFileAtomic() that fails leaves the old content and nothing beside it", async () => {
  using scratch = scratchDirectory();
  mkdirSync(join(scratch.path, "a/b"), { recursive: true });
  await expect(writeFileAtomic(join(scratch.path, "a"), "x")).rejects.toThrow();
  expect(readdirSync(scratch.path)).toEqual(["a"]);
  expect(readdirSync(join(scratch.path, "a"))).toEqual(["b"]);
});

test("readFileBounded() reads up to the limit and refuses more", async () => {
  using scratch = scratchDirectory();
  const path = join(scratch.path, "a");
  writeFileSync(path, "12345");
  expect(Buffer.from(await readFileBounded(path, 5)).toString()).toBe("12345");
  await expect(readFileBounded(path, 4)).rejects.toThrow(`cannot read ${path}: it has 5 bytes, more than 4`);
});

test("readFileBounded() refuses a fifo instead of waiting for its writer", async () => {
  using scratch = scratchDirectory();
  const path = join(scratch.path, "fifo");
  expect(spawnSync("mkfifo", [path]).status).toBe(0);
  await expect(readFileBounded(path, 5)).rejects.toThrow(`cannot read ${path}: it is not a regular file`);
});

test("readFileChunks() reads all or a range, and says when the range is not there", async () => {
  using scratch = scratchDirectory();
  const path = join(scratch.path, "a");
  writeFileSync(path, `${"x".repeat(3 << 20)}end`);
  expect(await gather(readFileChunks(path))).toHaveLength((3 << 20) + 3);
  expect(await gather(readFileChunks(path, { offset: 3 << 20, length: 3 }))).toBe("end");
  expect(await gather(readFileChunks(path, { offset: 1, length: 0 }))).toBe("");
  await expect(gather(readFileChunks(path, { offset: 3 << 20, length: 4 }))).rejects.toThrow(
    `it ends at byte ${(3 << 20) + 3}, before byte ${(3 << 20) + 4}`,
  );
});

test("cloneFile() copies content, not permissions, and never overwrites", async () => {
  using scratch = scratchDirectory();
  const [source, target] = [join(scratch.path, "a"), join(scratch.path, "b")];
  writeFileSync(source, "content");
  chmodSync(source, 0o4755);
  await cloneFile(source, target);
  expect(readFileSync(target, "utf8")).toBe("content");
  expect(statSync(target).mode & 0o7777).toBe(0o644);
  await expect(cloneFile(source, target)).rejects.toThrow("EEXIST");
});

test("findFile() gives undefined where nothing is", async () => {
  using scratch = scratchDirectory();
  writeFileSync(join(scratch.path, "a"), "");
  expect((await findFile(join(scratch.path, "a")))?.isFile()).toBe(true);
  expect(await findFile(join(scratch.path, "b"))).toBeUndefined();
  expect(await findFile(join(scratch.path, "a/b"))).toBeUndefined();
});
