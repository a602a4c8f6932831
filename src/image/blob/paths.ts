/** Where a directory store keeps things. */
import { join } from "node:path";
import { digestAlgorithm, digestEncoded, type Digest } from "#spec/digest.ts";

/** Where the image layout in `root` keeps the blob `digest`. */
export function blobPath(root: string, digest: Digest): string {
  return join(root, "blobs", digestAlgorithm(digest), digestEncoded(digest));
}

/** Where what came of an unfinished download of `digest` is kept. */
export function partialPath(root: string, digest: Digest): string {
  return join(root, "tmp", `partial-${digestAlgorithm(digest)}-${digestEncoded(digest)}`);
}
