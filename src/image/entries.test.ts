import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { digestOf } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { mediaTypes } from "#spec/media-type.ts";
import { putName, takeImage, takeName } from "./entries.ts";
import { nameOf } from "./layout.ts";

const image = (text: string): Descriptor => ({ mediaType: mediaTypes.manifest, digest: digestOf(Buffer.from(text)), size: 1 });
const [a, b] = [image("a"), image("b")];
const shown = (entries: readonly Descriptor[]): string[] =>
  entries.map((entry) => `${entry.digest === a.digest ? "a" : "b"}=${nameOf(entry) ?? ""}`);

test("putName() gives an image names, each of them once", () => {
  expect(shown(putName(putName(putName([], a, "x:1"), a, "y:1"), a, "x:1"))).toEqual(["a=x:1", "a=y:1"]);
});

test("putName() takes the name from the image that had it, which stays without one", () => {
  expect(shown(putName(putName([], a, "x:1"), b, "x:1"))).toEqual(["a=", "b=x:1"]);
  expect(shown(putName(putName(putName([], a, "x:1"), a, "y:1"), b, "x:1"))).toEqual(["a=y:1", "b=x:1"]);
});

test("putName() makes a dangling image a named one", () => {
  expect(shown(putName(putName([], a, undefined), a, "x:1"))).toEqual(["a=x:1"]);
  expect(shown(putName(putName([], a, "x:1"), a, undefined))).toEqual(["a=x:1"]);
});

test("putName() keeps the other annotations of an entry", () => {
  const [entry] = putName([], { ...a, annotations: { other: "1" } }, "x:1");
  expect(entry?.annotations).toEqual({ other: "1", "org.opencontainers.image.ref.name": "x:1" });
});

test("takeName() and takeImage() take a name and a whole image", () => {
  const entries = putName(putName(putName([], a, "x:1"), a, "y:1"), b, "z:1");
  expect(shown(takeName(entries, "x:1"))).toEqual(["a=y:1", "b=z:1"]);
  expect(shown(takeName(entries, "z:1"))).toEqual(["a=x:1", "a=y:1", "b="]);
  expect(shown(takeImage(entries, a.digest))).toEqual(["b=z:1"]);
  expect(takeName(entries, "q:1")).toHaveLength(3);
});

test("names are unique and no image is lost, whatever is put and taken", () => {
  const step = fc.record({ image: fc.constantFrom(a, b), name: fc.constantFrom("x:1", "y:1", "z:1", undefined), take: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      let entries: readonly Descriptor[] = [];
      const seen = new Set<string>();
      for (const { image: put, name, take } of steps) {
        if (take && name !== undefined) entries = takeName(entries, name);
        else {
          entries = putName(entries, put, name);
          seen.add(put.digest);
        }
        const names = entries.flatMap((entry) => nameOf(entry) ?? []);
        expect(new Set(names).size).toBe(names.length);
        expect(new Set(entries.map((entry) => entry.digest as string))).toEqual(seen);
        for (const { digest } of entries) {
          const own = entries.filter((entry) => entry.digest === digest);
          expect(own.length === 1 || own.every((entry) => nameOf(entry) !== undefined)).toBe(true);
        }
      }
    }),
  );
});
