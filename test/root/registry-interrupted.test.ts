/** Pulls that are killed, cut off, run side by side or fed with wrong bytes. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LayoutWriter } from "../support/images/layout-writer.ts";
import { tar } from "../support/images/tar-writer.ts";
import { tinyLayer } from "../support/images/tiny.ts";
import { startProxy, startRegistry, type CountingProxy, type Server } from "../support/registry/server.ts";
import { patient } from "../support/slowness.ts";
import { gantryPath } from "./gantry-harness.ts";
import { makeScratch, reason, skopeo, Store } from "./registry-harness.ts";

if (reason !== undefined) console.log(`skipped: ${reason}`);
setDefaultTimeout(patient(180_000));

const scratch = makeScratch();

describe.skipIf(reason !== undefined)("an unreliable way to the registry", () => {
  let server: Server;
  let proxy: CountingProxy;
  let layers: readonly { readonly digest: string; readonly size: number }[];
  const tree: { name: string; hash: string }[] = [];

  beforeAll(async () => {
    server = await startRegistry({ directory: join(scratch, "unreliable") });
    proxy = startProxy(server.host);
    const writer = new LayoutWriter(join(scratch, "random"));
    const written = [3, 5, 2, 4].map((megabytes, index) => {
      const data = randomBytes(megabytes << 20);
      tree.push({ name: `data-${index}`, hash: createHash("sha256").update(data).digest("hex") });
      return writer.layer(tar([{ name: `data-${index}`, data }]));
    });
    layers = written.map(({ descriptor }) => ({ digest: descriptor.digest, size: descriptor.size }));
    writer.tag(writer.image([writer.layer(tinyLayer()), ...written]), "random");
    skopeo("copy", "-q", "--dest-tls-verify=false", `oci:${join(scratch, "random")}:random`, `docker://${server.host}/random:1`);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** What a store has of the layers: whole blobs, and the bytes of begun ones. */
  function kept(store: Store): { whole: Set<string>; begun: Map<string, number> } {
    const blobs = join(store.root, "images/blobs/sha256");
    const temporary = join(store.root, "images/tmp");
    const begun = new Map<string, number>();
    for (const name of existsSync(temporary) ? readdirSync(temporary) : []) {
      const [, digest] = /^partial-sha256-([0-9a-f]{64})$/.exec(name) ?? [];
      if (digest !== undefined) begun.set(`sha256:${digest}`, statSync(join(temporary, name)).size);
    }
    return { whole: new Set((existsSync(blobs) ? readdirSync(blobs) : []).map((name) => `sha256:${name}`)), begun };
  }

  async function expectWhole(store: Store): Promise<void> {
    expect(await store.ok("verify")).toBe("clean\n");
    const sums = await store.ok(
      "run",
      "--rm",
      `${proxy.host}/random:1`,
      "/bin/busybox",
      "sha256sum",
      ...tree.map(({ name }) => `/${name}`),
    );
    expect(sums).toBe(tree.map(({ name, hash }) => `${hash}  /${name}\n`).join(""));
  }

  /** Bytes that the registry had sent and a killed client had not yet: what sockets hold. No pull that goes on can know of them. */
  const inFlightBytes = 1 << 20;

  test("a pull that is killed 50 times at random points ends with the right bytes, and downloads no verified byte twice", async () => {
    const store = new Store(scratch);
    proxy.bytesPerSecond = 12 << 20;
    let kills = 0;
    let resumed = 0;
    /** What the registry has sent of each blob since the pull under way began, over all its kills. */
    const sent = new Map<string, number>();
    /** Every byte of every layer was sent once, but for what was on its way at a kill. */
    const expectOnce = (killsOfThisPull: number): void => {
      for (const { digest, size } of layers) {
        const bytes = sent.get(digest) ?? 0;
        expect(bytes).toBeGreaterThanOrEqual(size);
        expect(bytes - size).toBeLessThanOrEqual(killsOfThisPull * inFlightBytes);
      }
      sent.clear();
    };
    let killsOfThisPull = 0;
    // How long a pull is let live at most. On a busy machine it takes longer until its first byte comes.
    let spanMs = 120;
    while (kills < 50 || resumed <= 5) {
      const before = kept(store);
      proxy.gets.length = 0;
      const child = Bun.spawn([gantryPath, "--root", store.root, "pull", "--quiet", `${proxy.host}/random:1`], {
        stdio: ["ignore", "ignore", "pipe"],
        env: { ...process.env, ...store.env },
      });
      const timer = setTimeout(() => child.kill("SIGKILL"), 15 + Math.random() * (kills % 5 === 4 ? 3 : 1) * spanMs);
      await child.exited;
      clearTimeout(timer);
      await proxy.settle();
      if (proxy.gets.length === 0) spanMs = Math.min(spanMs * 1.1, 10_000);
      const after = kept(store);
      const first = new Map<string, number>();
      for (const { digest, start, sentBytes } of proxy.gets) {
        sent.set(digest, (sent.get(digest) ?? 0) + sentBytes);
        if (!first.has(digest)) first.set(digest, start);
        // What was sent is here now, but for what was on its way.
        const isWhole = after.whole.has(digest);
        if (!isWhole) expect(start + sentBytes - (after.begun.get(digest) ?? 0)).toBeLessThanOrEqual(inFlightBytes);
      }
      for (const [digest, start] of first) {
        // A blob that is verified is not asked for, and of one that is begun nothing that is here.
        expect(before.whole.has(digest)).toBe(false);
        expect(start).toBe(before.begun.get(digest) ?? 0);
        if (start > 0) resumed++;
      }
      // Done before it was killed often enough: the image goes, and all begins anew.
      if (child.signalCode === null) {
        expect(await new Response(child.stderr).text()).toBe("");
        await expectWhole(store);
        expectOnce(killsOfThisPull);
        killsOfThisPull = 0;
        await store.ok("rmi", `${proxy.host}/random:1`);
      } else {
        kills++;
        killsOfThisPull++;
      }
    }
    proxy.gets.length = 0;
    proxy.bytesPerSecond = undefined;
    await store.ok("pull", `${proxy.host}/random:1`);
    for (const { digest, sentBytes } of proxy.gets) sent.set(digest, (sent.get(digest) ?? 0) + sentBytes);
    await expectWhole(store);
    expectOnce(killsOfThisPull);
    expect(kept(store).begun.size).toBe(0);
    expect(resumed).toBeGreaterThan(5);
  });

  test("P3 a pull whose connections are cut again and again gets through, and never goes back", async () => {
    const store = new Store(scratch);
    proxy.gets.length = 0;
    proxy.cutAfterBytes = 1 << 20;
    await store.ok("pull", `${proxy.host}/random:1`);
    proxy.cutAfterBytes = undefined;
    await expectWhole(store);
    for (const { digest, size } of layers) {
      const gets = proxy.gets.filter((get) => get.digest === digest);
      const starts = gets.map(({ start }) => start);
      expect(gets.reduce((sum, { sentBytes }) => sum + sentBytes, 0)).toBeLessThan(size + gets.length * inFlightBytes);
      expect(starts.length).toBeGreaterThanOrEqual(Math.floor(size / (1 << 20)));
      // A connection that was cut before its first byte came is no byte.
      expect(starts).toEqual(starts.toSorted((a, b) => a - b));
    }
  });

  test("a layer is unpacked while it comes", async () => {
    const store = new Store(scratch);
    proxy.bytesPerSecond = 3 << 20;
    const events = (await store.ok("pull", "--format", "json", "--concurrency", "1", `${proxy.host}/random:1`))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { kind: string; digest?: string; doneBytes?: number });
    proxy.bytesPerSecond = undefined;
    const largest = layers.toSorted((a, b) => b.size - a.size)[0];
    const unpacking = events.findIndex(({ kind, digest }) => kind === "layer" && digest === largest?.digest);
    const done = events.findIndex(({ kind, digest }) => kind === "blob-done" && digest === largest?.digest);
    expect(unpacking).toBeGreaterThan(0);
    expect(unpacking).toBeLessThan(done);
    await expectWhole(store);
  });

  test("what an earlier pull left and is damaged is found at the end, and fetched anew once", async () => {
    const store = new Store(scratch);
    const [layer] = layers;
    mkdirSync(join(store.root, "images/tmp"), { recursive: true });
    writeFileSync(join(store.root, "images/tmp", `partial-${layer?.digest.replace(":", "-") ?? ""}`), Buffer.alloc(100_000));
    proxy.gets.length = 0;
    await store.ok("pull", `${proxy.host}/random:1`);
    expect(proxy.gets.filter(({ digest }) => digest === layer?.digest).map(({ start }) => start)).toEqual([100_000, 0]);
    await expectWhole(store);
  });

  test("two pulls at the same time get each blob once", async () => {
    const store = new Store(scratch);
    proxy.gets.length = 0;
    proxy.bytesPerSecond = 20 << 20;
    const pulls = await Promise.all([1, 2, 3].map(() => store.gantry(["pull", "-q", `${proxy.host}/random:1`])));
    proxy.bytesPerSecond = undefined;
    expect(pulls.map(({ code, stderr }) => ({ code, stderr }))).toEqual([1, 2, 3].map(() => ({ code: 0, stderr: "" })));
    for (const { digest } of layers) expect(proxy.gets.filter((get) => get.digest === digest)).toHaveLength(1);
    await expectWhole(store);
  });

  test("a pull that fails says why, leaves no image, and the next one goes on", async () => {
    const store = new Store(scratch);
    const [layer] = layers;
    const path = join(
      scratch,
      "unreliable/data/docker/registry/v2/blobs/sha256",
      layer?.digest.slice(7, 9) ?? "",
      layer?.digest.slice(7) ?? "",
      "data",
    );
    const right = readFileSync(path);
    writeFileSync(path, Buffer.from(right).fill(1, 1000, 1100));
    const failed = await store.gantry(["pull", "-q", `${proxy.host}/random:1`]);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain(`cannot accept ${layer?.digest ?? ""}: its content has the digest sha256:`);
    expect(await store.ok("images", "-q")).toBe("");
    writeFileSync(path, right);
    await store.ok("pull", "-q", `${proxy.host}/random:1`);
    await expectWhole(store);
  });
});
