/** The lock of a store: taken by the executor on a file that the caller keeps open. */
import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnWithNode } from "#program/spawn-node.ts";
import { lockDescriptor } from "#program/task.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { executorPath, notRoot, until } from "./executor-harness.ts";

describe.skipIf(notRoot !== undefined)("the lock on a descriptor", () => {
  test("a lock on a descriptor is the caller's: it outlives the executor, and goes with the caller's last descriptor", async () => {
    using scratch = scratchDirectory();
    const path = join(scratch.path, "lock");
    const port = { spawn: spawnWithNode, executable: executorPath() };
    const take = (fd: number, name: string): Promise<void> => lockDescriptor(port, fd, join(scratch.path, name));
    const [first, second] = [openSync(path, "w+"), openSync(path, "w+")];
    await take(first, "1");
    let isTaken = false;
    const waiting = take(second, "2").then(() => {
      isTaken = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(isTaken).toBe(false);
    closeSync(first);
    await waiting;
    closeSync(second);
  }, 60_000);

  test("who is killed with a lock, or while waiting for it, keeps nobody waiting, and nobody works beside the owner", async () => {
    using scratch = scratchDirectory();
    const files = ["lock", "counter", "done"].map((name) => join(scratch.path, name)) as [string, string, string];
    writeFileSync(files[1], "0");
    writeFileSync(files[2], "");
    const workers = Array.from({ length: 12 }, () =>
      spawn(process.execPath, [join(import.meta.dir, "../support/lock-worker.ts"), executorPath(), ...files, "8"], {
        stdio: ["ignore", "ignore", "inherit"],
      }),
    );
    const ended = workers.map((worker) => new Promise<number | null>((resolve) => worker.on("exit", resolve)));
    for (const worker of workers.slice(0, 6)) {
      const seen = readFileSync(files[2]).length;
      await until("some work", () => readFileSync(files[2]).length > seen || workers.every(({ exitCode }) => exitCode !== null));
      worker.kill("SIGKILL");
    }
    const codes = await Promise.all(ended);
    expect(codes.slice(6)).toEqual(Array.from({ length: 6 }, () => 0));
    // A round that a kill cut short may have counted without saying so, one for each who was killed; a lost one would be the lock's fault.
    const [counted, done] = [Number(readFileSync(files[1], "utf8")), readFileSync(files[2]).length];
    expect(done).toBeGreaterThanOrEqual(48);
    expect(counted - done).toBeGreaterThanOrEqual(0);
    expect(counted - done).toBeLessThanOrEqual(6);
  }, 60_000);
});
