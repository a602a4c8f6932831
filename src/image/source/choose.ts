/** The one image of a source that was meant. */
import { CodedError } from "#base/errors.ts";
import type { Digest } from "#spec/digest.ts";
import { selectPlatform, type Platform } from "#spec/platform.ts";
import { findReference } from "./names.ts";
import type { ImageSource, SourceImage } from "./source.ts";

/** How an image is meant. Without name and digest, the source must have one image only. */
export interface ImageChoice {
  /** A label of index.json, a tag, or a reference. */
  readonly name?: string | undefined;
  /** Digest of the manifest or index. */
  readonly digest?: Digest | undefined;
  /** Decides where one name stands at several manifests with platforms, as some tools write instead of an index. */
  readonly platform: Platform;
}

/** Finds the image. @throws CodedError `not-found`; `invalid-argument` when several are meant */
export function chooseImage(source: ImageSource, choice: ImageChoice): SourceImage {
  const found = source.images.filter((image) => matches(image, choice));
  const [only] = found;
  const wanted = choice.digest ?? choice.name;
  if (only === undefined) {
    const what = wanted === undefined ? "an image" : JSON.stringify(wanted);
    throw new CodedError("not-found", `cannot find ${what} in ${source.description}: it has ${offered(source.images)}`);
  }
  if (found.length === 1) return only;
  const best = selectPlatform(
    found.map((image) => ({ image, platform: image.descriptor.platform })),
    choice.platform,
  );
  if (best !== undefined && wanted !== undefined) return best.image;
  // SPEC: image-layout.md lets one name occur twice; which one is meant is nobody's to guess.
  const why = wanted === undefined ? "say which one" : "that name stands at several of them";
  throw new CodedError("invalid-argument", `cannot choose an image of ${source.description}: ${why}: it has ${offered(found)}`);
}

function matches({ names, labels = [], tag, descriptor }: SourceImage, { name, digest }: ImageChoice): boolean {
  if (digest !== undefined) return descriptor.digest === digest;
  if (name === undefined) return true;
  return labels.includes(name) || tag === name || names.includes(name) || names.includes(findReference(name) ?? name);
}

function offered(images: readonly SourceImage[]): string {
  if (images.length === 0) return "no images";
  const words = images.map(({ labels = [], names, descriptor }) => [...labels, ...names][0] ?? descriptor.digest);
  return `${words.slice(0, 20).join(", ")}${words.length > 20 ? ` and ${words.length - 20} more` : ""}`;
}
