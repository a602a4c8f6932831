import { describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "#spec/digest.ts";
import { scratchDirectory } from "../../../test/support/scratch-directory.ts";
import { DirectoryBlobStore } from "./directory.ts";
import { blobPath, partialPath } from "./paths.ts";
import { GrowingBlob } from "./growing.ts";

const content = Buffer.from("0123456789");
const digest = digestOf(content);

async function read(blob: GrowingBlob): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of blob.read()) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

function layout(path: string): GrowingBlob {
  mkdirSync(join(path, "tmp"));
  mkdirSync(join(path, "blobs/sha256"), { recursive: true });
  return new GrowingBlob(path, digest);
}

describe("GrowingBlob", () => {
  test("gives the bytes as they come, through the rename to the end", async () => {
    using scratch = scratchDirectory();
    const blob = layout(scratch.path);
    const chunks: string[] = [];
    const reading = (async (): Promise<void> => {
      for await (const chunk of blob.read()) chunks.push(Buffer.from(chunk).toString());
    })();
    writeFileSync(partialPath(scratch.path, digest), content.subarray(0, 4));
    blob.advance(4);
    while (chunks.length < 1) await Bun.sleep(1);
    writeFileSync(partialPath(scratch.path, digest), content.subarray(4), { flag: "a" });
    renameSync(partialPath(scratch.path, digest), blobPath(scratch.path, digest));
    blob.complete();
    await reading;
    expect(chunks).toEqual(["0123", "456789"]);
  });

  test("a blob that is there, or that another process brings, is read as it is", async () => {
    using scratch = scratchDirectory();
    const blob = layout(scratch.path);
    const reading = read(blob);
    await new DirectoryBlobStore(scratch.path).put(content, { digest, size: content.length });
    blob.complete();
    expect(await reading).toBe("0123456789");
    expect(await read(blob)).toBe("0123456789");
  });

  test("a download that begins anew is an error for who has read its old bytes", async () => {
    using scratch = scratchDirectory();
    const blob = layout(scratch.path);
    writeFileSync(partialPath(scratch.path, digest), content);
    blob.advance(8);
    const reading = read(blob);
    await Bun.sleep(5);
    blob.advance(2);
    await expect(reading).rejects.toThrow("its download began anew");
    const settling = blob.settle();
    blob.complete();
    expect([await settling, await blob.settle()]).toEqual([true, false]);
  });

  test("a failure reaches who waits, and who comes later, but not a blob that is whole", async () => {
    using scratch = scratchDirectory();
    const blob = layout(scratch.path);
    const waiting = blob.whole();
    blob.fail(new Error("the registry is gone"));
    await expect(waiting).rejects.toThrow("the registry is gone");
    await expect(read(blob)).rejects.toThrow("the registry is gone");
    blob.complete();
    await blob.whole();
  });
});
