/**
 * Unpacked layers: one directory per chain id, made once, never changed, stacked by overlayfs.
 *
 *     layers/<chain id, 64 hex>/fs/         what overlayfs takes as a lower directory
 *                               layer.json  diff id, bytes and entries
 *                               from-…      empty: a blob that is known to hold this layer, by its digest
 *                               passwd      /etc/passwd and /etc/group of the stack up to here, for `User`
 *                               group
 *
 * The base layer is applied to a plain directory, every other one through an overlay mount of those below,
 * inside the executor's own mount namespace: so the kernel, not string work, decides what a path through a lower
 * symbolic link means, and makes the whiteouts. A layer appears under its chain id by one rename when all of it is
 * there and verified.
 */
import { join } from "node:path";
import type { ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import type { HashingBeside } from "#image/layer/hash-thread.ts";
import type { Op } from "#program/ops.gen.ts";
import type { ProgramStream } from "#program/stream.ts";
import type { Descriptor } from "#spec/image.ts";
import {
  listDirectory,
  makeDirectory,
  makeDirectoryLike,
  pathExists,
  readTextIfThere,
  renameToNew,
  writeNewText,
  writeTextAtomic,
} from "#sys/small-files.ts";

/** A layer to be unpacked: where its bytes come from and what must come out. */
export interface LayerSource {
  readonly chainId: string;
  readonly diffId: string;
  readonly descriptor: Descriptor;
  readonly open: () => AsyncIterable<Uint8Array>;
  /** True when what `open` gives ends only once it is known to be the descriptor's content. */
  readonly isVerified?: boolean;
}

/** Limits and ports of unpacking. */
export interface UnpackOptions {
  readonly maxLayerBytes: number;
  readonly openStream: (output?: number) => Promise<ProgramStream>;
  readonly onProgress?: (layer: LayerSource, index: { readonly at: number; readonly of: number }, doneBytes: number) => void;
}

/** Most entries that one layer may have: far above real images, far below what fills a disk with inodes. */
export const maxLayerEntries = 10_000_000;

/** The directory of the layer with `chainId` ("sha256:…"). */
export function layerDirectory(layers: string, chainId: string): string {
  return join(layers, chainId.replace(/^sha256:/, ""));
}

/** The lower directories of a stack, lowest first. */
export function layerTrees(layers: string, chainIds: readonly string[]): string[] {
  return chainIds.map((chainId) => join(layerDirectory(layers, chainId), "fs"));
}

/** The image's own /etc/passwd and /etc/group; undefined where it has none. */
export function readAccounts(layers: string, topChainId: string): { passwd: string | undefined; group: string | undefined } {
  const directory = layerDirectory(layers, topChainId);
  return { passwd: readTextIfThere(join(directory, "passwd")), group: readTextIfThere(join(directory, "group")) };
}

/** Unpacks the layers of `stack` (lowest first) that are not there yet. `temporary` is a fresh directory on the same file system. */
export async function unpackStack(
  stack: readonly LayerSource[],
  places: { readonly layers: string; readonly temporary: string },
  options: UnpackOptions,
): Promise<void> {
  const { layers, temporary } = places;
  if (stack.every((layer) => isUnpackedFrom(layers, layer))) return;
  const { HashingBeside } = await import("#image/layer/hash-thread.ts");
  using hashing = new HashingBeside();
  for (const [index, layer] of stack.entries()) {
    if (isUnpackedFrom(layers, layer)) continue;
    const final = layerDirectory(layers, layer.chainId);
    const onBytes = (done: number): void => options.onProgress?.(layer, { at: index, of: stack.length }, done);
    if (pathExists(join(final, "layer.json"))) {
      await confirm(layer, final, { onBytes, options, hashing });
      continue;
    }
    const work = join(temporary, String(index));
    const below = layerTrees(
      layers,
      stack.slice(0, index).map((lower) => lower.chainId),
    );
    await unpackOne(layer, { work, below, onBytes, hashing }, options);
    // Where another process was faster, its layer is the same and stays; what is left goes with `temporary`.
    renameToNew(join(work, "layer"), final);
  }
}

/**
 * Whether the layer is there, and was made of this very blob or compared with it: that a config calls a blob by the diff id of a layer that is
 * there does not make it that layer (M10).
 */
export function isUnpackedFrom(layers: string, layer: Pick<LayerSource, "chainId" | "descriptor">): boolean {
  return pathExists(join(layerDirectory(layers, layer.chainId), markOf(layer.descriptor)));
}

function markOf({ digest }: Pick<Descriptor, "digest">): string {
  return `from-${digest.replace(":", "-")}`;
}

/** Checks that the blob holds the layer that is there already, and remembers it. */
async function confirm(
  layer: LayerSource,
  final: string,
  { onBytes, options, hashing }: { readonly options: UnpackOptions } & Pick<Place, "onBytes" | "hashing">,
): Promise<void> {
  const { confirmLayer } = await import("#image/layer/apply.ts");
  const { descriptor, diffId } = layer;
  await confirmLayer({
    source: layer.open(),
    ...verifiedBy(layer),
    descriptor,
    diffId,
    hashing,
    maxBytes: options.maxLayerBytes,
    onProgress: onBytes,
  });
  const mark = join(final, markOf(descriptor));
  // Another process may have come to the same end.
  if (!pathExists(mark)) writeTextAtomic(mark, "", 0o644);
}

/** Where `fillTree` works. */
export interface TreePlaces {
  /** A directory that is there and empty. */
  readonly tree: string;
  /** Directory for copies of the tree's passwd and group. */
  readonly accounts: string;
  /** An open file for the listing of the tree as it is at the end. */
  readonly listing?: number;
  /** Ids of the user who is not root, and has a user namespace made in which nobody else is. */
  readonly rootless?: { readonly uid: number; readonly gid: number };
}

/** Applies all of `stack` to one plain directory. */
export async function fillTree(stack: readonly LayerSource[], places: TreePlaces, options: UnpackOptions): Promise<void> {
  // Loaded on use: a listing, or a start of a container whose layers are there, needs no decompressor.
  const [{ LayerProgram }, { HashingBeside }] = await Promise.all([import("#image/layer/apply.ts"), import("#image/layer/hash-thread.ts")]);
  using hashing = new HashingBeside();
  const { tree, accounts, rootless } = places;
  const enter: Op[] = [
    ...(rootless === undefined ? [] : ownUserOps(rootless)),
    { op: "root", path: tree },
    { op: "enter-root", path: tree },
  ];
  const program = new LayerProgram(await options.openStream(places.listing), enter);
  for (const [index, layer] of stack.entries()) {
    await program.apply({
      source: layer.open(),
      ...verifiedBy(layer),
      descriptor: layer.descriptor,
      diffId: layer.diffId,
      hashing,
      base: index === 0,
      unprivileged: rootless !== undefined,
      limits: { maxBytes: options.maxLayerBytes, maxEntries: maxLayerEntries },
      onProgress: (done) => options.onProgress?.(layer, { at: index, of: stack.length }, done),
    });
  }
  await program.finish([...teardownOps(accounts), ...listingOps(places)]);
}

function listingOps({ listing }: TreePlaces): Op[] {
  return listing === undefined ? [] : [{ op: "list-tree", path: "." as ByteString }];
}

/** PROC_SUPER_MAGIC, linux/magic.h. */
const procMagic = 0x9fa0;

/** A user namespace (CLONE_NEWUSER) whose root is the caller. KERNEL: user_namespaces(7): setgroups must be given up before gid_map. */
export function ownUserOps({ uid, gid }: { readonly uid: number; readonly gid: number }): Op[] {
  const write = (file: string, data: string): Op => ({ op: "write", path: `/proc/self/${file}`, data, fsMagic: procMagic });
  return [{ op: "unshare", flags: 0x10000000 }, write("setgroups", "deny"), write("uid_map", `0 ${uid} 1`), write("gid_map", `0 ${gid} 1`)];
}

interface Place {
  readonly work: string;
  readonly below: readonly string[];
  readonly onBytes: (doneBytes: number) => void;
  readonly hashing: HashingBeside;
}

async function unpackOne(layer: LayerSource, place: Place, options: UnpackOptions): Promise<void> {
  const directory = join(place.work, "layer");
  const tree = join(directory, "fs");
  for (const path of [place.work, directory, join(place.work, "work"), join(place.work, "merged")]) makeDirectory(path);
  // The top of an overlay has the attributes of the upper directory, so these start as the layer below has them.
  const below = place.below.at(-1);
  if (below === undefined) makeDirectory(tree, 0o755);
  else makeDirectoryLike(tree, below);
  const target = place.below.length === 0 ? tree : join(place.work, "merged");
  const { applyLayer } = await import("#image/layer/apply.ts");
  const result = await applyLayer({
    source: layer.open(),
    ...verifiedBy(layer),
    descriptor: layer.descriptor,
    diffId: layer.diffId,
    hashing: place.hashing,
    stream: await options.openStream(),
    base: place.below.length === 0,
    // The working root is for the copies at the end; entering comes last, for the layer's own entries.
    setup: [...(await overlayOps(place, tree, target)), { op: "root", path: target }, { op: "enter-root", path: target }],
    teardown: teardownOps(directory),
    limits: { maxBytes: options.maxLayerBytes, maxEntries: maxLayerEntries },
    onProgress: place.onBytes,
  });
  writeNewText(join(directory, markOf(layer.descriptor)), "", 0o644);
  writeNewText(
    join(directory, "layer.json"),
    JSON.stringify({ chainId: layer.chainId, diffId: layer.diffId, entries: result.entries, bytes: result.uncompressedBytes }),
    0o644,
  );
}

function verifiedBy({ isVerified }: LayerSource): { readonly isVerified?: boolean } {
  return isVerified === undefined ? {} : { isVerified };
}

async function overlayOps(place: Place, tree: string, target: string): Promise<Op[]> {
  if (place.below.length === 0) return [];
  const { overlayMountOps, privateMountOps } = await import("./overlay.ts");
  return [
    ...privateMountOps,
    ...overlayMountOps({ lower: place.below, upper: tree, work: join(place.work, "work"), target, volatile: true }),
  ];
}

function teardownOps(directory: string): Op[] {
  return [
    { op: "leave-root" },
    { op: "copy-file", source: "/etc/passwd", target: join(directory, "passwd") },
    { op: "copy-file", source: "/etc/group", target: join(directory, "group") },
  ];
}

/** Chain ids ("sha256:…") of all layers that are there. */
export function listLayers(layers: string): string[] {
  return listDirectory(layers)
    .filter((name) => /^[0-9a-f]{64}$/.test(name))
    .map((name) => `sha256:${name}`);
}

/** Takes a layer out of sight, by a rename into `temporary`: nobody sees half of it while it is deleted there. */
export function discardLayer(layers: string, chainId: string, temporary: string): void {
  const doomed = join(temporary, chainId.replace(/^sha256:/, ""));
  if (!renameToNew(layerDirectory(layers, chainId), doomed))
    throw new CodedError("internal", `cannot remove layer ${chainId}: ${doomed} is taken`);
}
