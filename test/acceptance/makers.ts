/** Images as other tools make them: two layers and more, with deletions, links, attributes and owners, each ready as an OCI layout. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Podman } from "../interop/clients.ts";
import { tool } from "../support/images/commands.ts";
import { sha256 } from "../support/images/layout-writer.ts";
import { tinyLayer } from "../support/images/tiny.ts";
import { skopeo } from "../root/registry-harness.ts";

/** An image that somebody else has made. */
export interface MadeImage {
  readonly maker: string;
  /** The layout that holds it, under the name `made`. */
  readonly layout: string;
  readonly digest: string;
  readonly layers: readonly string[];
  /** umoci reads layers packed with gzip, and OCI's media types, only. */
  readonly isForUmoci: boolean;
}

/** What is done to a file system of tiny: a second layer with every kind of change, and a file that says who made it. */
const changes = (maker: string, root: string): string =>
  [
    `echo 'made by ${maker}' > ${root}/etc/maker`,
    `rm ${root}/bin/wc`,
    `mkdir -p ${root}/data/deep && echo one > ${root}/data/deep/one && ln ${root}/data/deep/one ${root}/data/two`,
    `ln -s ../etc/maker ${root}/data/link`,
    `chmod 4711 ${root}/bin/busybox`,
    `chown 1000:1001 ${root}/data/deep`,
    `rm -rf ${root}/var && mkdir ${root}/var`,
  ].join(" && ");

const command = ["/bin/busybox", "sh", "-c", "cat /etc/maker /data/link; ls /bin/wc"];

/** All of them. @throws Error where a tool fails */
export async function makeImages(scratch: string, podman: Podman): Promise<MadeImage[]> {
  const at = (name: string): string => join(scratch, name);
  writeFileSync(at("tiny.tar"), tinyLayer());
  return [
    describe("umoci", byUmoci(scratch), true),
    describe("buildah", await byBuildah(scratch, podman, "oci"), true),
    describe("buildah-docker", await byBuildah(scratch, podman, "docker"), false),
    describe("podman", await byPodman(scratch, podman), true),
    describe("skopeo-zstd", bySkopeo(at("umoci"), at("skopeo-zstd"), ["--dest-compress-format", "zstd"]), false),
    describe("skopeo-docker", bySkopeo(at("umoci"), at("skopeo-docker"), ["--format", "v2s2"]), false),
  ];
}

function describe(maker: string, layout: string, isForUmoci: boolean): MadeImage {
  const raw = skopeo("inspect", "--raw", layout.startsWith("dir:") ? layout : `oci:${layout}:made`);
  const { layers } = JSON.parse(raw) as { layers: { digest: string }[] };
  return { maker, layout, digest: sha256(Buffer.from(raw)), layers: layers.map(({ digest }) => digest), isForUmoci };
}

function byUmoci(scratch: string): string {
  const [layout, bundle, base] = ["umoci", "umoci-bundle", "umoci-base"].map((name) => join(scratch, name)) as [string, string, string];
  tool(["umoci", "init", "--layout", layout]);
  tool(["umoci", "new", "--image", `${layout}:made`]);
  tool(["umoci", "unpack", "--image", `${layout}:made`, base]);
  tool(["tar", "-xf", join(scratch, "tiny.tar"), "-C", join(base, "rootfs")]);
  tool(["umoci", "repack", "--image", `${layout}:made`, base]);
  tool(["umoci", "unpack", "--image", `${layout}:made`, bundle]);
  tool(["sh", "-c", changes("umoci", join(bundle, "rootfs"))]);
  tool(["umoci", "repack", "--image", `${layout}:made`, bundle]);
  tool(["umoci", "config", "--image", `${layout}:made`, ...command.flatMap((word) => ["--config.cmd", word])]);
  tool(["umoci", "gc", "--layout", layout]);
  rmSync(bundle, { recursive: true });
  rmSync(base, { recursive: true });
  return layout;
}

async function byBuildah(scratch: string, podman: Podman, format: "oci" | "docker"): Promise<string> {
  const name = `localhost/by-buildah-${format}`;
  const buildah = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await podman.execute(["buildah", ...podman.store, ...words]);
    if (code !== 0) throw new Error(`buildah ${words.join(" ")}: ${stderr}`);
    return stdout.trim();
  };
  const base = await buildah("from", "scratch");
  await buildah("add", base, join(scratch, "tiny.tar"), "/");
  await buildah("commit", "--format", format, base, `${name}:base`);
  const container = await buildah("from", `${name}:base`);
  tool(["sh", "-c", changes(`buildah-${format}`, await buildah("mount", container))]);
  await buildah("config", "--cmd", JSON.stringify(command), "--label", "from=buildah", container);
  await buildah("commit", "--format", format, container, `${name}:made`);
  return await takeOut(scratch, podman, { name: `${name}:made`, as: `buildah-${format}`, format });
}

async function byPodman(scratch: string, podman: Podman): Promise<string> {
  const script = changes("podman", "");
  await podman.output("run", "--name", "changes", "--network", "none", "tiny", "/bin/busybox", "sh", "-c", `export PATH=/bin; ${script}`);
  await podman.output("commit", "-q", "--change", `CMD ${JSON.stringify(command)}`, "changes", "localhost/by-podman:made");
  await podman.output("rm", "changes");
  return await takeOut(scratch, podman, { name: "localhost/by-podman:made", as: "podman", format: "oci" });
}

/** As it would be pushed: compressed, with the digest that a registry would see. */
async function takeOut(
  scratch: string,
  podman: Podman,
  { name, as, format }: { readonly name: string; readonly as: string; readonly format: "oci" | "docker" },
): Promise<string> {
  const directory = join(scratch, as);
  if (format === "oci") {
    await podman.output("push", "-q", name, `oci:${directory}:made`);
    return directory;
  }
  mkdirSync(directory);
  await podman.output("push", "-q", "--format", "v2s2", "--compress", name, `dir:${directory}`);
  return `dir:${directory}`;
}

function bySkopeo(from: string, to: string, options: readonly string[]): string {
  if (options.includes("v2s2")) {
    skopeo("copy", "-q", ...options, `oci:${from}:made`, `dir:${to}`);
    return `dir:${to}`;
  }
  skopeo("copy", "-q", ...options, `oci:${from}:made`, `oci:${to}:made`);
  return to;
}

/** Where skopeo finds it. */
export function placeOf({ layout }: MadeImage): string {
  return layout.startsWith("dir:") ? layout : `oci:${layout}:made`;
}

/** The bytes of one of its blobs. */
export function blobOf({ layout }: MadeImage, digest: string): Buffer {
  if (layout.startsWith("dir:")) return readFileSync(join(layout.slice("dir:".length), digest.slice("sha256:".length)));
  return readFileSync(join(layout, "blobs", digest.replace(":", "/")));
}
