/** Making an image of another one: its layers are brought to where the new one lies, what is new is stored, and the name comes last. */
import { annotate, appendLayer, editConfig, type ConfigEdit, type ImageDocuments } from "#image/mutate.ts";
import { readImageDocuments, storeImageDocuments } from "#image/image-documents.ts";
import { storeLayer, type StoredLayer } from "#image/layer/store.ts";
import type { HistoryEntry } from "#spec/image-config.ts";
import type { Descriptor } from "#spec/image.ts";
import type { LayerCompression } from "#spec/media-type.ts";
import type { Place } from "../place.ts";
import { bringLayers, nameImage, openAddress, partOf, type ImageHome } from "./home.ts";

/** What somebody says of a new image. */
export interface NewImageRequest {
  /** Its name in the store, or `oci:DIRECTORY[:TAG]`; an image without a name when left out. */
  readonly name?: string;
  readonly author?: string;
  readonly message?: string;
  /** What the history says that made it. */
  readonly createdBy?: string;
  readonly edit?: ConfigEdit;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly compression?: LayerCompression;
  readonly now: Date;
  /** SOURCE_DATE_EPOCH: seconds since 1970 that stand for now, and that no time in a layer comes after. */
  readonly sourceDateEpoch?: number;
}

/** An image that was made. */
export interface NewImage {
  readonly id: string;
  readonly manifest: Descriptor;
  readonly name: string | undefined;
  /** The layer that is new; undefined when none is. */
  readonly layer:
    | { readonly digest: string; readonly diffId: string; readonly sizeBytes: number; readonly archiveBytes: number }
    | undefined;
}

/** The images that a new one is made of. */
export interface BaseImage {
  readonly home: ImageHome;
  readonly manifest: Descriptor;
}

/** How the documents of a base, and a layer stored for it, become those of the new image. */
export type Make = (base: ImageDocuments, target: ImageHome) => Promise<{ readonly image: ImageDocuments; readonly layer?: StoredLayer }>;

/** Makes the image and gives it its name. */
export async function makeImage(
  place: Place,
  base: BaseImage,
  { request, make }: { request: NewImageRequest; make: Make },
): Promise<NewImage> {
  const address = await openAddress(place, request.name ?? "", { create: true });
  const { layout } = address.home;
  const lease = await layout.lease();
  try {
    const documents = await readImageDocuments(base.home.layout.blobs, base.manifest);
    const { image, layer } = await make(documents, address.home);
    await bringLayers(
      base.home,
      address.home,
      image.layers
        .map(({ descriptor }) => descriptor)
        .filter(({ digest }) => documents.layers.some((old) => old.descriptor.digest === digest)),
    );
    const stored = await storeImageDocuments(
      layout.blobs,
      request.annotations === undefined ? image : annotate(image, request.annotations),
    );
    const name = await nameImage(request.name === undefined ? { ...address, reference: undefined } : address, stored.descriptor);
    return { id: stored.id, manifest: stored.descriptor, name, layer: layer === undefined ? undefined : describeLayer(layer) };
  } finally {
    await lease.release();
  }
}

/** The image with one layer more, made of `archive`; without the layer when the archive has no entries. */
export async function withNewLayer(
  base: ImageDocuments,
  target: ImageHome,
  { archive, request }: { readonly archive: AsyncIterable<Uint8Array> | undefined; readonly request: NewImageRequest },
): ReturnType<Make> {
  const edit = { ...request.edit, ...(request.author === undefined ? {} : { author: request.author }) };
  const history = historyOf(request);
  if (archive === undefined) return { image: editConfig(base, edit, history) };
  const layer = await storeLayer(target.layout.blobs, archive, request.compression ?? "gzip");
  return { image: editConfig(appendLayer(base, partOf(layer), history), edit), layer };
}

/** The step that the history gets. */
export function historyOf(request: NewImageRequest): HistoryEntry {
  const { author, message, createdBy } = request;
  return {
    created: createdOf(request),
    ...(createdBy === undefined ? {} : { created_by: createdBy }),
    ...(author === undefined ? {} : { author }),
    ...(message === undefined ? {} : { comment: message }),
  };
}

/** When the image is made, in RFC 3339. */
export function createdOf({ now, sourceDateEpoch }: NewImageRequest): string {
  const time = sourceDateEpoch === undefined ? now : new Date(sourceDateEpoch * 1000);
  return time.toISOString().replace(/\.000Z$/, "Z");
}

function describeLayer({ descriptor, diffId, archiveBytes }: StoredLayer): NewImage["layer"] {
  return { digest: descriptor.digest, diffId, sizeBytes: descriptor.size, archiveBytes };
}
