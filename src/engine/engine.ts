/** One machine's images and containers: the public face of the engine, as data and promises. */
import type { Program } from "#program/encode.ts";
import type { Container } from "./containers/record.ts";
import type { ContainerRequest } from "./containers/request.ts";
import type { CommitRequest, ContainerChange } from "./trees/container-changes.ts";
import type { MutateRequest } from "./trees/mutate.ts";
import type { NewImage } from "./trees/new-image.ts";
import type { RepackRequest } from "./trees/repack.ts";
import type { LayerReport } from "./trees/report.ts";
import type { UnpackRequest } from "./trees/unpack.ts";
import type { LoginRequest } from "./registry/login.ts";
import type { PulledImage, PullRequest } from "./registry/pull.ts";
import type { PushedImage, PushRequest } from "./registry/push.ts";

/** An image as listed. */
export interface ImageSummary {
  /** "debian:bookworm"; undefined for an image that lost its name. */
  readonly name: string | undefined;
  /** Digest of the config: the image's id. */
  readonly id: string;
  readonly manifestDigest: string;
  readonly createdAt: Date | undefined;
  /** Bytes of documents and layers as stored (compressed). */
  readonly sizeBytes: number;
  /** How much of that nothing else in the store needs; unknown (all of it) for an image that was just loaded. */
  readonly uniqueBytes: number;
  readonly labels: Readonly<Record<string, string>>;
  /** What it is when no container can be made of it here; `images` lists such entries only on request. */
  readonly kind: "image" | "artifact" | "index" | "referrers";
  readonly platform: string;
}

/** How far a load is. */
export type LoadProgress =
  | { readonly kind: "blob"; readonly digest: string; readonly doneBytes: number; readonly totalBytes: number }
  | {
      readonly kind: "layer";
      readonly digest: string;
      readonly index: number;
      readonly count: number;
      readonly doneBytes: number;
      readonly totalBytes: number;
    };

/** What loading takes beside the source. */
export interface LoadRequest {
  /** Path of a layout directory, an OCI archive or a docker-archive; or the bytes of an archive. */
  readonly source: string | AsyncIterable<Uint8Array>;
  /** Gives the image this name instead of its own; the source must then hold one image. */
  readonly name?: string;
  /** "os/arch[/variant]"; the host's when left out. */
  readonly platform?: string;
  /** Most bytes that one layer may have when unpacked. */
  readonly maxLayerBytes?: number;
  readonly onProgress?: (progress: LoadProgress) => void;
}

/** What happens to an image on its way. */
export interface TransferOptions {
  /** "os/arch[/variant]" each; the host's alone when left out. `"all"` keeps indexes whole. */
  readonly platforms?: "all" | readonly string[];
  /** Packs layers anew that are packed otherwise. */
  readonly compression?: "none" | "gzip" | "zstd";
  /** Gives documents the media types of the OCI or of Docker's schema 2. */
  readonly format?: "oci" | "docker";
  /** Takes along signatures, lists of contents and what else refers to the image. */
  readonly referrers?: boolean;
  readonly onProgress?: (progress: LoadProgress) => void;
}

/** What `copyImage` takes. */
export interface CopyRequest extends TransferOptions {
  /** `transport:place` or a name in the store. */
  readonly from: string;
  readonly to: string;
  /** Take any certificate of a registry, and http where there is no https. */
  readonly insecure?: boolean;
}

/** What `saveImages` takes. */
export interface SaveRequest extends TransferOptions {
  /** Names or ids in the store. */
  readonly images: readonly string[];
  /** A file, or what takes the bytes. */
  readonly to: string | ((bytes: Uint8Array) => Promise<void>);
  readonly archive: "oci-archive" | "docker-archive";
}

/** What was copied. */
export interface CopyResult {
  /** Of the manifest or index that the name in the target points at. */
  readonly digest: string;
  readonly mediaType: string;
  /** Its digest is another one than in the source, because its form was changed. */
  readonly isConverted: boolean;
  /** Platforms of the source's index that were not copied. */
  readonly leftOut: readonly string[];
  readonly copiedBlobs: number;
  readonly copiedBytes: number;
  /** Blobs that the target had already. */
  readonly presentBlobs: number;
  /** Nondistributable layers that the source does not have, or the target does not take. */
  readonly skippedBlobs: number;
}

/** A container under way in the foreground. */
export interface ForegroundContainer {
  readonly id: string;
  /** Resolves with the exit code as Docker counts it, once everything is cleaned up. @throws ContainerFailure */
  readonly exitCode: Promise<number>;
  /** Sends signal `number` to the first process. */
  readonly signal: (number: number) => void;
}

