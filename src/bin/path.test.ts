import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { posix } from "node:path";
import { basename, dirname, isAbsolute, join, resolve } from "./path.ts";

const part = fc.oneof(fc.constantFrom("", "/", "//", ".", "..", "...", "a", ".a", "a.b"), fc.string({ maxLength: 3 }));
const path = fc.array(part, { maxLength: 6 }).chain((parts) => fc.constantFrom("/", "//", "").map((between) => parts.join(between)));

test("paths come out as with node:path", () => {
  fc.assert(
    fc.property(fc.array(path, { maxLength: 4 }), path, (paths, one) => {
      expect(join(...paths)).toBe(posix.join(...paths));
      expect(resolve(...paths)).toBe(posix.resolve(...paths));
      expect(dirname(one)).toBe(posix.dirname(one));
      expect(basename(one)).toBe(posix.basename(one));
      expect(isAbsolute(one)).toBe(posix.isAbsolute(one));
    }),
    { numRuns: 20_000 },
  );
});
