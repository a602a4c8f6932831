/** The entries of the store's index.json as values: names are put and taken, an image never vanishes by losing one. */
import type { Descriptor } from "#spec/image.ts";
import { nameOf, withName } from "./layout.ts";

/**
 * `entries` with `image` under `name`, or, for undefined, at all.
 *
 * An image that had the name before and has no other stays, without a name. An image with a name has no entry without one.
 */
export function putName(entries: readonly Descriptor[], image: Descriptor, name: string | undefined): readonly Descriptor[] {
  const same = entries.filter((entry) => entry.digest === image.digest);
  if (name === undefined) return same.length > 0 ? entries : [...entries, withName(image, undefined)];
  if (same.some((entry) => nameOf(entry) === name)) return entries;
  const kept = takeName(entries, name).filter((entry) => entry.digest !== image.digest || nameOf(entry) !== undefined);
  return [...kept, withName(image, name)];
}

/** `entries` without `name`; the image stays without a name unless it has another. */
export function takeName(entries: readonly Descriptor[], name: string): readonly Descriptor[] {
  const kept = entries.filter((entry) => nameOf(entry) !== name);
  const nameless = entries.filter((entry) => nameOf(entry) === name && !kept.some((other) => other.digest === entry.digest));
  return [...kept, ...nameless.map((entry) => withName(entry, undefined))];
}

/** `entries` without the image `digest`, under all its names. */
export function takeImage(entries: readonly Descriptor[], digest: string): readonly Descriptor[] {
  return entries.filter((entry) => entry.digest !== digest);
}
