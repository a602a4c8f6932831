import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DirectoryBlobStore } from "../blob/directory.ts";
import { MemoryBlobStore } from "../blob/memory.ts";
import { decompressLayer } from "./decompress.ts";
import { layerTypes, storeLayer, type StoredLayer } from "./store.ts";

/** Half of it cannot be compressed; long enough that several pieces are under way. */
const content = Buffer.concat([randomBytes(5 << 20), Buffer.alloc(5 << 20, "what a layer is made of\n"), randomBytes(12345)]);

/** All chunks are one piece of memory, as those of a file that is lent. */
async function* lent(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(size);
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    const part = bytes.subarray(at, at + size);
    memory.set(part);
    yield memory.subarray(0, part.length);
    memory.fill(0);
  }
}

for (const compression of ["gzip", "zstd", "none"] as const) {
  describe(`a layer packed with ${compression}`, () => {
    test("has the same bytes each time, however they came and wherever they are kept", async () => {
      const directory = mkdtempSync(join(tmpdir(), "gantry-compress-"));
      try {
        const stores = [new MemoryBlobStore(), new DirectoryBlobStore(directory)];
        const made: StoredLayer[] = [];
        for (const store of stores)
          for (const size of [content.length, 1 << 20, 77_777]) made.push(await storeLayer(store, lent(content, size), compression));
        expect(new Set(made.map(({ descriptor }) => descriptor.digest)).size).toBe(1);
        expect(new Set(made.map(({ diffId }) => diffId)).size).toBe(1);
        const { digest } = (made[0] as StoredLayer).descriptor;
        for (const store of stores) {
          const chunks: Uint8Array[] = [];
          for await (const chunk of decompressLayer(store.open(digest), layerTypes[compression])) chunks.push(Buffer.from(chunk));
          expect(Buffer.concat(chunks).equals(content)).toBe(true);
        }
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    });
  });
}
