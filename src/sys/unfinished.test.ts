import { expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";

const program = `
  import { removeWhenInterrupted } from "${join(import.meta.dir, "unfinished.ts")}";
  const [file, tree, finished] = process.argv.slice(1);
  removeWhenInterrupted(file);
  removeWhenInterrupted(tree);
  removeWhenInterrupted(finished)();
  console.log("ready");
  setTimeout(() => undefined, 60_000);
`;

test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
  "%s takes what is unfinished along, and ends the process as it always does",
  async (signal) => {
    using scratch = scratchDirectory();
    const [file, tree, finished] = ["file", "tree", "finished"].map((name) => join(scratch.path, name)) as [string, string, string];
    for (const path of [file, finished]) writeFileSync(path, "x");
    mkdirSync(join(tree, "below"), { recursive: true });
    const child = Bun.spawn([process.execPath, "-e", program, file, tree, finished], { stdout: "pipe", env: { ...process.env } });
    await child.stdout.getReader().read();
    child.kill(signal);
    await child.exited;
    expect(child.signalCode).toBe(signal);
    expect([file, tree, finished].map((path) => existsSync(path))).toEqual([false, false, true]);
  },
);
