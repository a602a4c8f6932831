/** What the engine takes and gives, as plain data; what belongs to one kind of work alone stands with that work. */

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

/** A document that is wanted as it is. */
export interface DocumentRequest {
  /** `transport:place` or a name in the store. */
  readonly image: string;
  /** What the name points at, or the config of the image for the platform. */
  readonly part: "manifest" | "config";
  /** The manifest for this platform, where the name points at an index. */
  readonly platform?: string;
  readonly insecure?: boolean;
}

/** A document as it is. */
export interface FoundDocument {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

/** What `attachArtifact` takes. */
export interface AttachRequest {
  /** The image, as `transport:place` or a name in the store; the artifact goes to the same place. */
  readonly subject: string;
  /** Attaches to the manifest for this platform instead of the index. */
  readonly platform?: string;
  readonly artifactType: string;
  readonly files: readonly { readonly path: string; readonly mediaType: string }[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly insecure?: boolean;
}

/** Something that refers to an image, or to what refers to it. */
export interface ReferrerSummary {
  readonly digest: string;
  readonly subject: string;
  readonly artifactType: string;
  /** Of its manifest. */
  readonly sizeBytes: number;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What is changed in an index: an entry, by digest or platform, or the index itself. */
export interface IndexChange {
  readonly entry?: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform: { readonly os?: string; readonly architecture?: string; readonly variant?: string; readonly "os.version"?: string };
  readonly isRemoval?: boolean;
}

/** A fault of a layout. */
export interface LayoutProblem {
  readonly message: string;
  /** The document or blob that it is about. */
  readonly digest?: string;
  /** JSON Pointer into that document, or into index.json. */
  readonly pointer?: string;
}

/** A step of how an image came about. */
export interface HistoryStep {
  readonly createdAt: Date | undefined;
  readonly createdBy: string;
  readonly comment: string;
  readonly author: string;
  /** Bytes of the layer as stored; 0 for a step that made none. */
  readonly sizeBytes: number;
  /** Digest of the layer; undefined for a step that made none. */
  readonly layer: string | undefined;
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
