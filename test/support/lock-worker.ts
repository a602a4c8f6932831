/**
 * Counts under a lock: EXECUTOR LOCK COUNTER DONE ROUNDS. Each round reads the counter, waits, writes one more by a rename, and then adds a
 * byte to DONE. Two at work at once would lose a count; and so would one who goes on after the lock was given away.
 */
import { appendFileSync, closeSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { lockDescriptor } from "#program/task.ts";
import { spawnWithNode } from "#program/spawn-node.ts";

const [executable = "", lock = "", counter = "", done = "", rounds = ""] = process.argv.slice(2);

for (let round = 0; round < Number(rounds); round++) {
  const fd = openSync(lock, "a+");
  const own = `${counter}.${process.pid}`;
  await lockDescriptor({ spawn: spawnWithNode, executable }, fd, `${own}.${round}`);
  const next = Number(readFileSync(counter, "utf8")) + 1;
  await new Promise((resolve) => setTimeout(resolve, 2));
  writeFileSync(own, String(next));
  renameSync(own, counter);
  appendFileSync(done, ".");
  closeSync(fd);
}
