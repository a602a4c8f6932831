/** What every blob store must do. An implementation calls this with a way to make an empty one. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import type { CodedError } from "#base/errors.ts";
import { readBlob, type BlobStore } from "#image/blob/store.ts";
import { digestOf, parseDigest, type Digest } from "#spec/digest.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";

const hello = Buffer.from("hello");
const helloDigest = digestOf(hello);
const absent = digestOf(Buffer.from("absent"));

async function* chunksOf(...chunks: (Uint8Array | Error)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    if (chunk instanceof Error) throw chunk;
    yield chunk;
  }
}

async function contentOf(store: BlobStore, digest: Digest): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of store.open(digest)) parts.push(chunk);
  return Buffer.concat(parts).toString("latin1");
}

async function listOf(store: BlobStore): Promise<Digest[]> {
  const digests: Digest[] = [];
  for (const digest of await store.list()) digests.push(digest);
  return digests.sort();
}

async function failure(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = (await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )) as CodedError | undefined;
  if (error === undefined) throw new Error("it did not fail");
  return { code: error.code, message: error.message };
}

/** Registers the suite for the store that `make` makes in the empty directory it is given. */
export function blobStoreContract(name: string, make: (directory: string) => BlobStore): void {
  const withStore = (sentence: string, body: (store: BlobStore, directory: string) => Promise<void>): void =>
    test(`${name}: ${sentence}`, async () => {
      using scratch = scratchDirectory();
      await body(make(scratch.path), scratch.path);
    });

  withStore("a new store is empty", async (store) => {
    expect(await listOf(store)).toEqual([]);
    expect(await store.size(absent)).toBeUndefined();
    expect(await store.delete(absent)).toBe(false);
  });

  withStore("what was put can be read, sized, listed and deleted", async (store) => {
    expect(await store.put(hello, { digest: helloDigest, size: 5 })).toEqual({ digest: helloDigest, size: 5 });
    expect(await store.size(helloDigest)).toBe(5);
    expect(await contentOf(store, helloDigest)).toBe("hello");
    expect(await listOf(store)).toEqual([helloDigest]);
    expect(await store.delete(helloDigest)).toBe(true);
    expect(await listOf(store)).toEqual([]);
  });

  withStore("content comes as bytes, as a stream or as a file", async (store, directory) => {
    const path = join(directory, "input");
    writeFileSync(path, "from a file");
    await store.put(chunksOf(Buffer.from("from "), Buffer.from("a stream")), { digest: digestOf(Buffer.from("from a stream")) });
    await store.put({ path }, { digest: digestOf(Buffer.from("from a file")), size: 11 });
    expect(await contentOf(store, digestOf(Buffer.from("from a stream")))).toBe("from a stream");
    expect(await contentOf(store, digestOf(Buffer.from("from a file")))).toBe("from a file");
  });

  withStore("content that nobody named gets its sha256 digest", async (store) => {
    expect(await store.put(chunksOf(hello))).toEqual({ digest: helloDigest, size: 5 });
    expect(await store.put(Buffer.alloc(0))).toEqual({ digest: digestOf(Buffer.alloc(0)), size: 0 });
    expect(await contentOf(store, digestOf(Buffer.alloc(0)))).toBe("");
  });

  withStore("sha512 works like sha256", async (store) => {
    const digest = digestOf(hello, "sha512");
    await store.put(hello, { digest });
    expect(await contentOf(store, digest)).toBe("hello");
    expect(await listOf(store)).toEqual([digest]);
  });

  withStore("content with another digest or size is refused and nothing of it stays", async (store, directory) => {
    const path = join(directory, "input");
    writeFileSync(path, "hallo");
    const wrong = [
      () => store.put(Buffer.from("hallo"), { digest: helloDigest }),
      () => store.put(chunksOf(Buffer.from("hell")), { digest: helloDigest, size: 5 }),
      () => store.put(chunksOf(hello, hello), { digest: helloDigest, size: 5 }),
      () => store.put({ path }, { digest: helloDigest, size: 5 }),
      () => store.put(hello, { digest: helloDigest, size: 4 }),
    ];
    for (const put of wrong) expect((await failure(put())).code).toBe("corrupt");
    expect(await listOf(store)).toEqual([]);
    expect(await store.size(helloDigest)).toBeUndefined();
  });

  withStore("a stream that fails leaves nothing and passes its error on", async (store) => {
    expect((await failure(store.put(chunksOf(hello, new Error("the line broke")), { digest: helloDigest }))).message).toBe(
      "the line broke",
    );
    expect(await listOf(store)).toEqual([]);
  });

  withStore("an algorithm that cannot be verified is refused", async (store) => {
    expect((await failure(store.put(hello, { digest: parseDigest("blake9:abc") }))).code).toBe("unsupported");
    expect(await listOf(store)).toEqual([]);
  });

  withStore("putting what is here succeeds without reading it, but a wrong size is still an error", async (store) => {
    await store.put(hello, { digest: helloDigest });
    expect(await store.put(chunksOf(new Error("must not be read")), { digest: helloDigest, size: 5 })).toEqual({
      digest: helloDigest,
      size: 5,
    });
    expect((await failure(store.put(hello, { digest: helloDigest, size: 6 }))).code).toBe("corrupt");
    expect(await contentOf(store, helloDigest)).toBe("hello");
  });

  withStore("reading what is not here fails with not-found", async (store) => {
    expect(await failure(contentOf(store, absent))).toEqual({ code: "not-found", message: `cannot read ${absent}: there is no such blob` });
    expect((await failure(readBlob(store, { digest: absent, size: 1 }, 10))).code).toBe("not-found");
  });

  withStore("readBlob() checks size and limit before it reads", async (store) => {
    await store.put(hello);
    expect(Buffer.from(await readBlob(store, { digest: helloDigest, size: 5 }, 5)).toString()).toBe("hello");
    expect((await failure(readBlob(store, { digest: helloDigest, size: 5 }, 4))).code).toBe("exhausted");
    expect((await failure(readBlob(store, { digest: helloDigest, size: 4 }, 10))).code).toBe("corrupt");
  });

  withStore("twenty puts of the same content at once store it once", async (store) => {
    await Promise.all(Array.from({ length: 20 }, () => store.put(chunksOf(hello), { digest: helloDigest, size: 5 })));
    expect(await listOf(store)).toEqual([helloDigest]);
    expect(await contentOf(store, helloDigest)).toBe("hello");
  });

  withStore("progress counts the bytes up to the end", async (store) => {
    const seen: number[] = [];
    await store.put(chunksOf(hello, hello), { digest: digestOf(Buffer.from("hellohello")) }, (done) => void seen.push(done));
    expect(seen).toEqual([5, 10]);
  });

  withStore("any bytes in any pieces come back as they were", async (store) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), async (chunks) => {
        const { digest, size } = await store.put(chunksOf(...chunks));
        const whole = Buffer.concat(chunks);
        expect([digest, size]).toEqual([digestOf(whole), whole.length]);
        expect(await contentOf(store, digest)).toBe(whole.toString("latin1"));
      }),
      { numRuns: 50 },
    );
  });
}
