/** What the entries of an index.json that somebody else wrote are called. */
import type { Descriptor } from "#spec/image.ts";
import { isTag, parseReference, formatReference, withDefaultTag } from "#spec/reference.ts";
import { nameOf, refNameAnnotation } from "../layout.ts";
import { isReferrersTag } from "../referrers.ts";
import type { SourceImage } from "./source.ts";

/** containerd and docker write the whole reference here, and only the tag into ref.name. */
const imageNameAnnotation = "io.containerd.image.name";

/** The entries as images; entries of one digest are one image with several names. */
export function namedImages(entries: readonly Descriptor[]): SourceImage[] {
  const images = new Map<string, { names: string[]; labels: string[]; tag: string | undefined; descriptor: Descriptor }>();
  for (const descriptor of entries) {
    const label = nameOf(descriptor);
    if (label !== undefined && isReferrersTag(label)) continue;
    const image = images.get(descriptor.digest) ?? { names: [], labels: [], tag: undefined, descriptor };
    images.set(descriptor.digest, image);
    const { name, tag } = nameIn(descriptor);
    if (name !== undefined && !image.names.includes(name)) image.names.push(name);
    if (label !== undefined) image.labels.push(label);
    image.tag ??= tag;
  }
  return [...images.values()];
}

/**
 * The whole reference of an entry, or at least its tag. A name that is no reference is none: it may hold anything.
 *
 * SPEC: image-spec annotations.md puts no restriction on the meaning of ref.name: some write a tag, some a reference.
 */
function nameIn({ annotations = {} }: Descriptor): { name?: string; tag?: string } {
  const full = annotations[imageNameAnnotation];
  const name = full === undefined ? undefined : findReference(full);
  if (name !== undefined) return { name };
  const refName = annotations[refNameAnnotation];
  if (refName === undefined) return {};
  if (isTag(refName)) return { tag: refName };
  const reference = findReference(refName);
  return reference === undefined ? {} : { name: reference };
}

/** `text` as a whole reference with a tag; undefined when it is none. */
export function findReference(text: string): string | undefined {
  try {
    const { name, tag } = withDefaultTag(parseReference(text));
    return tag === undefined ? undefined : formatReference({ name, tag });
  } catch {
    return undefined;
  }
}
