import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { CodedError } from "#base/errors.ts";
import { decompressLayer } from "./decompress.ts";

const ociTar = "application/vnd.oci.image.layer.v1.tar";
const gzipType = `${ociTar}+gzip`;
const zstdType = `${ociTar}+zstd`;

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    yield bytes.subarray(at, at + size);
  }
}

async function decompress(bytes: Uint8Array, mediaType: string, size: number = bytes.length): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of decompressLayer(pieces(bytes, size), mediaType)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

async function failure(bytes: Uint8Array, mediaType: string, size?: number): Promise<CodedError> {
  try {
    await decompress(bytes, mediaType, size);
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error("it was decompressed without an error");
}

const text = Buffer.from(Array.from({ length: 50_000 }, (_, index) => `${index * 7919} `).join(""));
const half = text.length >> 1;
// The types are those of a Node that has no zstd.
const { zstdCompressSync } = Bun;
const skippable = Buffer.concat([Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.from("hello")]);
const formats = {
  gzip: { type: gzipType, whole: gzipSync(text), parts: [gzipSync(text.subarray(0, half)), gzipSync(""), gzipSync(text.subarray(half))] },
  zstd: {
    type: zstdType,
    whole: zstdCompressSync(text),
    parts: [skippable, zstdCompressSync(text.subarray(0, half)), skippable, zstdCompressSync(text.subarray(half)), skippable],
  },
} as const;
const sizes = [997, 1 << 16, 1 << 20];
const small = Buffer.from("small content\n".repeat(20));

describe.each(["gzip", "zstd"] as const)("decompressLayer() of %s", (format) => {
  const { type, whole, parts } = formats[format];

  test("gives the content, whatever the pieces it comes in", async () => {
    for (const size of sizes) expect((await decompress(whole, type, size)).equals(text)).toBe(true);
    const bytes = format === "gzip" ? gzipSync(small) : zstdCompressSync(small);
    for (const size of [1, 2, 3, 7])
      expect((await decompress(Buffer.concat([bytes, bytes]), type, size)).equals(Buffer.concat([small, small]))).toBe(true);
  });

  test("R1 reads several members or frames as one content", async () => {
    for (const size of sizes) expect((await decompress(Buffer.concat(parts), type, size)).equals(text)).toBe(true);
    const cut = Buffer.concat(parts);
    expect((await decompress(cut, type, parts[0].length)).equals(text)).toBe(true);
  });

  test("refuses content that is cut off, wherever", async () => {
    const twice = Buffer.concat([whole, whole]);
    const lengths = [
      0,
      1,
      3,
      5,
      12,
      whole.length >> 1,
      whole.length - 5,
      whole.length - 1,
      whole.length + 1,
      whole.length + 4,
      whole.length + 20,
      twice.length - 1,
    ];
    for (const length of lengths) {
      for (const size of [twice.length, 1000]) expect((await failure(twice.subarray(0, length), type, size)).code).toBe("corrupt");
    }
  });

  test("refuses anything after the last member or frame", async () => {
    for (const rest of [
      Buffer.from("garbage"),
      Buffer.alloc(1),
      Buffer.alloc(512),
      Buffer.alloc(1 << 20),
      Buffer.from([0x1f]),
      Buffer.from([0x28, 0xb5]),
    ]) {
      for (const size of [whole.length + rest.length, whole.length, 4096]) {
        expect((await failure(Buffer.concat([whole, rest]), type, size)).code).toBe("corrupt");
      }
    }
  });

  test("refuses content that is damaged", async () => {
    const damaged = Buffer.from(whole);
    damaged[whole.length >> 1] = (damaged[whole.length >> 1] ?? 0) ^ 0x55;
    // zstd has a checksum only if its writer wants one: the DiffID is what finds the rest.
    const found = await decompress(damaged, type).then(
      (bytes) => (bytes.equals(text) ? "same" : "other bytes"),
      (error: unknown) => (error instanceof CodedError ? error.code : "another error"),
    );
    expect(format === "gzip" ? ["corrupt"] : ["corrupt", "other bytes"]).toContain(found);
  });

  test("refuses a media type that the content contradicts", async () => {
    expect((await failure(whole, ociTar)).message).toBe(`cannot decompress a layer of media type "${ociTar}": its content is ${format}`);
    const other = format === "gzip" ? formats.zstd : formats.gzip;
    expect((await failure(whole, other.type)).message).toContain(`its content is ${format}`);
  });

  test("passes an error of the source on as it is", async () => {
    const broken = new CodedError("unavailable", "the source is gone");
    async function* source(): AsyncGenerator<Uint8Array> {
      yield* pieces(whole.subarray(0, 2000), 500);
      throw broken;
    }
    const reading = (async () => {
      for await (const chunk of decompressLayer(source(), type)) expect(chunk.length).toBeGreaterThan(0);
    })();
    expect(await reading.catch((error: unknown) => error)).toBe(broken);
  });

  test("ends the source when the reader leaves early", async () => {
    const { promise: ended, resolve: end } = Promise.withResolvers<string>();
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield* pieces(whole, 1000);
      } finally {
        end("ended");
      }
    }
    for await (const chunk of decompressLayer(source(), type)) if (chunk.length > 0) break;
    expect(await ended).toBe("ended");
  });

  test("waits for its reader: it takes no more of the source than a few chunks", async () => {
    let taken = 0;
    const zeros = Buffer.alloc(64 << 20);
    const piece = format === "gzip" ? gzipSync(zeros) : Buffer.concat(Array.from({ length: 20 }, () => zstdCompressSync(zeros)));
    async function* source(): AsyncGenerator<Uint8Array> {
      for (; taken < 1000; taken++) {
        await new Promise((resolve) => setImmediate(resolve));
        yield piece;
      }
    }
    for await (const chunk of decompressLayer(source(), type)) {
      expect(chunk.length).toBeLessThanOrEqual(512 << 10);
      await new Promise((resolve) => setTimeout(resolve, 100));
      break;
    }
    expect(piece.length).toBeGreaterThan(30_000);
    expect(taken).toBeLessThan(30);
  });
});

