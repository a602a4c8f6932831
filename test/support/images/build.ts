/**
 * Builds the images that tests and measurements use, as OCI layouts WORK/NAME with the tag NAME:
 *
 *   bun test/support/images/build.ts WORK [debian odd odd-common sparse zeros layers bigtree bigtree-zstd bigtree-raw tiny]
 *
 * WORK must be a tmpfs or another file system with extended attributes, and root is needed for device nodes. What is there is kept; only the
 * first run loads packages (into WORK/cache).
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bigtreeLayers } from "./bigtree.ts";
import { tool } from "./commands.ts";
import { LayoutWriter, sha256, type Compression, type WrittenLayer } from "./layout-writer.ts";
import { addOddLayers } from "./odd.ts";
import { manyLayers } from "./many-layers.ts";
import { sparseLayers, zerosLayer } from "./sparse.ts";
import { tar } from "./tar-writer.ts";
import { tinyLayer, writeTinyArchives } from "./tiny.ts";

const created = "2023-11-14T22:13:20Z";

/** How an image is written into an empty directory, and the files of this folder that decide what is in it. */
interface Recipe {
  readonly sources: readonly string[];
  readonly write: (build: Build) => void;
}

const writers = ["tar-writer.ts", "layout-writer.ts"];
const oddSources = [
  ...writers,
  "odd.ts",
  "differences.ts",
  "cases/all.ts",
  "cases/case.ts",
  "cases/changes.ts",
  "cases/links.ts",
  "cases/metadata.ts",
  "cases/whiteouts.ts",
];
const bigtreeSources = [...writers, "bigtree.ts", "cases/case.ts"];
const tinySources = [...writers, "tiny.ts", "cases/case.ts"];

const recipes: Readonly<Record<string, Recipe>> = {
  debian: { sources: [], write: writeDebian },
  odd: { sources: oddSources, write: (build) => writeOdd(build, false) },
  "odd-common": { sources: oddSources, write: (build) => writeOdd(build, true) },
  sparse: {
    sources: [...writers, "sparse.ts"],
    write: ({ layout, scratch }) => write(layout, "sparse", (writer) => sparseLayers(scratch).map((archive) => writer.layer(archive))),
  },
  zeros: {
    sources: [...writers, "sparse.ts", "zeros.ts"],
    write: ({ layout }) => write(layout, "zeros", (writer) => [zerosLayer(writer)]),
  },
  bigtree: { sources: bigtreeSources, write: writeBigtree },
  layers: {
    sources: [...writers, "many-layers.ts", "cases/case.ts"],
    write: ({ layout }) => write(layout, "layers", (writer) => manyLayers().map((entries) => writer.layer(tar(entries())))),
  },
  "bigtree-zstd": { sources: bigtreeSources, write: (build) => recompress("bigtree", build, { tag: "bigtree-zstd", compression: "zstd" }) },
  "bigtree-raw": { sources: bigtreeSources, write: (build) => recompress("bigtree", build, { tag: "bigtree-raw", compression: "none" }) },
  tiny: { sources: tinySources, write: ({ layout }) => write(layout, "tiny", (writer) => [writer.layer(tinyLayer())]) },
  "tiny-zstd": { sources: tinySources, write: (build) => recompress("tiny", build, { tag: "tiny-zstd", compression: "zstd" }) },
  "tiny-raw": { sources: tinySources, write: (build) => recompress("tiny", build, { tag: "tiny-raw", compression: "none" }) },
};

interface Build {
  readonly work: string;
  readonly layout: string;
  readonly scratch: string;
}

