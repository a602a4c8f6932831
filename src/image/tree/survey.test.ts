import { expect, test } from "bun:test";
import type { ByteString } from "#base/byte-string.ts";
import { OpFailure } from "#program/failure.ts";
import { listTree, type Place } from "./survey.ts";

/** A place whose executor fails at its first op. */
function failing(errno: number): Place {
  return {
    setup: [],
    open: () =>
      Promise.resolve({
        write: () => Promise.resolve(),
        finish: () => Promise.reject(new OpFailure(0, errno)),
        abort: () => Promise.resolve(),
        output: (async function* () {})(),
      }),
  };
}

const list = (path: string, errno: number): Promise<unknown> => listTree(failing(errno), path as ByteString);

test("a directory that was there a moment ago and is none now has changed; a root that is missing is missing", async () => {
  for (const errno of [2, 11, 20, 40]) await expect(list("upper/a", errno)).rejects.toThrow('cannot read "upper/a": it changed meanwhile');
  await expect(list("upper", 2)).rejects.toThrow('cannot read "upper": no such file or directory');
  await expect(list("upper/a", 13)).rejects.toThrow('cannot read "upper/a": permission denied');
});
