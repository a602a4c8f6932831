/** What the layers of an image are: their documents joined with what is in them. */
import { completeHistory } from "#image/mutate.ts";
import { readImageDocuments } from "#image/image-documents.ts";
import { readLayerContents, type LayerContents } from "#image/layer/report.ts";
import { defaultMaxLayerBytes } from "../unpacked.ts";
import type { Place } from "../place.ts";
import { maxLayerEntries } from "../rootfs/layers.ts";
import { findHomed } from "./home.ts";
import { layersOf } from "./unpack.ts";

/** One layer. */
export interface ReportedLayer extends LayerContents {
  readonly digest: string;
  readonly diffId: string;
  readonly mediaType: string;
  /** Bytes as stored. */
  readonly sizeBytes: number;
  readonly createdBy: string;
  readonly created: string | undefined;
  readonly comment: string;
}

/** The whole image. */
export interface LayerReport {
  readonly image: string;
  readonly id: string;
  /** Lowest first. */
  readonly layers: readonly ReportedLayer[];
}

/** Reads every layer of an image. @throws CodedError `not-found`, `corrupt` */
export async function reportLayers(place: Place, reference: string): Promise<LayerReport> {
  const found = await findHomed(place, reference);
  const documents = await readImageDocuments(found.home.layout.blobs, found.image.descriptor);
  const steps = completeHistory(documents).filter(({ empty_layer }) => empty_layer !== true);
  const contents = await readLayerContents(layersOf(found), { maxBytes: defaultMaxLayerBytes, maxEntries: maxLayerEntries });
  const layers = documents.layers.flatMap(({ descriptor, diffId }, index): ReportedLayer[] => {
    const content = contents[index];
    if (content === undefined) return [];
    const { created_by: createdBy = "", created, comment = "" } = steps[index] ?? {};
    const { digest, mediaType, size: sizeBytes } = descriptor;
    return [{ digest, diffId, mediaType, sizeBytes, createdBy, created, comment, ...content }];
  });
  return { image: reference, id: found.image.id, layers };
}