/** Builds image `name` below `work`, unless it is there and what decides its content has not changed; returns its layout directory. */
export function buildImage(work: string, name: string): string {
  const recipe = recipes[name];
  if (recipe === undefined) throw new Error(`cannot build ${name}: the images are ${Object.keys(recipes).join(", ")}`);
  const [layout, keyPath] = [join(work, name), join(work, "cache", `${name}.key`)];
  const key = sha256(Buffer.concat(recipe.sources.map((source) => readFileSync(join(import.meta.dir, source)))));
  if (existsSync(layout) && existsSync(keyPath) && readFileSync(keyPath, "utf8") === key) return layout;
  mkdirSync(join(work, "cache"), { recursive: true });
  const scratch = mkdtempSync(join(work, "cache/build-"));
  const partial = join(scratch, name);
  try {
    recipe.write({ work, layout: partial, scratch });
    rmSync(layout, { recursive: true, force: true });
    renameSync(partial, layout);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  if (name === "tiny") writeTinyArchives(layout, work);
  writeFileSync(keyPath, key);
  return layout;
}

/** The tar of a minimal Debian, made once. */
function debianArchive(work: string): string {
  const archive = join(work, "cache/debian.tar");
  if (existsSync(archive)) return archive;
  const partial = `${archive}.partial.tar`;
  tool(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", partial], { env: { SOURCE_DATE_EPOCH: "1700000000" } });
  renameSync(partial, archive);
  return archive;
}

function writeDebian({ layout, work }: Build): void {
  const image = `${layout}:debian`;
  tool(["umoci", "init", "--layout", layout]);
  tool(["umoci", "new", "--image", image]);
  tool(["umoci", "raw", "add-layer", "--history.created", created, "--image", image, debianArchive(work)]);
  tool(["umoci", "config", "--no-history", "--created", created, "--config.cmd", "/bin/bash", "--image", image]);
  tool(["umoci", "gc", "--layout", layout]);
}

function writeOdd(build: Build, common: boolean): void {
  const tag = common ? "odd-common" : "odd";
  cpSync(buildImage(build.work, "debian"), build.layout, { recursive: true });
  tool(["umoci", "tag", "--image", `${build.layout}:debian`, tag]);
  tool(["umoci", "rm", "--image", `${build.layout}:debian`]);
  addOddLayers({ layout: build.layout, tag }, { scratch: build.scratch, common });
  tool(["umoci", "config", "--no-history", "--created", created, "--image", `${build.layout}:${tag}`]);
  tool(["umoci", "gc", "--layout", build.layout]);
}

function writeBigtree({ layout, work }: Build): void {
  const archives = [() => readFileSync(debianArchive(work)), ...bigtreeLayers().map((entries) => () => tar(entries()))];
  write(layout, "bigtree", (writer) => archives.map((archive) => writer.layer(archive())));
}

function write(layout: string, tag: string, layers: (writer: LayoutWriter) => readonly WrittenLayer[]): void {
  const writer = new LayoutWriter(layout);
  writer.tag(writer.image(layers(writer)), tag);
}

/** Writes the image `name` again with its layers compressed in another way. */
function recompress(name: string, build: Build, target: { tag: string; compression: Compression }): void {
  const source = buildImage(build.work, name);
  const read = (digest: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(source, "blobs", digest.replace(":", "/"))));
  const index = JSON.parse(readFileSync(join(source, "index.json"), "utf8")) as { manifests: { digest: string }[] };
  const manifest = JSON.parse(Buffer.from(read(index.manifests[0]?.digest ?? "")).toString()) as { layers: { digest: string }[] };
  write(build.layout, target.tag, (writer) =>
    manifest.layers.map((layer) => writer.layer(Bun.gunzipSync(read(layer.digest)), target.compression)),
  );
}

if (import.meta.main) {
  const [work, ...names] = process.argv.slice(2);
  if (work === undefined) throw new Error("cannot build: the first argument is the directory to build in");
  for (const name of names.length > 0 ? names : Object.keys(recipes)) {
    const started = performance.now();
    const layout = buildImage(work, name);
    const digest = sha256(readFileSync(join(layout, "index.json")));
    console.log(`${name}: ${layout} (index ${digest}, ${((performance.now() - started) / 1000).toFixed(1)} s)`);
  }
}
