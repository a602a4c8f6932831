import { describe, expect, test } from "bun:test";
import { parseVolume } from "./request.ts";

describe("parseVolume()", () => {
  test("takes absolute and relative sources and a mode", () => {
    expect(parseVolume("/a:/b", "/here")).toEqual({ source: "/a", target: "/b", readOnly: false });
    expect(parseVolume("./a:/b:ro", "/here")).toEqual({ source: "/here/./a", target: "/b", readOnly: true });
  });

  test("refuses what it cannot mean, naming the volume", () => {
    for (const text of ["/a", "/a:b", "/a:/b/../c", "/a:/", "/a:/b:rx", "/a:/b:ro:x"]) {
      expect(() => parseVolume(text, "/here")).toThrow(`cannot use volume ${JSON.stringify(text)}`);
    }
  });

  test("says what to write for what looks like a named volume", () => {
    expect(() => parseVolume("data:/b", "/here")).toThrow("named volumes are not there yet, so write ./data or an absolute path");
  });
});
