import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { join } from "node:path";
import { digestOf, parseDigest, type DigestAlgorithm } from "#spec/digest.ts";
import { scratchDirectory } from "../../../test/support/scratch-directory.ts";
import { HashingBeside, HashThread } from "./hash-thread.ts";

const hasNode = Bun.which("node") !== null;
if (!hasNode) console.log("skipped: there is no Node here");

const anyDigest = (algorithm: DigestAlgorithm) => digestOf(new Uint8Array(0), algorithm);

/** `length` bytes that differ from place to place. */
function bytesOf(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 61) bytes[at] = at * 31 + seed;
  return bytes;
}

test("a thread makes the digests that hashing at once makes, of contents one after another", async () => {
  using thread = new HashThread();
  const length = fc.oneof(fc.nat(100), fc.constantFrom(0, 1, 262_143, 262_144, 262_145, 600_000));
  const content = fc.record({
    lengths: fc.array(length, { maxLength: 24 }),
    algorithm: fc.constantFrom("sha256" as const, "sha512" as const),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(content, { minLength: 1, maxLength: 3 }), async (contents) => {
      for (const { lengths, algorithm } of contents) {
        const pieces = lengths.map((bytes, index) => bytesOf(bytes, index));
        const hash = thread.begin(anyDigest(algorithm));
        for (const piece of pieces) {
          const copy = piece.slice();
          await hash.update(copy);
          // The memory is the caller's again.
          copy.fill(0xee);
        }
        const whole = Buffer.concat(pieces);
        expect(hash.size).toBe(whole.length);
        expect(await hash.finish()).toEqual({ digest: digestOf(whole, algorithm), size: whole.length });
      }
    }),
    { numRuns: 30 },
  );
});

test("who feeds faster than the thread hashes is made to wait, and nothing is lost", async () => {
  using thread = new HashThread();
  const piece = bytesOf(256 << 10, 1);
  const hash = thread.begin(anyDigest("sha256"));
  let waits = 0;
  for (let count = 0; count < 200; count++) {
    const waiting = hash.update(piece);
    if (waiting !== undefined) waits++;
    await waiting;
  }
  // The thread cannot have started when the first eight have been put in.
  expect(waits).toBeGreaterThan(0);
  expect((await hash.finish()).digest).toBe(digestOf(Buffer.concat(Array.from({ length: 200 }, () => piece))));
});

test("the counts of slots begin anew after 2^31, and the digest is right", async () => {
  using thread = new HashThread(2 ** 31 - 20);
  const piece = bytesOf(1000, 1);
  for (const count of [3, 30, 5]) {
    const hash = thread.begin(anyDigest("sha256"));
    for (let done = 0; done < count; done++) await hash.update(piece);
    expect((await hash.finish()).digest).toBe(digestOf(Buffer.concat(Array.from({ length: count }, () => piece))));
  }
});

test("an algorithm that nobody knows is refused, and the thread goes on", async () => {
  using thread = new HashThread();
  expect(() => thread.begin(parseDigest("md5:00"))).toThrow("the algorithm md5 is not one of sha256, sha512");
  const hash = thread.begin(anyDigest("sha256"));
  await hash.update(new Uint8Array([1, 2, 3]));
  expect((await hash.finish()).digest).toBe(digestOf(new Uint8Array([1, 2, 3])));
});

test("a process whose thread was closed in the middle of a content ends", async () => {
  const file = JSON.stringify(new URL("hash-thread.ts", import.meta.url).pathname);
  const script = `
    const { HashThread } = await import(${file});
    const thread = new HashThread();
    const hash = thread.begin("sha256:" + "0".repeat(64));
    for (let count = 0; count < 20; count++) await hash.update(new Uint8Array(1 << 18));
    thread[Symbol.dispose]();
  `;
  const child = Bun.spawn([process.execPath, "-e", script], { cwd: import.meta.dir, stdio: ["ignore", "ignore", "inherit"] });
  expect(await child.exited).toBe(0);
});

describe.skipIf(!hasNode)("under Node", () => {
  /** Hashes 10 bytes that are called 100 MB, in a process with these options. */
  async function hashUnderNode(options: readonly string[]): Promise<string> {
    using scratch = scratchDirectory();
    const built = await Bun.build({ entrypoints: [join(import.meta.dir, "hash-thread.ts")], target: "node", outdir: scratch.path });
    expect(built.success).toBe(true);
    const script = `
      const { HashingBeside } = await import(${JSON.stringify(join(scratch.path, "hash-thread.js"))});
      const hashing = new HashingBeside();
      const hash = hashing.begin("sha256:" + "0".repeat(64), 100_000_000);
      await hash.update(new Uint8Array(10));
      console.log((await hash.finish()).digest);
      hashing[Symbol.dispose]();
    `;
    const child = Bun.spawn(["node", "--input-type=module", ...options, "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const text = await new Response(child.stdout).text();
    expect(await child.exited).toBe(0);
    return text.trim();
  }

  test("a thread hashes in a process whose programs are modules", async () => {
    expect(await hashUnderNode([])).toBe(digestOf(new Uint8Array(10)));
  });

  test("where no thread may be made, large contents are hashed without one", async () => {
    // Node 23.5 took the word "experimental" away.
    const major = Number(Bun.spawnSync(["node", "--version"]).stdout.toString().slice(1).split(".")[0]);
    const option = major >= 24 ? "--permission" : "--experimental-permission";
    expect(await hashUnderNode([option, "--allow-fs-read=*"])).toBe(digestOf(new Uint8Array(10)));
  });
});

test("small contents are hashed without a thread", async () => {
  using hashing = new HashingBeside();
  const hash = hashing.begin(anyDigest("sha256"), 1000);
  expect(hash.update(new Uint8Array(10))).toBeUndefined();
  expect(hash.finish()).toEqual({ digest: digestOf(new Uint8Array(10)), size: 10 });
});
