/** Images that other tools write, read by us, and our store read by them. Needs the tools; podman also needs root. */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listImages } from "#image/images.ts";
import { verifyLayout } from "#image/verify.ts";
import { loadFrom, scratchStore, writeImage } from "../support/image-store.ts";

function run(command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return stdout;
}

function lacking(...tools: readonly string[]): string | undefined {
  const missing = tools.filter((tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0);
  return missing.length === 0 ? undefined : `this machine lacks ${missing.join(", ")}`;
}

/** A test that is skipped, with the reason in its name, when the machine cannot run it. */
function peerTest(name: string, reason: string | undefined, body: () => Promise<void>): void {
  if (reason === undefined) test(name, body, 60_000);
  else test.skip(`${name} (skipped: ${reason})`, body);
}

const policy = ["--insecure-policy"];

peerTest("images that skopeo copies to every kind of place load with one id", lacking("skopeo"), async () => {
  using store = await scratchStore();
  const source = join(store.path, "source");
  writeImage(source, { name: "1", text: "hello" });
  const skopeo = (target: string, ...options: string[]): string =>
    run("skopeo", ...policy, "copy", "-q", ...options, `oci:${source}:1`, target);
  skopeo(`oci:${store.path}/dir:a.example/dir:1`);
  skopeo(`oci-archive:${store.path}/oci.tar:a.example/oci:1`);
  skopeo(`docker-archive:${store.path}/docker.tar:a.example/docker:1`);
  skopeo(`oci:${store.path}/zstd:a.example/zstd:1`, "--dest-compress-format", "zstd");
  const ids = new Set<string>();
  const names: string[] = [];
  for (const place of ["dir", "oci.tar", "docker.tar", "zstd"]) {
    const [image] = await loadFrom(store.layout, join(store.path, place));
    ids.add(image?.chainIds.join() ?? "");
    names.push(...(image?.names ?? []));
  }
  expect(names).toEqual(["a.example/dir:1", "a.example/oci:1", "a.example/docker:1", "a.example/zstd:1"]);
  expect(ids.size).toBe(1);
  expect(await verifyLayout(store.layout)).toEqual([]);
});

peerTest("skopeo reads our store as it lies, under the names that we gave", lacking("skopeo"), async () => {
  using store = await scratchStore();
  const source = join(store.path, "source");
  writeImage(source, { name: "a.example/x:1", text: "hello" });
  const [image] = await loadFrom(store.layout, source);
  const inspected = JSON.parse(run("skopeo", "inspect", `oci:${store.layout.path}:a.example/x:1`)) as { Digest: string; Layers: string[] };
  expect(inspected.Digest).toBe(image?.descriptor.digest ?? "");
  expect(inspected.Layers).toEqual((image?.manifest.layers ?? []).map((layer) => layer.digest));
});

peerTest("what umoci builds loads, and umoci works in our store beside us", lacking("umoci"), async () => {
  using store = await scratchStore();
  const layout = join(store.path, "umoci");
  const tree = join(store.path, "tree");
  mkdirSync(tree);
  writeFileSync(join(tree, "file"), "hello");
  run("umoci", "init", "--layout", layout);
  run("umoci", "new", "--image", `${layout}:v1`);
  run("umoci", "insert", "--rootless", "--image", `${layout}:v1`, tree, "/data");
  run("umoci", "config", "--image", `${layout}:v1`, "--config.cmd", "/data/file", "--config.label", "a=b");
  const [image] = await loadFrom(store.layout, layout, { fallbackName: "built" });
  expect(image?.names).toEqual(["built:v1"]);
  expect(image?.config.config.Cmd).toEqual(["/data/file"]);
  expect(image?.config.config.Labels).toEqual({ a: "b" });
  expect(run("umoci", "ls", "--layout", store.layout.path).trim()).toBe("built:v1");
  run("umoci", "gc", "--layout", store.layout.path);
  expect(await verifyLayout(store.layout)).toEqual([]);
  expect((await listImages(store.layout)).images).toHaveLength(1);
});

peerTest("an empty layout of umoci has no images, and that is what we say", lacking("umoci"), async () => {
  using store = await scratchStore();
  const layout = join(store.path, "umoci");
  run("umoci", "init", "--layout", layout);
  await expect(loadFrom(store.layout, layout)).rejects.toThrow("it has no images");
});

peerTest("what podman saves loads, one image or several", process.getuid?.() === 0 ? lacking("podman", "skopeo") : "not root", async () => {
  using store = await scratchStore();
  const source = join(store.path, "source");
  writeImage(source, { name: "1", text: "hello" });
  const storage = [
    "--root",
    join(store.path, "podman"),
    "--runroot",
    join(store.path, "run"),
    "--storage-driver",
    "vfs",
    "--cgroup-manager",
    "cgroupfs",
  ];
  const podman = (...args: string[]): string => run("podman", ...storage, ...args);
  run("skopeo", ...policy, "copy", "-q", `oci:${source}:1`, `docker-archive:${store.path}/in.tar:localhost/a:1`);
  podman("load", "-q", "-i", join(store.path, "in.tar"));
  const id = podman("image", "inspect", "--format", "{{.Id}}", "localhost/a:1").trim();
  podman("tag", id, "localhost/b:2");
  podman("save", "-q", "--format", "docker-archive", "-o", join(store.path, "docker.tar"), "localhost/a:1");
  podman("save", "-q", "--format", "oci-archive", "-o", join(store.path, "oci.tar"), "localhost/b:2");
  podman("save", "-q", "-m", "-o", join(store.path, "both.tar"), "localhost/a:1", "localhost/b:2");
  const names: (readonly string[])[] = [];
  for (const archive of ["docker.tar", "oci.tar", "both.tar"]) {
    for (const image of await loadFrom(store.layout, join(store.path, archive))) {
      names.push([...image.names].sort());
      expect(image.id).toBe(`sha256:${id}` as never);
    }
  }
  expect(names).toEqual([["localhost/a:1"], ["localhost/b:2"], ["localhost/a:1", "localhost/b:2"]]);
  expect(await verifyLayout(store.layout)).toEqual([]);
});