/** What a removed image was: its names that are gone and the digests that went with them. */
export interface RemovedImage {
  readonly untagged: readonly string[];
  readonly deleted: readonly string[];
}

/** What pruning takes away. */
export interface PruneRequest {
  /** Images with names too, unless a container uses them. Artifacts with names stay. */
  readonly all: boolean;
  /** Only says what would go. */
  readonly isDryRun: boolean;
}

/** What was pruned. */
export interface PrunedImages {
  readonly images: readonly { readonly digest: string; readonly names: readonly string[] }[];
  readonly blobs: number;
  /** Chain ids of unpacked layers. */
  readonly layers: readonly string[];
  readonly freedBytes: number;
  /** Pids of processes at work in the store: while they are, nothing that lacks a name can be told from what they need. */
  readonly waitingFor: readonly number[];
}

/** The engine. Any number of processes may use one root at once; any of them may die at any point. */
export interface Engine {
  loadImages(request: LoadRequest): Promise<readonly ImageSummary[]>;
  /** Copies an image from one place to another. @throws CodedError */
  copyImage(request: CopyRequest): Promise<CopyResult>;
  /** Writes images of the store into one archive, in the order given. @throws CodedError */
  saveImages(request: SaveRequest): Promise<readonly CopyResult[]>;
  /** Gets an image from a registry and unpacks it. @throws CodedError */
  pullImage(request: PullRequest): Promise<PulledImage>;
  /** Puts an image into a registry. @throws CodedError */
  pushImage(request: PushRequest): Promise<PushedImage>;
  /** Keeps credentials that the registry takes; resolves with where. @throws CodedError `permission-denied` */
  logIn(request: LoginRequest): Promise<string>;
  /** Forgets the credentials for a registry; false when there were none. */
  logOut(registry: string): Promise<boolean>;
  /** All images, one row per name; with `all`, artifacts, images of other platforms and lists of referrers too. */
  listImages(options?: { readonly all: boolean }): Promise<readonly ImageSummary[]>;
  /** Everything known about an image, as plain data. @throws CodedError `not-found` */
  inspectImage(reference: string): Promise<Record<string, unknown>>;
  /** @throws CodedError `wrong-state` when a container uses it and `force` is not given */
  removeImage(reference: string, options: { readonly force: boolean }): Promise<RemovedImage>;
  /** Gives an image one more name; an image that had it loses it. @throws CodedError `not-found` */
  tagImage(reference: string, name: string): Promise<void>;
  /** Takes a name away and leaves the image; resolves with the whole name. @throws CodedError `not-found` */
  untagImage(name: string): Promise<string>;
  pruneImages(request: PruneRequest): Promise<PrunedImages>;
  /** Starts a container with the caller's stdio. @throws CodedError */
  runContainer(request: ContainerRequest): Promise<ForegroundContainer>;
  /** The program that `runContainer` would run; nothing is changed, nobody needs to be root. */
  explainContainer(request: ContainerRequest): Promise<Program>;
  listContainers(): Promise<readonly Container[]>;
  /** @throws CodedError `not-found`, `wrong-state` when it runs and `force` is not given */
  removeContainer(reference: string, options: { readonly force: boolean }): Promise<string>;
  /** Recomputes and compares all that is stored; one sentence per fault. */
  verify(): Promise<readonly string[]>;
  /** Work on the trees that images and containers are. */
  readonly trees: TreeWork;
}

/** What can be made of trees, and they of images. An image is a name in the store or `oci:DIRECTORY[:TAG]`. */
export interface TreeWork {
  /** Makes a bundle of an image; resolves with the image's id. @throws CodedError `already-exists` when something is there */
  unpack(request: UnpackRequest): Promise<string>;
  /** Makes an image of what was changed in a bundle. */
  repack(request: RepackRequest): Promise<NewImage>;
  /** Makes an image of what a container has changed. */
  commit(request: CommitRequest): Promise<NewImage>;
  /** What a container has changed, by path. */
  diff(container: string): Promise<readonly ContainerChange[]>;
  edit(request: MutateRequest & { readonly history: boolean }): Promise<NewImage>;
  append(request: MutateRequest & { readonly layers: readonly string[] }): Promise<NewImage>;
  squash(request: MutateRequest & { readonly from: number }): Promise<NewImage>;
  rebase(request: MutateRequest & { readonly oldBase: string; readonly newBase: string }): Promise<NewImage>;
  /** What each layer of an image does and costs. */
  report(image: string): Promise<LayerReport>;
}
