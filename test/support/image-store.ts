/** A store in a scratch directory and small images to put in, for tests of the image room. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openLayout, type ImageLayout } from "#image/layout.ts";
import { loadImages, type LoadedImage, type LoadOptions } from "#image/load.ts";
import { openImageSource } from "#image/source/open.ts";
import { inProcessLock } from "./in-process-lock.ts";
import { LayoutWriter, type WrittenDescriptor } from "./images/layout-writer.ts";
import { tar } from "./images/tar-writer.ts";
import { scratchDirectory } from "./scratch-directory.ts";

/** A store that goes when the test ends. */
export async function scratchStore(): Promise<{ readonly layout: ImageLayout; readonly path: string } & Disposable> {
  const scratch = scratchDirectory();
  const layout = await openLayout(join(scratch.path, "store"), inProcessLock());
  return { layout, path: scratch.path, [Symbol.dispose]: () => scratch[Symbol.dispose]() };
}

/** A layout with one image of one layer, which holds a file with this text, under the name. */
export function writeImage(directory: string, { name, text }: { name?: string; text: string }): WrittenDescriptor {
  mkdirSync(directory, { recursive: true });
  const writer = new LayoutWriter(directory);
  const manifest = writer.image([writer.layer(tar([{ name: "file", data: text }]))]);
  if (name === undefined) writer.index([manifest]);
  else writer.tag(manifest, name);
  return manifest;
}

/** Loads from a path or stream and disposes the source. */
export async function loadFrom(
  layout: ImageLayout,
  input: string | AsyncIterable<Uint8Array>,
  options: LoadOptions = {},
): Promise<LoadedImage[]> {
  const source = await openImageSource(input, { spoolDirectory: join(layout.path, "tmp") });
  try {
    return await loadImages(layout, source, options);
  } finally {
    await source[Symbol.asyncDispose]();
  }
}

/** Writes an image under `name` and loads it. */
export async function loadNew(
  store: { layout: ImageLayout; path: string },
  { name, text }: { name: string; text: string },
): Promise<LoadedImage> {
  const directory = join(store.path, `source-${Buffer.from(`${name} ${text}`).toString("hex")}`);
  writeImage(directory, { name, text });
  const [image] = await loadFrom(store.layout, directory);
  if (image === undefined) throw new Error("no image was loaded");
  return image;
}

/** Replaces a file of the source's index.json or blobs by other bytes. */
export function overwriteBlob(directory: string, digest: string, bytes: Uint8Array | string): void {
  writeFileSync(join(directory, "blobs", digest.replace(":", "/")), bytes);
}
