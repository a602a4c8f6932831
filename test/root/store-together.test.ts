/** One store and many processes, or too little room: what is fetched once, what is not collected, what a full disk leaves, and what sizes say. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { LayoutWriter } from "../support/images/layout-writer.ts";
import { tar } from "../support/images/tar-writer.ts";
import { tinyLayer } from "../support/images/tiny.ts";
import { startProxy, startRegistry, type CountingProxy, type Server } from "../support/registry/server.ts";
import { patient } from "../support/slowness.ts";
import { execute } from "./gantry-harness.ts";
import { makeScratch, reason, skopeo, Store } from "./registry-harness.ts";

if (reason !== undefined) console.log(`skipped: one store and many processes: ${reason}`);
setDefaultTimeout(patient(120_000));

const scratch = makeScratch();
const sizes = { shared: 4 << 20, own: 2 << 20 };

describe.skipIf(reason !== undefined)("one store", () => {
  let server: Server;
  let proxy: CountingProxy;
  const layouts = new Map<string, string>();
  const digests = { shared: "", own: [] as string[] };

  /** Three images that run: one layer of random bytes is in all of them, one in each. */
  beforeAll(async () => {
    server = await startRegistry({ directory: join(scratch, "registry") });
    proxy = startProxy(server.host);
    const random = (name: string, bytes: number): Buffer => tar([{ name, data: randomBytes(bytes) }]);
    const shared = random("shared", sizes.shared);
    for (const name of ["one", "two", "three"]) {
      const writer = new LayoutWriter(join(scratch, name));
      const layers = [tinyLayer(), shared, random(name, sizes.own)].map((archive) => writer.layer(archive));
      digests.shared = layers[1]?.descriptor.digest ?? "";
      digests.own.push(layers[2]?.descriptor.digest ?? "");
      writer.tag(writer.image(layers, { architecture: process.arch === "arm64" ? "arm64" : "amd64" }), name);
      layouts.set(name, writer.directory);
      skopeo("copy", "-q", "--dest-tls-verify=false", `oci:${writer.directory}:${name}`, `docker://${server.host}/team/${name}:1`);
    }
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    rmSync(scratch, { recursive: true, force: true });
  });

  const nameOf = (image: string): string => `${proxy.host}/team/${image}:1`;

  async function expectSound(store: Store, images: readonly string[]): Promise<void> {
    expect(await store.ok("verify")).toBe("clean\n");
    for (const image of images) {
      const words = [
        "run",
        "--rm",
        nameOf(image),
        "/bin/busybox",
        "sh",
        "-c",
        `/bin/busybox wc -c </shared; /bin/busybox wc -c </${image}`,
      ];
      expect(await store.ok(...words)).toBe(`${sizes.shared}\n${sizes.own}\n`);
    }
  }

  test("what several pulls of different images have in common is fetched once, while loads bring the same", async () => {
    const store = new Store(scratch);
    proxy.gets.length = 0;
    proxy.bytesPerSecond = 20 << 20;
    const images = ["one", "two", "three", "one", "two"];
    const ended = await Promise.all([
      ...images.map((image) => store.gantry(["pull", "-q", nameOf(image)])),
      store.gantry(["load", "-q", layouts.get("three") ?? ""]),
    ]);
    proxy.bytesPerSecond = undefined;
    expect(ended.map(({ code, stderr }) => ({ code, stderr }))).toEqual(ended.map(() => ({ code: 0, stderr: "" })));
    for (const digest of [digests.shared, ...digests.own]) {
      const gets = proxy.gets.filter((get) => get.digest === digest);
      // A load may have been faster than all of them.
      expect(gets.length).toBeLessThanOrEqual(1);
    }
    await expectSound(store, ["one", "two", "three"]);
    expect(readdirSync(join(store.root, "images/tmp"))).toEqual([]);
    expect(readdirSync(join(store.root, "tmp"))).toEqual([]);
  });

  test("collections beside a running pull take nothing from it, nor from what it shares", async () => {
    const store = new Store(scratch);
    await store.ok("pull", "-q", nameOf("one"));
    proxy.bytesPerSecond = 512 << 10;
    const pulling = store.gantry(["pull", "-q", nameOf("two")]);
    const isDone = pulling.then(() => true);
    let rounds = 0;
    // The image that it shares a layer with is removed meanwhile, and everything that nobody needs with it.
    const removed = await store.gantry(["rmi", nameOf("one")]);
    expect(removed).toMatchObject({ code: 0 });
    while (!(await Promise.race([isDone, Promise.resolve(false)]))) {
      expect(await store.gantry(["prune", rounds % 2 === 0 ? "--all" : "--format=json"])).toMatchObject({ code: 0, stderr: "" });
      if (++rounds === 5) proxy.bytesPerSecond = 8 << 20;
    }
    proxy.bytesPerSecond = undefined;
    expect(await pulling).toMatchObject({ code: 0, stderr: "" });
    expect(rounds).toBeGreaterThan(3);
    await store.ok("pull", "-q", nameOf("two"));
    await expectSound(store, ["two"]);
  });

  test("a full disk ends a pull with a sentence, leaves a clean store, and what there was is used when there is room", async () => {
    const disk = join(scratch, "disk");
    mkdirSync(disk);
    const mount = async (...words: string[]): Promise<void> => expect(await execute(["mount", ...words])).toMatchObject({ code: 0 });
    await mount("-t", "tmpfs", "-o", "size=7m", "small", disk);
    try {
      const store = new Store(disk);
      const failed = await store.gantry(["pull", "-q", nameOf("one")]);
      expect(failed.code).toBe(1);
      expect(failed.stderr).toMatch(/^gantry: cannot .*(?:ENOSPC|no space left)[^\n]*\n$/);
      expect(await store.ok("images", "-q")).toBe("");
      expect(await store.gantry(["verify"])).toEqual({ code: 0, stdout: "clean\n", stderr: "" });
      for (const place of ["layers", "tmp"]) expect([place, readdirSync(join(store.root, place))]).toEqual([place, []]);
      await mount("-o", "remount,size=64m", disk);
      proxy.gets.length = 0;
      await store.ok("pull", "-q", nameOf("one"));
      await expectSound(store, ["one"]);
      const fetched = proxy.gets.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
      expect(fetched).toBeLessThan(sizes.shared + sizes.own);
      // Of all things, removing must work where there is no room left at all.
      await execute(["dd", "if=/dev/zero", `of=${join(disk, "filling")}`, "bs=4k"]);
      await store.ok("rmi", nameOf("one"));
      await store.ok("prune", "--all");
      expect(bytesBelow(join(store.root, "images/blobs"))).toBe(0);
      expect(readdirSync(join(store.root, "images/tmp"))).toEqual([]);
    } finally {
      await execute(["umount", disk]);
    }
  });

  test("a full disk ends an unpack that is under way, a repack and a commit, each without a trace", async () => {
    const disk = join(scratch, "disk-of-work");
    mkdirSync(disk);
    expect(await execute(["mount", "-t", "tmpfs", "-o", "size=28m", "small", disk])).toMatchObject({ code: 0 });
    try {
      const store = new Store(disk);
      await store.ok("pull", "-q", nameOf("one"));
      const bundle = join(disk, "bundle");
      await store.ok("unpack", "-q", nameOf("one"), bundle);
      const fill = await execute(["dd", "if=/dev/urandom", `of=${join(bundle, "rootfs/large")}`, "bs=1M", "count=64"]);
      expect(fill.code).toBe(1);
      const before = readdirSync(join(store.root, "images/blobs/sha256")).length;
      const failed = await store.gantry(["repack", bundle, "x:1"]);
      expect([failed.code, /ENOSPC|no space left/.test(failed.stderr)]).toEqual([1, true]);
      expect(await store.gantry(["unpack", "-q", nameOf("one"), join(disk, "again")])).toMatchObject({ code: 1 });
      expect(existsSync(join(disk, "again"))).toBe(false);
      expect(readdirSync(join(store.root, "images/blobs/sha256")).length).toBe(before);
      rmSync(join(bundle, "rootfs/large"));
      expect(await store.ok("verify")).toBe("clean\n");
      await store.ok("repack", bundle, "x:1");
      expect(await store.ok("verify")).toBe("clean\n");
    } finally {
      await execute(["umount", disk]);
    }
  });

  test("the sizes that are shown add up to what lies on the disk, and removing frees what was said", async () => {
    const store = new Store(scratch);
    for (const image of ["one", "two", "three"]) await store.ok("pull", "-q", nameOf(image));
    interface Row {
      readonly name: string;
      readonly sizeBytes: number;
      readonly uniqueBytes: number;
    }
    const rows = async (): Promise<Row[]> => JSON.parse(await store.ok("images", "--format", "json")) as Row[];
    const blobs = join(store.root, "images/blobs");
    const all = await rows();
    expect(all).toHaveLength(3);
    const unique = all.reduce((sum, { uniqueBytes }) => sum + uniqueBytes, 0);
    const shared = all.map(({ sizeBytes, uniqueBytes }) => sizeBytes - uniqueBytes);
    expect(new Set(shared).size).toBe(1);
    expect(unique + (shared[0] ?? 0)).toBe(bytesBelow(blobs));
    for (const { name, uniqueBytes } of all) {
      const before = bytesBelow(blobs);
      const said = (await rows()).find((row) => row.name === name)?.uniqueBytes ?? 0;
      expect(said).toBeGreaterThanOrEqual(uniqueBytes);
      await store.ok("rmi", name);
      expect(before - bytesBelow(blobs)).toBe(said);
    }
    expect(bytesBelow(blobs)).toBe(0);
  });
});

/** The bytes of all files below a directory. */
function bytesBelow(directory: string): number {
  if (!existsSync(directory)) return 0;
  return readdirSync(directory, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(directory, entry.name);
    return sum + (entry.isDirectory() ? bytesBelow(path) : statSync(path).size);
  }, 0);
}
