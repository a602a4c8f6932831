/** One machine's images and containers: the public face of the engine, as data and promises. */
import type { Program } from "#program/encode.ts";
import type {
  ImageSummary,
  LoadRequest,
  CopyRequest,
  SaveRequest,
  CopyResult,
  ForegroundContainer,
  RemovedImage,
  DocumentRequest,
  FoundDocument,
  AttachRequest,
  ReferrerSummary,
  IndexChange,
  LayoutProblem,
  HistoryStep,
  PruneRequest,
  PrunedImages,
} from "./requests.ts";
import type { Container } from "./containers/record.ts";
import type { ContainerRequest } from "./containers/request.ts";
import type { CommitRequest, ContainerChange } from "./trees/container-changes.ts";
import type { ExportRequest, ImportRequest } from "./trees/flat.ts";
import type { MutateRequest } from "./trees/mutate.ts";
import type { NewImage } from "./trees/new-image.ts";
import type { RepackRequest } from "./trees/repack.ts";
import type { LayerReport } from "./trees/report.ts";
import type { UnpackRequest } from "./trees/unpack.ts";
import type { LoginRequest } from "./registry/login.ts";
import type { RemoteRequest } from "./registry/remote.ts";
import type { PulledImage, PullRequest } from "./registry/pull.ts";
import type { PushedImage, PushRequest } from "./registry/push.ts";

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
  /** The tags of a repository of a registry. @throws CodedError */
  listTags(request: RemoteRequest): Promise<readonly string[]>;
  /** Deletes a tag or an image in a registry; false when it was not there. @throws CodedError `unsupported` */
  deleteRemote(request: RemoteRequest): Promise<boolean>;
  /** All images, one row per name; with `all`, artifacts, images of other platforms and lists of referrers too. */
  listImages(options?: { readonly all: boolean }): Promise<readonly ImageSummary[]>;
  /** Everything known about an image, as plain data. @throws CodedError `not-found` */
  inspectImage(reference: string): Promise<Record<string, unknown>>;
  /** How an image came about, its newest step first. Layers without a step in the history have steps of their own. */
  imageHistory(reference: string): Promise<readonly HistoryStep[]>;
  /** @throws CodedError `wrong-state` when a container uses it and `force` is not given */
  removeImage(reference: string, options: { readonly force: boolean }): Promise<RemovedImage>;
  /** Gives an image one more name; an image that had it loses it. @throws CodedError `not-found` */
  tagImage(reference: string, name: string): Promise<void>;
  /** Takes a name away and leaves the image; resolves with the whole name. @throws CodedError `not-found` */
  untagImage(name: string): Promise<string>;
  pruneImages(request: PruneRequest): Promise<PrunedImages>;
  /** Reads a manifest, index or config byte for byte. @throws CodedError `not-found` */
  readDocument(request: DocumentRequest): Promise<FoundDocument>;
  /** Makes an index of images of the store; resolves with its digest. @throws CodedError `invalid-argument` for two of one platform */
  createIndex(request: { name: string; images: readonly string[]; annotations: Readonly<Record<string, string>> }): Promise<string>;
  /** Makes a changed index and gives it the name of the old one; resolves with its digest. @throws CodedError */
  changeIndex(request: { name: string; edit: IndexChange }): Promise<string>;
  /** Attaches files to an image; resolves with the digest of the artifact's manifest. @throws CodedError */
  attachArtifact(request: AttachRequest): Promise<string>;
  listReferrers(request: Pick<AttachRequest, "subject" | "platform" | "insecure">): Promise<readonly ReferrerSummary[]>;
  /** Finds every fault of the image layout at a path; nothing is changed there. */
  verifyLayout(path: string, options: { readonly isDeep: boolean; readonly mayLackBlobs: boolean }): Promise<readonly LayoutProblem[]>;
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
  /** Writes the file system of a container or image as a tar. */
  export(request: ExportRequest): Promise<void>;
  /** Makes an image of one layer of such a tar. */
  import(request: ImportRequest): Promise<NewImage>;
  rebase(request: MutateRequest & { readonly oldBase: string; readonly newBase: string }): Promise<NewImage>;
  /** What each layer of an image does and costs. */
  report(image: string): Promise<LayerReport>;
}
