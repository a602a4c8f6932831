/**
 * What is remembered beside an unpacked bundle:
 *
 *     BUNDLE/rootfs/  config.json
 *            gantry.json   which image it was made of, and where that lies
 *            gantry.links  digests of files with several names (linked-files.ts); missing when there are none
 *            gantry.tree   the root file system as it was then: a listing (docs/program-format.md, "Records of trees")
 */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { parseJsonNode } from "#base/json-node.ts";
import { readDescriptor, type Descriptor } from "#spec/image.ts";
import { Listing } from "#image/tree/listing.ts";
import { readFileBounded } from "#sys/fs.ts";
import { readTextIfThere } from "#sys/small-files.ts";

/** The content of gantry.json. */
export interface BundleRecord {
  /** Of this form of the record. */
  readonly version: 1;
  /** `store`, or `oci:` and an absolute path. */
  readonly home: string;
  /** The image's name there, as it was typed. */
  readonly reference: string;
  readonly manifest: Descriptor;
  /** Ids of the user who unpacked without being root: owners, devices and some attributes could not be made. */
  readonly rootless?: { readonly uid: number; readonly gid: number } | undefined;
}

/** The largest listing that is read: far above what a tree of millions of files needs. */
const maxListingBytes = 8 * 2 ** 30;

/** The paths of a bundle. */
export interface BundlePaths {
  readonly directory: string;
  readonly rootfs: string;
  readonly config: string;
  readonly record: string;
  readonly listing: string;
  readonly links: string;
}

/** Where the parts of the bundle in `directory` lie. */
export function bundlePaths(directory: string): BundlePaths {
  return {
    directory,
    rootfs: join(directory, "rootfs"),
    config: join(directory, "config.json"),
    record: join(directory, "gantry.json"),
    listing: join(directory, "gantry.tree"),
    links: join(directory, "gantry.links"),
  };
}

/** Reads the listing of a bundle. @throws CodedError `not-found`, `corrupt` */
export async function readListing({ listing }: BundlePaths): Promise<Listing> {
  const { buffer, byteOffset, length } = await readFileBounded(listing, maxListingBytes);
  return new Listing(Buffer.from(buffer, byteOffset, length));
}

/** Reads the record of a bundle. @throws CodedError `not-found` when there is none, `corrupt` */
export function readBundleRecord(paths: BundlePaths): BundleRecord {
  const text = readTextIfThere(paths.record);
  if (text === undefined)
    throw new CodedError("not-found", `cannot use ${paths.directory} as a bundle: it has no gantry.json (gantry unpack makes bundles)`);
  const node = parseJsonNode(Buffer.from(text), paths.record, { maxBytes: 1 << 20 });
  const version = node.get("version");
  if (version.integer() !== 1) throw version.fault("only version 1 can be read");
  return {
    version: 1,
    home: node.get("home").string(),
    reference: node.get("reference").string(),
    manifest: readDescriptor(node.get("manifest")),
    rootless: node.get("rootless").optional((ids) => ({ uid: ids.get("uid").size(), gid: ids.get("gid").size() })),
  };
}
