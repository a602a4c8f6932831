/** Images from place to place with the built program: archives, layouts, names, exports, and what full disks and kills leave. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../support/images/commands.ts";
import { LayoutWriter } from "../support/images/layout-writer.ts";
import { tar } from "../support/images/tar-writer.ts";
import { patient } from "../support/slowness.ts";
import { execute, gantryPath, unable, Workbench, type Ended } from "./gantry-harness.ts";

setDefaultTimeout(patient(120_000));
if (unable !== undefined) console.log(`skipped: ${unable}`);
const bench = unable === undefined ? new Workbench() : (undefined as unknown as Workbench);

/** Runs `gantry` and expects success; resolves with its output. */
async function gantry(...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await bench.gantry(...words);
  expect([words, code, code === 0 ? "" : stderr]).toEqual([words, 0, ""]);
  return stdout;
}

const at = (name: string): string => join(bench.directory, name);

async function digestOf(image: string): Promise<string> {
  const raw = await execute([...bench.command("manifest", "inspect", "--raw", image)]);
  return new Bun.CryptoHasher("sha256").update(raw.stdout).digest("hex");
}

/** A layout of one image with a layer of `bytes` bytes that do not compress. */
function writeLarge(directory: string, bytes: number): void {
  const data = Buffer.alloc(bytes);
  for (let word = 0, value = 1; word < bytes; word += 4) data.writeUInt32LE((value = (Math.imul(value, 1103515245) + 12345) >>> 0), word);
  const writer = new LayoutWriter(directory);
  writer.tag(writer.image([writer.layer(tar([{ name: "large", data: data.toString("latin1") }]), "none")]), "large");
}

