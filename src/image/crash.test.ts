import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { inProcessLock } from "../../test/support/in-process-lock.ts";
import { loadNew, scratchStore } from "../../test/support/image-store.ts";
import { openLayout } from "./layout.ts";
import { collectGarbage } from "./reachable.ts";
import { verifyLayout } from "./verify.ts";

/** Takes a lease, stores one blob, begins another and says so; then waits to be killed. */
const program = `
  const { openLayout } = await import(${JSON.stringify(join(import.meta.dir, "layout.ts"))});
  const layout = await openLayout(process.argv[1], (work) => work());
  await layout.lease();
  await layout.blobs.put(Buffer.from("orphan"));
  await layout.blobs.put((async function* () {
    yield Buffer.alloc(1 << 20);
    console.log("writing");
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  })());
`;

test("a process that is killed while it stores blobs leaves nothing that stays", async () => {
  using store = await scratchStore();
  await loadNew(store, { name: "a:1", text: "a" });
  const child = Bun.spawn([process.execPath, "-e", program, store.layout.path], { stdout: "pipe" });
  await child.stdout.getReader().read();

  expect((await collectGarbage(store.layout)).waitingFor).toEqual([child.pid]);
  const beside = await openLayout(store.layout.path, inProcessLock());
  expect(readdirSync(join(store.layout.path, "tmp"))).toHaveLength(2);

  child.kill("SIGKILL");
  await child.exited;
  expect((await verifyLayout(beside)).map(({ message }) => message.includes("was left behind"))).toEqual([true, true]);
  const after = await openLayout(store.layout.path, inProcessLock());
  expect(readdirSync(join(store.layout.path, "tmp"))).toEqual([]);
  expect((await collectGarbage(after)).freedBytes).toBe("orphan".length);
  expect(await verifyLayout(after)).toEqual([]);
});
