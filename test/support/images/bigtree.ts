/**
 * The image `bigtree`: about 48,000 files in four gzip layers (about 240 MB), for measurements.
 *
 * The content is synthetic and the same on every run: names and sizes as in a tree of node_modules (mean 12 KB, log-normal),
 * text that gzip makes about 3.5 times smaller.
 */
import { directory, file, hardlink, opaque, symlink, whiteout } from "./cases/case.ts";
import type { TarEntry } from "./tar-writer.ts";

const packages = 1_450;
const poolBytes = 16 << 20;

/** Entries of the three layers over Debian: large files, a tree of packages, and odd changes to both. */
export function bigtreeLayers(): (() => Iterable<TarEntry>)[] {
  const pool = textPool();
  return [() => largeFiles(pool), () => packageTree(pool), oddChanges];
}

/** A generator of numbers in [0, 1) (mulberry32); the same seed gives the same numbers. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function textPool(): Buffer {
  const random = seeded(7);
  const letters = "etaoinshrdlucmfw_.";
  const word = (): string =>
    Array.from({ length: 2 + Math.floor(random() * 9) }, () => letters[Math.floor(random() * letters.length)]).join("");
  const words = Array.from({ length: 1_500 }, word);
  const parts: string[] = [];
  for (let bytes = 0; bytes < poolBytes;) {
    // Squaring thrice makes few words frequent, as in source text.
    const next = words[Math.floor(random() ** 8 * words.length)] ?? "";
    const text = next + (random() < 0.14 ? ";\n  " : " ");
    parts.push(text);
    bytes += text.length;
  }
  return Buffer.from(parts.join(""), "latin1").subarray(0, poolBytes);
}

function* largeFiles(pool: Buffer): Iterable<TarEntry> {
  const random = seeded(11);
  yield directory("opt");
  yield directory("opt/large");
  for (let index = 0; index < 890; index += 1) {
    const bytes = sizeOf(random, { median: 50_000, spread: 1.25, most: 8 << 20 });
    yield file(`opt/large/lib${index}.so.${index % 7}`, "", { data: slice(pool, random, bytes), mode: 0o755 });
  }
}

function* packageTree(pool: Buffer): Iterable<TarEntry> {
  const random = seeded(13);
  yield directory("srv");
  yield directory("srv/node_modules");
  for (let index = 0; index < packages; index += 1) {
    const base = `srv/node_modules/${packageName(index)}`;
    yield directory(base);
    yield file(`${base}/package.json`, "", { data: slice(pool, random, 900 + Math.floor(random() * 1500)) });
    yield directory(`${base}/lib`);
    yield directory(`${base}/lib/internal`);
    yield directory(`${base}/types`);
    for (let each = 0; each < 24; each += 1) {
      const folder = ["lib", "lib/internal", "types"][each % 3] ?? "lib";
      const bytes = sizeOf(random, { median: 3_600, spread: 1.62, most: 4 << 20 });
      yield file(`${base}/${folder}/module-${each}.${folder === "types" ? "d.ts" : "js"}`, "", { data: slice(pool, random, bytes) });
    }
  }
}

function* oddChanges(): Iterable<TarEntry> {
  const base = (index: number): string => `srv/node_modules/${packageName(index)}`;
  for (let index = 0; index < 60; index += 1) yield whiteout(`${base(index)}/types`);
  for (let index = 60; index < 120; index += 1) yield whiteout(`${base(index)}/lib/module-0.js`);
  for (const index of [200, 201]) {
    yield directory(base(index));
    yield opaque(base(index));
    yield file(`${base(index)}/index.js`, "module.exports = 1;\n");
  }
  for (let index = 300; index < 320; index += 1) yield file(`${base(index)}/types`, "a file now");
  for (let index = 320; index < 340; index += 1) yield directory(`${base(index)}/package.json`);
  for (let index = 400; index < 440; index += 1) yield hardlink(`${base(index)}/lib/linked.js`, `${base(index)}/lib/module-3.js`);
  for (let index = 500; index < 530; index += 1) yield symlink(`${base(index)}/lib/latest.js`, "module-3.js");
  yield file("opt/capable", "x", {
    mode: 0o755,
    xattrs: { "security.capability": Buffer.from("0100000200040000000000000000000000000000", "hex") },
  });
  yield { name: "opt/fifo", type: "fifo" };
  yield { name: "opt/null", type: "char", major: 1, minor: 3 };
}

function packageName(index: number): string {
  return index % 5 === 0 ? `@scope-${index % 40}/package-${index}` : `package-${index}`;
}

/** A log-normal size: e^spread is one standard deviation around `median`. */
function sizeOf(random: () => number, shape: { median: number; spread: number; most: number }): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Math.min(shape.most, Math.floor(shape.median * Math.exp(shape.spread * normal)));
}

function slice(pool: Buffer, random: () => number, bytes: number): Buffer {
  const start = Math.floor(random() * (pool.length - bytes));
  return pool.subarray(start, start + bytes);
}