describe.skipIf(unable !== undefined)("images from place to place", () => {
  beforeAll(() => bench.load());
  afterAll(() => bench.remove());

  test("the same image comes back from every kind of place", async () => {
    const digest = await digestOf("tiny");
    await gantry("copy", "tiny", `oci:${at("copied")}:v1`);
    await gantry("copy", `oci:${at("copied")}:v1`, `oci-archive:${at("copied.tar")}:v2`);
    await gantry("save", "-q", "-o", at("saved.tar"), "tiny");
    for (const place of [`oci:${at("copied")}:v1`, `oci-archive:${at("copied.tar")}:v2`, `oci-archive:${at("saved.tar")}`])
      expect(await digestOf(place)).toBe(digest);
    const piped = await execute([
      "sh",
      "-c",
      `'${gantryPath}' --root '${bench.root}' save -q tiny | '${gantryPath}' --root '${at("other")}' load -q -`,
    ]);
    expect([piped.code, piped.stdout]).toEqual([0, "Loaded image: tiny:latest\n"]);
    await gantry("save", "-q", "--format", "docker-archive", "-o", at("docker.tar"), "tiny");
    expect(await gantry("--root", at("third"), "load", "-q", at("docker.tar"))).toBe("Loaded image: tiny:latest\n");
    expect(await gantry("layout", "verify", "--deep", at("copied"))).toBe("clean\n");
  });

  test.skipIf(!installed("skopeo") || !installed("umoci"))("skopeo and umoci read what was written, in every packing", async () => {
    for (const compression of ["none", "gzip", "zstd"]) {
      const place = `oci:${at("peers")}:${compression}`;
      await gantry("copy", "--compression", compression, "tiny", place);
      for (const format of ["oci", "docker"]) {
        const archive = `oci-archive:${at(`${compression}-${format}.tar`)}`;
        await gantry("copy", "--format", format, place, archive);
        const inspected = await execute(["skopeo", "inspect", "--raw", archive]);
        expect([compression, format, inspected.code]).toEqual([compression, format, 0]);
      }
      expect((await execute(["skopeo", "copy", "-q", place, `dir:${at(`dir-${compression}`)}`])).code).toBe(0);
    }
    expect(
      (await execute(["umoci", "ls", "--layout", at("peers")])).stdout
        .split("\n")
        .filter(Boolean)
        .toSorted((a, b) => (a < b ? -1 : 1)),
    ).toEqual(["gzip", "none", "zstd"]);
    expect((await execute(["umoci", "unpack", "--image", `${at("peers")}:gzip`, at("umoci-bundle")])).code).toBe(0);
    expect((await execute(["skopeo", "copy", "-q", `docker-archive:${at("docker.tar")}`, `oci:${at("from-docker")}:x`])).code).toBe(0);
  });

  test("names are given and taken, and an image in use stays", async () => {
    await gantry("tag", "tiny", "a.example/x:1", "y:2");
    expect((await gantry("images", "-q")).split("\n").filter(Boolean)).toHaveLength(1);
    await gantry("run", "--name", "user", "y:2", "true");
    for (const name of ["a.example/x:1", "y:2"]) expect(await gantry("rmi", name)).toBe(`Untagged: ${name}\n`);
    const refused = await bench.gantry("rmi", "tiny");
    expect([refused.code, refused.stderr.includes("container user uses it")]).toEqual([1, true]);
    expect(await gantry("prune", "--all")).toContain("Deleted 0 blobs and 0 unpacked layers");
    await gantry("untag", "tiny");
    expect(await gantry("images", "--filter", "dangling=true", "-q")).not.toBe("");
    expect(await gantry("prune")).toContain("Deleted 0 blobs");
    await gantry("rm", "user");
    expect(await gantry("prune", "--dry-run")).toContain("Would delete 4 blobs and 2 unpacked layers");
    expect(await gantry("prune")).toContain("Deleted 4 blobs and 2 unpacked layers");
    expect(readdirSync(join(bench.root, "layers"))).toEqual([]);
    await bench.load();
  });

  test("C8 what is exported of an image and of a container is imported again", async () => {
    await gantry("run", "--name", "changed", "tiny", "sh", "-c", "echo new >/made; rm /etc/greeting");
    for (const name of ["tiny", "changed"]) {
      await gantry("export", "-o", at(`${name}.tar`), name);
      await gantry("import", "--change", 'CMD ["sh"]', at(`${name}.tar`), `${name}-flat:1`);
    }
    expect(await gantry("run", "--rm", "tiny-flat:1", "cat", "/etc/greeting")).toBe("hello\n");
    expect(await gantry("run", "--rm", "changed-flat:1", "sh", "-c", "cat /made; ls /etc/greeting 2>/dev/null || echo gone")).toBe(
      "new\ngone\n",
    );
    expect(await gantry("history", "--format", "json", "changed-flat:1")).toContain('"createdBy": "gantry import"');
    await gantry("rm", "changed");
    await gantry("rmi", "tiny-flat:1", "changed-flat:1");
  });

  test("an artifact goes with its image", async () => {
    writeFileSync(at("note"), "note\n");
    const digest = (await gantry("artifact", "attach", "--type", "text/x-note", "tiny", `${at("note")}:text/plain`)).trim();
    expect(JSON.parse(await gantry("artifact", "list", "--format", "json", "tiny"))).toMatchObject([
      { digest, artifactType: "text/x-note" },
    ]);
    await gantry("copy", "--referrers", "tiny", `oci:${at("signed")}:v1`);
    expect(JSON.parse(await gantry("artifact", "list", "--format", "json", `oci:${at("signed")}:v1`))).toMatchObject([{ digest }]);
    expect(await gantry("layout", "verify", at("signed"))).toBe("clean\n");
  });

  test("a full disk is said, and leaves a clean layout", async () => {
    writeLarge(at("large"), 8 << 20);
    const mounted = at("small-disk");
    mkdirSync(mounted);
    expect((await execute(["mount", "-t", "tmpfs", "-o", "size=3m", "small", mounted])).code).toBe(0);
    try {
      const failed: Ended = await bench.gantry("copy", `oci:${at("large")}`, `oci:${mounted}/layout:x`);
      expect([failed.code, failed.stderr.includes("ENOSPC")]).toEqual([1, true]);
      expect(await gantry("layout", "verify", `${mounted}/layout`)).toBe("clean\n");
      const stored = await bench.gantry("--root", `${mounted}/root`, "load", "-q", at("large"));
      expect([stored.code, stored.stderr.includes("ENOSPC")]).toEqual([1, true]);
      expect(await gantry("--root", `${mounted}/root`, "verify")).toBe("clean\n");
      expect(await gantry("--root", `${mounted}/root`, "prune")).toContain(" blobs");
      expect(readdirSync(`${mounted}/root/images/blobs/sha256`)).toEqual([]);
      const archive = await bench.gantry("copy", `oci:${at("large")}`, `oci-archive:${mounted}/x.tar`);
      expect([archive.code, existsSync(`${mounted}/x.tar`)]).toEqual([1, false]);
    } finally {
      await execute(["umount", mounted]);
    }
  });

  test("copies that are killed at any point leave what the next one completes", async () => {
    writeLarge(at("killed-source"), 24 << 20);
    const target = at("killed");
    for (let round = 0; round < 12; round++) {
      const child = Bun.spawn(bench.command("copy", "-q", `oci:${at("killed-source")}`, `oci:${target}:x`), {
        stdout: "ignore",
        stderr: "ignore",
      });
      await Bun.sleep(4 + round * 6);
      child.kill("SIGKILL");
      await child.exited;
      if (existsSync(join(target, "index.json"))) {
        const { images } = { images: JSON.parse(readFileSync(join(target, "index.json"), "utf8")) as { manifests: unknown[] } };
        // A name appears with all that it stands for, or not at all.
        if (images.manifests.length > 0) expect(await gantry("layout", "verify", target)).toBe("clean\n");
      }
    }
    await gantry("copy", `oci:${at("killed-source")}`, `oci:${target}:x`);
    expect(await gantry("layout", "verify", target)).toBe("clean\n");
    expect(readdirSync(target).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(["blobs", "index.json", "oci-layout"]);
  });

  test.skipIf(!installed("mkfs.xfs"))("where the file system can, the store shares blocks with what it was loaded from", async () => {
    const [disk, mounted] = [at("xfs.img"), at("xfs")];
    mkdirSync(mounted);
    expect((await execute(["truncate", "-s", "400M", disk])).code).toBe(0);
    expect((await execute(["mkfs.xfs", "-q", "-m", "reflink=1", disk])).code).toBe(0);
    expect((await execute(["mount", "-o", "loop", disk, mounted])).code).toBe(0);
    try {
      writeLarge(`${mounted}/source`, 32 << 20);
      const used = async (): Promise<number> => Number((await execute(["df", "--output=used", "-k", mounted])).stdout.split("\n")[1]);
      const before = await used();
      await gantry("--root", `${mounted}/root`, "copy", `oci:${mounted}/source`, "store:large:1");
      expect((await used()) - before).toBeLessThan(8 << 10);
      await gantry("copy", `oci:${mounted}/source`, `oci:${mounted}/target:x`);
      expect((await used()) - before).toBeLessThan(8 << 10);
      expect(statSync(`${mounted}/target/index.json`).isFile()).toBe(true);
    } finally {
      await execute(["umount", mounted]);
    }
  });
});
