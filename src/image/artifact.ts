/** Artifacts: manifests whose layers are any files, on their own or attached to an image. */
import { encodeJson } from "#base/json.ts";
import { digestOf, type ContentIdentity } from "#spec/digest.ts";
import { descriptorToJson, type Descriptor } from "#spec/image.ts";
import { mediaTypes } from "#spec/media-type.ts";
import type { MadeDocument } from "./make-index.ts";

/** A file of an artifact. */
export interface ArtifactFile extends ContentIdentity {
  readonly mediaType: string;
  /** What it is called: the annotation org.opencontainers.image.title. */
  readonly title: string;
}

/** What an artifact is made of. */
export interface ArtifactContent {
  readonly artifactType: string;
  readonly files: readonly ArtifactFile[];
  readonly annotations: Readonly<Record<string, string>>;
  /** What it is attached to. */
  readonly subject: Descriptor;
}

/** The empty JSON object, which stands for a config and for content that there is none of. @see manifest.md, "Guidance for an Empty Descriptor" */
export const emptyBlob: { readonly descriptor: Descriptor; readonly bytes: Uint8Array } = {
  descriptor: { mediaType: mediaTypes.empty, digest: digestOf(Buffer.from("{}")), size: 2, data: "e30=" },
  bytes: Buffer.from("{}"),
};

/** Makes the manifest, and its descriptor as lists of referrers have it: with its type and annotations. SPEC: distribution-spec, "Listing Referrers". */
export function makeArtifact({ artifactType, files, annotations, subject }: ArtifactContent): MadeDocument {
  const layers = files.map(({ mediaType, digest, size, title }) => ({
    mediaType,
    digest,
    size,
    annotations: { "org.opencontainers.image.title": title },
  }));
  const hasAnnotations = Object.keys(annotations).length > 0;
  const { mediaType, digest, size } = subject;
  const bytes = encodeJson({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType,
    config: descriptorToJson(emptyBlob.descriptor),
    layers: (layers.length === 0 ? [emptyBlob.descriptor] : layers).map(descriptorToJson),
    subject: { mediaType, digest, size },
    ...(hasAnnotations ? { annotations } : {}),
  });
  return {
    descriptor: {
      mediaType: mediaTypes.manifest,
      digest: digestOf(bytes),
      size: bytes.length,
      artifactType,
      ...(hasAnnotations ? { annotations } : {}),
    },
    bytes,
  };
}
