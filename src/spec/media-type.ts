/** The media types of images: the image spec's and their Docker twins, and what each one means to us. */

/** What a document of a known media type is. */
export type DocumentKind = "manifest" | "index" | "config";

/** How the bytes of a layer are packed around its tar. */
export type LayerCompression = "none" | "gzip" | "zstd";

/** The types that we write. @see image-spec media-types.md */
export const mediaTypes = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  empty: "application/vnd.oci.empty.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  layerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  layerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerLayerZstd: "application/vnd.docker.image.rootfs.diff.tar.zstd",
} as const;

const documents: ReadonlyMap<string, DocumentKind> = new Map([
  [mediaTypes.index, "index"],
  [mediaTypes.dockerIndex, "index"],
  [mediaTypes.manifest, "manifest"],
  [mediaTypes.dockerManifest, "manifest"],
  [mediaTypes.config, "config"],
  [mediaTypes.dockerConfig, "config"],
]);

const layers: ReadonlyMap<string, LayerCompression> = new Map([
  [mediaTypes.layer, "none"],
  [mediaTypes.layerGzip, "gzip"],
  [mediaTypes.layerZstd, "zstd"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar", "none"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "zstd"],
  [mediaTypes.dockerLayer, "none"],
  [mediaTypes.dockerLayerGzip, "gzip"],
  [mediaTypes.dockerLayerZstd, "zstd"],
  ["application/vnd.docker.image.rootfs.foreign.diff.tar", "none"],
  ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip"],
]);

/** What a document of this media type is; undefined for a type that we do not know. */
export function documentKind(mediaType: string): DocumentKind | undefined {
  return documents.get(mediaType);
}

/** How a layer of this media type is packed; undefined when it is not a layer that can be unpacked. */
export function layerCompression(mediaType: string): LayerCompression | undefined {
  return layers.get(mediaType);
}

/** True for layers that may not be passed on to everybody, such as parts of Windows. SPEC: layer.md; deprecated, but real images have them. */
export function isNondistributable(mediaType: string): boolean {
  return mediaType.includes(".layer.nondistributable.") || mediaType.includes(".rootfs.foreign.diff.");
}

/** True for Docker's first manifests, which are known in order to be refused by name. */
export function isSchema1(mediaType: string): boolean {
  return mediaType.startsWith("application/vnd.docker.distribution.manifest.v1+");
}

// SPEC: RFC 6838 section 4.2: each part begins with a letter or digit and has at most 127 characters.
const grammar = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

/** True for the form `type/subtype`. */
export function isMediaType(text: string): boolean {
  return grammar.test(text);
}
