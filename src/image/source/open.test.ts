import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../../../test/support/scratch-directory.ts";
import { openImageSource, readFileOrPipe } from "./open.ts";

const read = async (path: string): Promise<string> => Buffer.concat(await Array.fromAsync(readFileOrPipe(path))).toString();

test("readFileOrPipe() reads a file, what comes through a pipe, and nothing that is not there", async () => {
  using scratch = scratchDirectory();
  const [file, fifo] = [join(scratch.path, "file"), join(scratch.path, "fifo")];
  writeFileSync(file, "content");
  expect(await read(file)).toBe("content");
  expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
  const writer = Bun.spawn(["sh", "-c", 'printf "through a pipe" > "$1"', "sh", fifo]);
  expect(await read(fifo)).toBe("through a pipe");
  await writer.exited;
  await expect(read(join(scratch.path, "none"))).rejects.toThrow("there is no such file");
});

test.each([
  ["zeros", new Uint8Array(300), "it has no entries"],
  ["noise", Buffer.from("noise ".repeat(50)), "its checksum is wrong: it is no tar header, or a damaged one"],
])("a stream of %s without an end is refused by its first block", async (_, piece, fact) => {
  using scratch = scratchDirectory();
  let pieces = 0;
  const endless = (async function* () {
    for (;;) {
      if (pieces++ > 100) throw new Error("it was read on");
      yield piece;
      await Promise.resolve();
    }
  })();
  await expect(openImageSource(endless, { spoolDirectory: scratch.path })).rejects.toThrow(`cannot read the input: at byte 0: ${fact}`);
  expect(readdirSync(scratch.path)).toEqual([]);
});
