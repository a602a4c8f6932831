import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "#base/byte-string.ts";
import { classifyName } from "./names.ts";

const classify = (name: string): unknown => classifyName(name as ByteString);

describe("classifyName()", () => {
  test.each([
    ["a", "a"],
    ["./a", "a"],
    ["a/b/", "a/b"],
    ["./", ""],
    [".", ""],
    ["././a//b/./c//", "a/b/c"],
    ["...", "..."],
    ["..a/b..", "..a/b.."],
    ["a.wh.b", "a.wh.b"],
    ["wh./x", "wh./x"],
  ])("takes %p for the path %p", (name, path) => {
    expect(classify(name)).toEqual({ kind: "entry", path });
  });

  test.each(["/", "/etc/passwd", "//a", "..", "../a", "./../a", "a/..", "a/../b", "a/b/../../..", "./.."])("refuses %p", (name) => {
    expect(classify(name)).toMatchObject({ kind: "refused" });
  });

  test.each([
    [".wh.a", "", "a"],
    ["./d/.wh.a", "d", "a"],
    ["d/.wh.a/", "d", "a"],
    ["d/.wh..hidden", "d", ".hidden"],
    ["d/.wh....", "d", "..."],
  ])("takes %p for a whiteout", (name, directory, hidden) => {
    expect(classify(name)).toEqual({ kind: "whiteout", directory, name: hidden });
  });

  test("takes .wh..wh..opq for an opaque mark", () => {
    expect(classify("a/b/.wh..wh..opq")).toEqual({ kind: "opaque", directory: "a/b" });
    expect(classify(".wh..wh..opq")).toEqual({ kind: "opaque", directory: "" });
  });

  test.each([".wh.", "d/.wh.", ".wh..", "d/.wh...", "a/.wh.b/c"])("R7 refuses the whiteout %p", (name) => {
    expect(classify(name)).toMatchObject({ kind: "refused" });
  });

  test.each([".wh..wh.aufs", "d/.wh..wh.plnk/1.2", ".wh..wh..opq/x"])("R10 skips %p, an old driver's bookkeeping", (name) => {
    expect(classify(name)).toEqual({ kind: "skipped" });
  });

  test("refuses a name that no system call takes, before its components cost memory", () => {
    expect(classify("d/".repeat(2047) + "f")).toMatchObject({ kind: "entry" });
    expect(classify("d/".repeat(2048))).toMatchObject({ kind: "entry" });
    expect(classify("d/".repeat(2048) + "f")).toEqual({ kind: "refused", fact: "its name has 4097 bytes, more than 4095" });
  });

  test("never gives a path that could leave the root or that names a whiteout", () => {
    const part = fc.constantFrom("", ".", "..", "a", ".wh.a", ".wh.", "..b", ".wh..wh.x", "/");
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const name = classifyName(parts.join("/") as ByteString);
        if (name.kind !== "entry" || name.path === "") return;
        for (const component of name.path.split("/")) {
          expect(["", ".", ".."]).not.toContain(component);
          expect(component.startsWith(".wh.")).toBe(false);
        }
      }),
    );
  });
});
