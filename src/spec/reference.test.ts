import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { formatReference, parseReference, splitName, withDefaultTag } from "./reference.ts";

const hex = "0123456789abcdef".repeat(4);

test("parseReference() takes names, tags and digests apart", () => {
  expect(parseReference("debian")).toEqual({ name: "debian" });
  expect(parseReference("debian:12")).toEqual({ name: "debian", tag: "12" });
  expect(parseReference("a/b_c/d__e/f-g---h.i:V1.0-x_y")).toEqual({ name: "a/b_c/d__e/f-g---h.i", tag: "V1.0-x_y" });
  expect(parseReference("localhost:5000/a")).toEqual({ name: "localhost:5000/a" });
  expect(parseReference("Example.org:443/a:t")).toEqual({ name: "Example.org:443/a", tag: "t" });
  expect(parseReference("[::1]:5000/a:t")).toEqual({ name: "[::1]:5000/a", tag: "t" });
  expect(parseReference(`host.example/a:t@sha256:${hex}`)).toEqual({ name: "host.example/a", tag: "t", digest: `sha256:${hex}` as never });
});

test("N1 parseReference() refuses what the distribution spec does not allow", () => {
  const wrong = [
    "",
    ":t",
    "@sha256:x",
    "a:",
    "a:-t",
    `a:${"t".repeat(129)}`,
    "a b",
    "a//b",
    "/a",
    "a/",
    "-a",
    "a-",
    "a..b",
    "a___b",
    "a_-b",
    "a/../b",
    "a\0",
    "a@sha256:../../x",
    `a@sha256:${hex.toUpperCase()}`,
    "exa_mple.org/a",
    "host:port/a",
    "[::1/a",
    "é",
  ];
  for (const text of wrong) expect(() => parseReference(text)).toThrow("cannot use image name ");
});

test("parseReference() says what is wrong", () => {
  expect(() => parseReference("Debian")).toThrow('cannot use image name "Debian": the path must be lower case');
  expect(() => parseReference(hex)).toThrow("64 hexadecimal digits are an image id, not a name");
  expect(() => parseReference("a".repeat(256))).toThrow("the name has 256 characters, more than 255");
  expect(() => parseReference("a@b")).toThrow("after the @, it is not of the form algorithm:encoded");
});

test("N1 a tag of 128 and a name of 255 characters are the longest", () => {
  expect(parseReference(`${"a".repeat(255)}:${"t".repeat(128)}`).tag?.length).toBe(128);
});

test("withDefaultTag() adds the tag only where nothing else says which image", () => {
  expect(withDefaultTag(parseReference("a"))).toEqual({ name: "a", tag: "latest" });
  expect(withDefaultTag(parseReference("a:b")).tag).toBe("b");
  expect(withDefaultTag(parseReference(`a@sha256:${hex}`)).tag).toBeUndefined();
});

test("N2 splitName() knows a domain by its dot, port, capitals or localhost", () => {
  expect(["a/b", "a.b/c", "a:1/c", "A/c", "localhost/c", "localhost", "a/b.c/d"].map((name) => splitName(name).domain)).toEqual([
    undefined,
    "a.b",
    "a:1",
    "A",
    "localhost",
    undefined,
    undefined,
  ]);
});

test("parseReference() reads what formatReference() writes", () => {
  const part = fc.stringMatching(/^[a-z0-9]{1,5}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}$/);
  const name = fc
    .tuple(fc.option(fc.constantFrom("localhost", "x.y", "h:80", "[::1]:5")), fc.array(part, { minLength: 1, maxLength: 3 }))
    .map(([domain, path]) => [...(domain === null ? [] : [domain]), ...path].join("/"))
    // A first component with a dot is read as a domain, and an underscore may not stand in one.
    .filter((text) => !/^[^/]*_[^/]*\//.test(text));
  const tag = fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/), { nil: undefined });
  const digest = fc.option(fc.constant(`sha256:${hex}` as never), { nil: undefined });
  fc.assert(
    fc.property(fc.record({ name, tag, digest }), (reference) => {
      const kept = Object.fromEntries(Object.entries(reference).filter(([, value]) => value !== undefined));
      expect(parseReference(formatReference(reference))).toEqual(kept as never);
    }),
  );
});

test("parseReference() ends soon for any text", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", "-", "_", ".", "/", ":", "@", "A"), maxLength: 2000 }), (text) => {
      try {
        parseReference(text);
      } catch {
        // Only that it ends matters here: the test's own time limit is the judge.
      }
    }),
  );
});
