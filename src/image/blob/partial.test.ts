import { expect, test } from "bun:test";
import { existsSync, readdirSync, symlinkSync, writeFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../../../test/support/scratch-directory.ts";
import { CodedError } from "#base/errors.ts";
import { digestOf } from "#spec/digest.ts";
import { DirectoryBlobStore } from "./directory.ts";
import { blobPath } from "./paths.ts";

const bytes = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
const expected = { digest: digestOf(bytes), size: bytes.length };
const partialName = `partial-${expected.digest.replace(":", "-")}`;

/** A download that notes where it was asked to begin and ends after `upTo` bytes with an error. */
function download(asked: number[], upTo = bytes.length) {
  return {
    from: async function* (offset: number): AsyncGenerator<Uint8Array> {
      asked.push(offset);
      for (let at = offset; at < upTo; at += 700) yield bytes.subarray(at, Math.min(at + 700, upTo));
      if (upTo < bytes.length) throw new CodedError("unavailable", "the connection was cut");
    },
  };
}

test("a download that fails is gone on with where it ended", async () => {
  using scratch = scratchDirectory();
  const store = new DirectoryBlobStore(scratch.path);
  const asked: number[] = [];
  await expect(store.put(download(asked, 2100), expected)).rejects.toThrow("the connection was cut");
  expect(await store.size(expected.digest)).toBeUndefined();
  await expect(store.put(download(asked, 4200), expected)).rejects.toThrow("the connection was cut");
  expect(await store.put(download(asked), expected)).toEqual(expected);
  expect(asked).toEqual([0, 2100, 4200]);
  expect(readdirSync(join(scratch.path, "tmp"))).toEqual([]);
});

test("what an earlier attempt left is not trusted: with a wrong beginning the download starts anew", async () => {
  using scratch = scratchDirectory();
  mkdirSync(join(scratch.path, "tmp"));
  writeFileSync(join(scratch.path, "tmp", partialName), "wrong");
  const asked: number[] = [];
  await new DirectoryBlobStore(scratch.path).put(download(asked), expected);
  expect(asked).toEqual([5, 0]);
});

test("a file that has more bytes than the blob starts anew", async () => {
  using scratch = scratchDirectory();
  mkdirSync(join(scratch.path, "tmp"));
  writeFileSync(join(scratch.path, "tmp", partialName), Buffer.concat([bytes, bytes]));
  const asked: number[] = [];
  await new DirectoryBlobStore(scratch.path).put(download(asked), expected);
  expect(asked).toEqual([0]);
});

test("content that is not what was expected leaves nothing", async () => {
  using scratch = scratchDirectory();
  const wrong = {
    from: async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(5000);
    },
  };
  await expect(new DirectoryBlobStore(scratch.path).put(wrong, expected)).rejects.toThrow("its content has the digest");
  expect(readdirSync(join(scratch.path, "tmp"))).toEqual([]);
});

test("ten who want one blob at once download it once", async () => {
  using scratch = scratchDirectory();
  const asked: number[] = [];
  await Promise.all(Array.from({ length: 10 }, () => new DirectoryBlobStore(scratch.path).put(download(asked), expected)));
  expect(asked).toEqual([0]);
});

test("the claim of a dead process is taken over", async () => {
  using scratch = scratchDirectory();
  mkdirSync(join(scratch.path, "tmp"));
  const { ownerName } = await import("#sys/owner.ts");
  const dead = ownerName().replace(/^(\d+)-\d+-/, "$1-1-");
  symlinkSync(dead, join(scratch.path, "tmp", `claim-${expected.digest.replace(":", "-")}`));
  await new DirectoryBlobStore(scratch.path).put(download([]), expected);
  expect(existsSync(blobPath(scratch.path, expected.digest))).toBe(true);
});
