import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { digestOf, findDigestFault, parseDigest, shortDigest, verifyBytes, verifyContent, type Digest } from "./digest.ts";

const hello = Buffer.from("hello");
const helloDigest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" as Digest;

async function* chunksOf(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

test("D2 parseDigest() accepts the grammar of the image spec", () => {
  for (const text of [
    helloDigest,
    `sha512:${"a".repeat(128)}`,
    "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
    "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
    "unknown:AbC_=-1",
  ]) {
    expect(parseDigest(text) as string).toBe(text);
  }
});

test("D3 parseDigest() refuses everything else", () => {
  const hex = "a".repeat(64);
  const wrong = [
    "",
    ":",
    "sha256",
    "sha256:",
    `:${hex}`,
    `SHA256:${hex}`,
    `sha256:${hex.toUpperCase()}`,
    `sha256:${hex.slice(1)}`,
    `sha256:${hex}a`,
    `sha256:${"g".repeat(64)}`,
  ];
  const tricks = [
    "sha256:../../x",
    `sha256:../${hex}`,
    `../x:${hex}`,
    `sha256:${hex}\n`,
    `sha256:${hex}\0`,
    `sha256/${hex}`,
    `a..b:${hex}`,
    "x:a/b",
    "x:.",
    `x:${"a".repeat(300)}`,
    ` sha256:${hex}`,
  ];
  for (const text of [...wrong, ...tricks]) expect(() => parseDigest(text)).toThrow("cannot use digest ");
});

test("a digest never holds a character that means something in a path", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", "0", ":", "/", ".", "\\", "\0", "-", "_", "=", "+", " ", "\n", "é") }), (text) => {
      if (findDigestFault(text) === undefined) expect(text).toMatch(/^[a-z0-9+._-]+:[a-zA-Z0-9=_-]+$/);
    }),
  );
});

test("D4 digestOf() hashes with sha256 unless told", () => {
  expect(digestOf(hello)).toBe(helloDigest);
  expect(digestOf(hello, "sha512")).toBe(`sha512:${createHash("sha512").update("hello").digest("hex")}` as Digest);
  expect(shortDigest(helloDigest)).toBe("2cf24dba5fb0");
});

test("verifyContent() passes on content that is what it should be, in any pieces", async () => {
  expect(await drain(verifyContent(chunksOf(hello), { digest: helloDigest, size: 5 }))).toBe("hello");
  expect(await drain(verifyContent(chunksOf(hello.subarray(0, 2), Buffer.alloc(0), hello.subarray(2)), { digest: helloDigest }))).toBe(
    "hello",
  );
  expect(await drain(verifyContent(chunksOf(hello), { digest: digestOf(hello, "sha512") }))).toBe("hello");
});

test("verifyContent() fails at the first byte too many, without its end", async () => {
  let asked = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      asked++;
      yield hello;
    }
  }
  await expect(drain(verifyContent(endless(), { digest: helloDigest, size: 7 }))).rejects.toThrow(
    `cannot accept ${helloDigest}: it has more, not 7 bytes`,
  );
  expect(asked).toBeLessThanOrEqual(2);
});

test("verifyContent() fails for content that is short or other", async () => {
  await expect(drain(verifyContent(chunksOf(hello), { digest: helloDigest, size: 6 }))).rejects.toThrow("it has 5 bytes, not 6 bytes");
  await expect(drain(verifyContent(chunksOf(Buffer.from("hallo")), { digest: helloDigest, size: 5 }))).rejects.toThrow(
    /its content has the digest sha256:[0-9a-f]{64}$/,
  );
});

test("D5 content of an unknown algorithm cannot be verified", () => {
  expect(() => verifyBytes(hello, { digest: parseDigest("blake9:abc") })).toThrow(
    "cannot verify blake9:abc: the algorithm blake9 is not one of sha256, sha512",
  );
});
