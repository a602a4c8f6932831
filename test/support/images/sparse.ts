/** Layers of large files with holes: sparse as GNU tar writes them in each of its four formats, and zeros stored as such. */
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, utimesSync, writeSync } from "node:fs";
import { join } from "node:path";
import { mediaTypes, type LayoutWriter, type WrittenLayer } from "./layout-writer.ts";
import { header } from "./tar-writer.ts";
import { gzipWithZeros } from "./zeros.ts";

/** Apparent size of the large files: over 8 GiB, where the octal size field of tar ends. */
export const largeBytes = 9 * 1024 ** 3;
/** Where the data of every sparse file lies; each piece holds its own offset in text. */
export const sparsePieces = [4096, 1 << 20, 5 * 1024 ** 3] as const;

const formats = {
  "gnu-old": ["--format=gnu"],
  "pax-0.0": ["--format=pax", "--sparse-version=0.0"],
  "pax-0.1": ["--format=pax", "--sparse-version=0.1"],
  "pax-1.0": ["--format=pax", "--sparse-version=1.0"],
} as const;

/** One archive per format, each with the sparse file `sparse/FORMAT` and a small file after it. */
export function sparseLayers(scratch: string): Buffer[] {
  return Object.entries(formats).map(([format, options]) => {
    const [name, after] = [`sparse-${format}`, `after-${format}`];
    writeSparseFile(join(scratch, name), largeBytes);
    writeSparseFile(join(scratch, after), 0);
    const archive = join(scratch, "sparse.tar");
    const fixed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=644"];
    // PAX headers carry the writer's process id and the access times unless both are named.
    const pax = options[0] === "--format=pax" ? ["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"] : [];
    execFileSync("tar", ["--create", "--sparse", ...options, ...pax, ...fixed, "-C", scratch, "-f", archive, name, after]);
    const bytes = readFileSync(archive);
    for (const path of [join(scratch, name), join(scratch, after), archive]) rmSync(path);
    return bytes;
  });
}

/** A layer with one file of `largeBytes` zeros, gzipped as they are: nothing in the archive says "hole". */
export function zerosLayer(writer: LayoutWriter): WrittenLayer {
  const head = header({ name: "zeros" }, { seconds: 1_700_000_000, nanos: 0 }, largeBytes);
  // One more mebibyte of zeros ends the archive.
  const zeros = gzipWithZeros(head, largeBytes + (1 << 20));
  return { descriptor: writer.blob(zeros.bytes, mediaTypes.gzip), diffId: zeros.contentDigest };
}

function writeSparseFile(path: string, bytes: number): void {
  const descriptor = openSync(path, "w");
  for (const offset of sparsePieces) if (offset < bytes) writeSync(descriptor, `data at ${offset}`.padEnd(4096, "."), offset);
  if (bytes === 0) writeSync(descriptor, "after\n");
  else ftruncateSync(descriptor, bytes);
  closeSync(descriptor);
  utimesSync(path, 1_700_000_000, 1_700_000_000);
}
