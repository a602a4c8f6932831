/**
 * Work on images that moves or looks at little: copies between layouts, listings, details, removal, collection.
 *
 *     bun bench/images.ts [--rounds=7] [--json] [--work=DIRECTORY] [IMAGE]
 *
 * The peers are skopeo (copies), podman (with a store of its own) and umoci (layouts). The directory (default: in memory) is best a tmpfs:
 * what is measured is the program, not the disk.
 */
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildImage } from "../test/support/images/build.ts";
import { LayoutWriter } from "../test/support/images/layout-writer.ts";
import { tar } from "../test/support/images/tar-writer.ts";
import { compare, numberOption, report, type Contender } from "./compare.ts";

const words = process.argv.slice(2);
const images =
  words.find((word) => word.startsWith("--work="))?.slice("--work=".length) ??
  process.env["GANTRY_TEST_IMAGES"] ??
  "/dev/shm/gantry-images";
const name = words.find((word) => !word.startsWith("--")) ?? "bigtree";
const layout = buildImage(images, name);
const work = join(images, "bench-images");
const ours = process.env["GANTRY"] ?? resolve(import.meta.dir, "../dist/gantry");
const rounds = numberOption("rounds", 7);

const root = join(work, "gantry");
const podman = ["podman", "--root", join(work, "podman"), "--runroot", join(work, "podman-run"), "--storage-driver", "vfs"];
const gantry = (...rest: readonly string[]): string[] => [ours, "--root", root, ...rest];

/** Runs a command and gives what it printed. */
function run(command: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString().trim();
}

function measure(title: string, contenders: readonly Contender[]): void {
  report(compare(title, contenders, { rounds, warmups: 1 }));
}

/** A layout of twenty small images. */
function writeSmallImages(directory: string): string[] {
  mkdirSync(directory, { recursive: true });
  const writer = new LayoutWriter(directory);
  const shared = writer.layer(tar([{ name: "base", data: "base" }]));
  const tags = Array.from({ length: 20 }, (_, at) => `image${at}`);
  writer.index(
    tags.map((tag, at) => ({
      ...writer.image([shared, writer.layer(tar([{ name: "own", data: String(at) }]))]),
      annotations: { "org.opencontainers.image.ref.name": `${tag}:latest` },
    })),
  );
  return tags;
}

rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
try {
  const target = join(work, "copy");
  const clear = (): void => rmSync(target, { recursive: true, force: true });
  for (const image of [name, "tiny"]) {
    const source = image === "tiny" ? join(work, "tiny") : layout;
    if (image === "tiny") {
      const writer = new LayoutWriter(source);
      writer.tag(writer.image([writer.layer(tar([{ name: "file", data: "x" }]))]), image);
    }
    const copies = [
      ["gantry copy", gantry("copy", "-q", `oci:${source}:${image}`, `oci:${target}:x`)],
      ["skopeo copy", ["skopeo", "copy", "-q", `oci:${source}:${image}`, `oci:${target}:x`]],
    ] as const;
    measure(
      `copy ${image} from layout to layout`,
      copies.map(([label, command]) => ({ name: label, command, prepare: clear, cleanUp: clear })),
    );
  }

  const small = join(work, "small");
  const tags = writeSmallImages(small);
  run(gantry("load", "-q", small));
  // Podman names an image of a layout after the directory; its id is plainer.
  const ids = tags.map((tag) => run([...podman, "pull", "-q", `oci:${small}:${tag}:latest`]));
  const umoci = join(work, "umoci");
  cpSync(small, umoci, { recursive: true });
  measure("list twenty images", [
    { name: "gantry images", command: gantry("images") },
    { name: "podman images", command: [...podman, "images"] },
    { name: "umoci list", command: ["umoci", "ls", "--layout", umoci] },
  ]);
  measure("details of an image", [
    { name: "gantry inspect", command: gantry("inspect", "--type", "image", "image3") },
    { name: "podman image inspect", command: [...podman, "image", "inspect", ids[3] ?? ""] },
    { name: "umoci stat", command: ["umoci", "stat", "--image", `${umoci}:image3:latest`] },
  ]);
  measure("collection with nothing to do", [
    { name: "gantry prune", command: gantry("prune") },
    { name: "podman image prune", command: [...podman, "image", "prune", "-f"] },
    { name: "umoci gc", command: ["umoci", "gc", "--layout", umoci] },
  ]);
  const one = join(work, "one");
  const writer = new LayoutWriter(one);
  writer.tag(writer.image([writer.layer(tar([{ name: "own", data: "one" }]))]), "one:latest");
  const pull = [...podman, "pull", "-q", `oci:${one}:one:latest`];
  const id = run(pull);
  const again = (command: readonly string[]) => (): void => void run(command);
  measure("remove a small image", [
    { name: "gantry rmi", command: gantry("rmi", "one"), prepare: again(gantry("load", "-q", one)) },
    { name: "podman rmi", command: [...podman, "rmi", id], prepare: again(pull) },
    {
      name: "umoci rm",
      command: ["umoci", "rm", "--image", `${umoci}:extra`],
      prepare: again(["umoci", "tag", "--image", `${umoci}:image1:latest`, "extra"]),
    },
  ]);
} finally {
  if (existsSync(work)) rmSync(work, { recursive: true, force: true });
}