describe("decompressLayer()", () => {
  test("M4 knows Docker's media types as twins", async () => {
    expect((await decompress(formats.gzip.whole, "application/vnd.docker.image.rootfs.diff.tar.gzip")).equals(text)).toBe(true);
    expect((await decompress(text, "application/vnd.docker.image.rootfs.diff.tar")).equals(text)).toBe(true);
  });

  test("passes an uncompressed layer through", async () => {
    expect((await decompress(text, ociTar, 1000)).equals(text)).toBe(true);
    expect(await decompress(Buffer.alloc(0), ociTar)).toHaveLength(0);
  });

  test("refuses a media type that is no layer's", async () => {
    const error = await failure(text, "application/vnd.oci.image.config.v1+json");
    expect(error.code).toBe("unsupported");
    expect(error.message).toBe(
      'cannot decompress a layer of media type "application/vnd.oci.image.config.v1+json": it is not one of a layer',
    );
  });

  test("refuses a zstd frame whose window is over 128 MiB", async () => {
    // Magic, no flags, window exponent 18 (2^28), then an empty last block.
    const error = await failure(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 1, 0, 0]), zstdType);
    expect(error).toMatchObject({
      code: "unsupported",
      message: "cannot decompress zstd: a frame needs a window of 268435456 bytes, more than 134217728",
    });
  });
});

/** What the oldest Node does, whose zlib has no zstd: a program that is bundled and run there. */
const smoke = `
import { gzipSync } from "node:zlib";
import { decompressLayer } from ${JSON.stringify(join(import.meta.dir, "decompress.ts"))};
const read = async (base64, type) => {
  const bytes = Buffer.from(base64, "base64");
  const pieces = async function* () { for (let at = 0; at < bytes.length; at += 999) yield bytes.subarray(at, at + 999); };
  const chunks = [];
  try { for await (const chunk of decompressLayer(pieces(), type)) chunks.push(Buffer.from(chunk)); } catch (error) { return error.code; }
  return Buffer.concat(chunks).toString("latin1");
};
const input = JSON.parse(await new Promise((resolve) => { let all = ""; process.stdin.on("data", (part) => all += part).on("end", () => resolve(all)); }));
console.log(JSON.stringify(await Promise.all(input.map(([base64, type]) => read(base64, type)))));
`;

const hasNode = Bun.which("node") !== null;
if (!hasNode) console.log("skipped: there is no Node here");

test.skipIf(!hasNode)("decompressLayer() does the same under Node", () => {
  const scratch = mkdtempSync(join(tmpdir(), "gantry-decompress-"));
  try {
    writeFileSync(join(scratch, "smoke.ts"), smoke);
    const bundle = join(scratch, "smoke.mjs");
    execFileSync(process.execPath, ["build", "--target=node", `--outfile=${bundle}`, join(scratch, "smoke.ts")], {
      cwd: import.meta.dir,
      stdio: "pipe",
    });
    const cases = (["gzip", "zstd"] as const).flatMap((format) => {
      const { type, whole, parts } = formats[format];
      const inputs = [
        whole,
        Buffer.concat(parts),
        whole.subarray(0, -1),
        Buffer.concat([whole, Buffer.alloc(512)]),
        Buffer.concat([whole, Buffer.from("garbage")]),
        Buffer.concat([whole, whole.subarray(0, 3)]),
      ];
      return inputs.map((input) => [input.toString("base64"), type]);
    });
    const output = execFileSync("node", [bundle], { input: JSON.stringify(cases), encoding: "utf8", maxBuffer: 1 << 26 });
    const content = text.toString("latin1");
    const expected = [content, content, "corrupt", "corrupt", "corrupt", "corrupt"];
    expect((JSON.parse(output) as string[]).map((found) => (found === content ? "content" : found))).toEqual(
      [...expected, ...expected].map((found) => (found === content ? "content" : found)),
    );
  } finally {
    rmSync(scratch, { recursive: true });
  }
});
