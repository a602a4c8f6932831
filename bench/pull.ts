/**
 * How long it takes from a registry on the loopback to a layout, and to an image that runs: ours against skopeo and podman, in turn.
 *
 *     bun bench/pull.ts [--rounds=5] [--json] [--work=DIRECTORY] [--only=copy,pull,push,again] [IMAGE]
 *
 * The directory (default: in memory) should be a tmpfs or a file system of its own with a journal. The registry is Debian's docker-registry,
 * with its files in memory, so that neither a network nor a disk is measured; its own work is, on the same cores.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildImage } from "../test/support/images/build.ts";
import { tool } from "../test/support/images/commands.ts";
import { imageWithoutLowerLinks } from "../test/support/images/without-links.ts";
import { startRegistry } from "../test/support/registry/server.ts";
import { compare, numberOption, report, type Contender } from "./compare.ts";

const words = process.argv.slice(2);
const optionOf = (name: string): string | undefined => words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
const work = optionOf("work") ?? process.env["GANTRY_TEST_IMAGES"] ?? "/dev/shm/gantry-images";
const image = words.find((word) => !word.startsWith("--")) ?? "bigtree";
const only = (optionOf("only") ?? "copy,pull,push,again").split(",");
const ours = process.env["GANTRY"] ?? resolve(import.meta.dir, "../dist/gantry");
const rounds = numberOption("rounds", 5);

const scratch = mkdtempSync(join(work, "bench-pull-"));
const at = (name: string): string => join(scratch, name);
const layout = image === "bigtree" ? imageWithoutLowerLinks(buildImage(work, image), at("image")) : buildImage(work, image);
await using server = await startRegistry({ directory: at("registry") });
const reference = `${server.host}/bench/${image}:1`;
const skopeo = ["skopeo", "--insecure-policy", "copy", "-q"];
tool([...skopeo, "--dest-tls-verify=false", `oci:${layout}:${image}`, `docker://${reference}`]);

// podman wants a short path there.
const podmanRun = mkdtempSync("/tmp/bp-");
const podmanRoot = ["--root", at("podman"), "--runroot", podmanRun, "--storage-driver", "overlay"];
const gantry = (...rest: readonly string[]): string[] => [ours, "--root", at("root"), ...rest];

function clear(...names: readonly string[]): () => void {
  return () => {
    for (const name of names) {
      // podman keeps its overlay directory mounted.
      spawnSync("umount", [at(`${name}/overlay`)]);
      rmSync(at(name), { recursive: true, force: true });
    }
  };
}

function contender(name: string, command: readonly string[], used: readonly string[]): Contender {
  return { name, command, prepare: clear(...used), cleanUp: clear(...used) };
}

try {
  const target = `oci:${at("copy")}:1`;
  if (only.includes("copy"))
    report(
      compare(
        `registry to layout, ${image}`,
        [
          contender("gantry copy", gantry("copy", "--quiet", `docker://${reference}`, target), ["copy", "root"]),
          contender("skopeo copy", [...skopeo, "--src-tls-verify=false", `docker://${reference}`, target], ["copy"]),
        ],
        { rounds },
      ),
    );
  if (only.includes("pull"))
    report(
      compare(
        `registry to an image that runs, ${image}`,
        [
          contender("gantry pull", gantry("pull", "--quiet", reference), ["root"]),
          contender("podman pull", ["podman", ...podmanRoot, "pull", "-q", "--tls-verify=false", reference], ["podman"]),
        ],
        { rounds: Math.max(1, Math.ceil(rounds / 2)), warmups: 0 },
      ),
    );
  tool(gantry("pull", "--quiet", reference));
  if (only.includes("again")) report(compare(`pull of what is there, ${image}`, again(), { rounds: rounds * 2 }));
  if (only.includes("push"))
    report(
      compare(
        `push of what the registry has, ${image}`,
        [
          { name: "gantry push", command: gantry("push", "--quiet", reference) },
          { name: "skopeo copy", command: [...skopeo, "--dest-tls-verify=false", `oci:${layout}:${image}`, `docker://${reference}`] },
        ],
        { rounds: rounds * 2 },
      ),
    );
} finally {
  clear("podman")();
  for (const directory of [scratch, podmanRun]) rmSync(directory, { recursive: true, force: true });
}

function again(): Contender[] {
  const podman = ["podman", ...podmanRoot, "pull", "-q", "--tls-verify=false", reference];
  spawnSync(podman[0] ?? "", podman.slice(1));
  return [
    { name: "gantry pull", command: gantry("pull", "--quiet", reference) },
    { name: "podman pull", command: podman },
  ];
}
