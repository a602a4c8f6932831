/**
 * There and back again: what umoci, buildah, podman and skopeo make is pulled by Gantry, unpacked, changed, made an image again, pushed, run by
 * podman, and read by skopeo and umoci. Where nothing was changed, every digest stays.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { appendFileSync, linkSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { missing as missingTools, Podman } from "../interop/clients.ts";
import { sha256 } from "../support/images/layout-writer.ts";
import { tool } from "../support/images/commands.ts";
import { startRegistry, type Server } from "../support/registry/server.ts";
import { patient } from "../support/slowness.ts";
import { compareTrees, formatDifference, readTree } from "../support/tree.ts";
import { makeScratch, reason as noRegistry, skopeo, Store } from "../root/registry-harness.ts";
import { blobOf, makeImages, placeOf, type MadeImage } from "./makers.ts";

const reason = noRegistry ?? missingTools("umoci", "buildah", "podman", "skopeo", "getfattr");
if (reason !== undefined) console.log(`skipped: round trips: ${reason}`);
setDefaultTimeout(patient(180_000));

const login = { username: "user", password: "correct horse" };
const kinds = ["http", "https", "https with a login"] as const;
const makers = ["umoci", "buildah", "buildah-docker", "podman", "skopeo-zstd", "skopeo-docker"] as const;

const scratch = makeScratch();
const podman = reason === undefined ? new Podman() : (undefined as unknown as Podman);
const servers = new Map<string, Server>();
let made: readonly MadeImage[] = [];

describe.skipIf(reason !== undefined)("round trips", () => {
  beforeAll(async () => {
    await podman.load();
    made = await makeImages(scratch, podman);
    for (const [index, kind] of kinds.entries()) {
      const options = { directory: join(scratch, `registry-${index}`), tls: kind !== "http", ...(kind.includes("login") ? { login } : {}) };
      servers.set(kind, await startRegistry(options));
    }
  }, patient(300_000));
  afterAll(async () => {
    for (const server of servers.values()) await server[Symbol.asyncDispose]();
    await podman.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  const serverOf = (kind: string): Server => {
    const server = servers.get(kind);
    if (server === undefined) throw new Error(`there is no registry by ${kind}`);
    return server;
  };

  /** What skopeo and podman have to say to reach a registry: its authority, and who we are. */
  function reach(kind: string, side: "" | "src-" | "dest-" = ""): string[] {
    if (kind === "http") return [`--${side}tls-verify=false`];
    const directory = join(scratch, `certs-${kinds.indexOf(kind as (typeof kinds)[number])}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "ca.crt"), readFileSync(serverOf(kind).ca));
    const who = kind.includes("login") ? [`--${side}creds`, `${login.username}:${login.password}`] : [];
    return [`--${side}cert-dir`, directory, ...who];
  }

  /** A user who knows the registry's authority, and is logged in where that is asked for. */
  async function userOf(kind: string): Promise<Store> {
    const store = new Store(scratch);
    const { host, ca } = serverOf(kind);
    if (kind === "http") return store;
    const config = join(store.home, "config");
    mkdirSync(join(config, "gantry"), { recursive: true });
    writeFileSync(join(config, "gantry/registries.json"), JSON.stringify({ registries: { [host]: { ca } } }));
    store.env["XDG_CONFIG_HOME"] = config;
    if (kind.includes("login")) {
      const words = ["login", "--username", login.username, "--password-stdin", host];
      expect(await store.gantry(words, { stdin: `${login.password}\n` })).toMatchObject({ code: 0 });
    }
    return store;
  }

  const imageOf = (maker: string): MadeImage => {
    const image = made.find((one) => one.maker === maker);
    if (image === undefined) throw new Error(`there is no image by ${maker}`);
    return image;
  };

  const rawOf = (kind: string, name: string): string => skopeo("inspect", "--raw", ...reach(kind), `docker://${name}`);

  interface Manifest {
    readonly layers: readonly { readonly digest: string }[];
  }

  const layersOf = (raw: string): string[] => (JSON.parse(raw) as Manifest).layers.map(({ digest }) => digest);

  describe.each(kinds)("by %s", (kind) => {
    test.each(makers)("%s's image is pulled and pushed without a changed byte", async (maker) => {
      const image = imageOf(maker);
      const { host } = serverOf(kind);
      const store = await userOf(kind);
      const name = `${host}/in/${maker}:1`;
      skopeo("copy", "-q", "--preserve-digests", ...reach(kind, "dest-"), placeOf(image), `docker://${name}`);
      expect(await store.ok("pull", name)).toContain(`Digest: ${image.digest}\n`);
      expect(await store.ok("verify")).toBe("clean\n");
      expect(await store.ok("push", name, `${host}/out/${maker}:same`, "--tag", "also")).toContain(`Digest: ${image.digest}\n`);
      for (const tag of ["same", "also"]) expect(sha256(Buffer.from(rawOf(kind, `${host}/out/${maker}:${tag}`)))).toBe(image.digest);
      const copy = join(scratch, `copy-${kinds.indexOf(kind)}-${maker}`);
      await store.ok("copy", "-q", `docker://${host}/out/${maker}:same`, `oci:${copy}:1`);
      for (const digest of image.layers) {
        expect(readFileSync(join(copy, "blobs", digest.replace(":", "/"))).equals(blobOf(image, digest))).toBe(true);
      }
      expect(await store.ok("layout", "verify", "--deep", copy)).toBe("clean\n");
    });

    test.each(makers)(
      "%s's image is unpacked, changed, repacked and committed; podman runs it, skopeo and umoci read it",
      async (maker) => {
        const image = imageOf(maker);
        const { host } = serverOf(kind);
        const store = await userOf(kind);
        const [name, repacked, committed] = [`${host}/in/${maker}:1`, `${host}/out/${maker}:repacked`, `${host}/out/${maker}:committed`];
        await store.ok("pull", "-q", name);
        const bundle = join(store.home, "bundle");
        await store.ok("unpack", "-q", name, bundle);
        const rootfs = join(bundle, "rootfs");
        change(rootfs);
        await store.ok("repack", bundle, repacked);
        const script =
          "export PATH=/bin; cat /etc/maker; echo changed >>/etc/maker; rm -r /data/deep; echo new >/data/new; ln /data/new /data/hard";
        expect(await store.ok("run", "--name", "c", name, "/bin/busybox", "sh", "-c", script)).toMatch(/^made by /);
        await store.ok("commit", "c", committed);
        for (const result of [repacked, committed]) {
          const digest = /Digest: (\S+)/.exec(await store.ok("push", result))?.[1] ?? "";
          const raw = rawOf(kind, result);
          expect(sha256(Buffer.from(raw))).toBe(digest);
          // What was there is there still, to the byte, and one layer has come.
          expect(layersOf(raw).slice(0, -1)).toEqual([...image.layers]);
          await podman.output("pull", "-q", ...reach(kind), result);
        }
        const runs = async (result: string): Promise<string> =>
          await podman.output("run", "--rm", "--network", "none", result, "/bin/busybox", "sh", "-c", "cat /etc/maker /data/new; ls /data");
        expect(await runs(repacked)).toMatch(/^made by .*\nchanged\nnew\nhard\nlink\nnew\ntwo$/);
        expect(await runs(committed)).toMatch(/^made by .*\nchanged\nnew\nhard\nlink\nnew\ntwo$/);
        if (image.isForUmoci) expect(differencesFrom(kind, repacked, rootfs)).toEqual([]);
        await store.ok("rm", "c");
        expect(await store.ok("verify")).toBe("clean\n");
      },
    );
  });

  /** The same changes as those made in the container. */
  function change(rootfs: string): void {
    appendFileSync(join(rootfs, "etc/maker"), "changed\n");
    rmSync(join(rootfs, "data/deep"), { recursive: true });
    writeFileSync(join(rootfs, "data/new"), "new\n");
    linkSync(join(rootfs, "data/new"), join(rootfs, "data/hard"));
    rmSync(join(rootfs, "data/link"));
    symlinkSync("new", join(rootfs, "data/link"));
  }

  /** How the tree that umoci makes of the image, copied from the registry by skopeo, differs from `rootfs`. */
  function differencesFrom(kind: string, result: string, rootfs: string): string[] {
    const [layout, bundle] = ["umoci-layout", "umoci-bundle"].map((name) => `${rootfs}-${name}`) as [string, string];
    skopeo("copy", "-q", ...reach(kind, "src-"), `docker://${result}`, `oci:${layout}:result`);
    tool(["umoci", "unpack", "--image", `${layout}:result`, bundle]);
    // umoci before 0.6 rounds times to whole seconds; nothing says what the root directory is like (M5).
    const isExplained = ({ path, field }: { path: string; field: string }): boolean => path === "." || field === "mtimeNanos";
    return compareTrees(readTree(rootfs), readTree(join(bundle, "rootfs")), isExplained).map(formatDifference);
  }

  test.each(["oci-archive", "docker-archive"] as const)(
    "what skopeo and podman save as %s is loaded, pushed and run as it was",
    async (format) => {
      const { host } = serverOf("http");
      for (const maker of ["umoci", "podman"]) {
        const image = imageOf(maker);
        const store = await userOf("http");
        const archive = join(store.home, "image.tar");
        const name = `${host}/loaded/${maker}:${format}`;
        if (maker === "podman") await podman.output("save", "-q", "--format", format, "-o", archive, "localhost/by-podman:made");
        else skopeo("copy", "-q", placeOf(image), `${format}:${archive}:${name}`);
        const loaded = /Loaded image: (\S+)/.exec(await store.ok("load", "-q", archive))?.[1] ?? "";
        await store.ok("tag", loaded, name);
        const digest = /Digest: (\S+)/.exec(await store.ok("push", name))?.[1] ?? "";
        if (format === "oci-archive" && maker === "umoci") expect(digest).toBe(image.digest);
        expect(sha256(Buffer.from(rawOf("http", name)))).toBe(digest);
        // The same file systems, however they were packed.
        expect(diffIdsOf(rawConfig("http", name))).toEqual(diffIdsOf(skopeo("inspect", "--config", placeOf(image))));
        await podman.output("pull", "-q", ...reach("http"), name);
        expect(await podman.output("run", "--rm", "--network", "none", name, "/bin/busybox", "cat", "/etc/maker")).toBe(`made by ${maker}`);
      }
    },
  );

  const rawConfig = (kind: string, name: string): string => skopeo("inspect", "--config", ...reach(kind), `docker://${name}`);
  const diffIdsOf = (config: string): string[] => (JSON.parse(config) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids;

  test("a bundle in which nothing was changed is repacked without a layer, whose image has the layers that it had", async () => {
    for (const maker of makers) {
      const image = imageOf(maker);
      const store = await userOf("http");
      await store.ok("pull", "-q", `${serverOf("http").host}/in/${maker}:1`);
      const bundle = join(store.home, "bundle");
      await store.ok("unpack", "-q", `${serverOf("http").host}/in/${maker}:1`, bundle);
      await store.ok("repack", bundle, "unchanged:1");
      expect(layersOf(await store.ok("manifest", "inspect", "unchanged:1"))).toEqual([...image.layers]);
    }
  });

  test("nothing is left mounted", () => {
    expect(execFileSync("cat", ["/proc/self/mounts"], { encoding: "utf8" })).not.toContain(scratch);
    expect(readdirSync(scratch).length).toBeGreaterThan(0);
  });
});
