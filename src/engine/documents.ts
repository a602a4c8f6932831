/** Manifests, indexes and artifacts, looked at and made: wherever an image lies. */
import { basename, resolve } from "node:path";
import { CodedError } from "#base/errors.ts";
import { emptyBlob, makeArtifact, type ArtifactFile } from "#image/artifact.ts";
import { readBlob } from "#image/blob/store.ts";
import { putName } from "#image/entries.ts";
import { getEntry } from "#image/images.ts";
import { selectManifest, readDocument } from "#image/image.ts";
import { ImageLayout } from "#image/layout.ts";
import { editIndex, makeIndex, type IndexEdit, type MadeDocument } from "#image/make-index.ts";
import { parseImagePlace } from "#image/transport.ts";
import { verifyLayout, type Problem, type VerifyOptions } from "#image/verify.ts";
import { ContentHasher, type Digest } from "#spec/digest.ts";
import { imageConfigLimits } from "#spec/image-config.ts";
import { manifestLimits, type Descriptor } from "#spec/image.ts";
import { documentKind, isMediaType } from "#spec/media-type.ts";
import { formatReference, parseReference, withDefaultTag } from "#spec/reference.ts";
import { readFileChunks } from "#sys/file-chunks.ts";
import type { AttachRequest, DocumentRequest, FoundDocument, ReferrerSummary } from "./requests.ts";
import { openSource, openTarget, platformsOf } from "./image-places.ts";
import type { Place } from "./place.ts";

/** Reads a document as it is. */
export async function readDocumentAt(place: Place, request: DocumentRequest): Promise<FoundDocument> {
  const options = request.platform === undefined ? request : { ...request, platforms: [request.platform] };
  await using opened = await openSource(place, parseImagePlace(request.image), options);
  const { source, image } = opened;
  let { descriptor } = image;
  if (request.platform !== undefined || request.part === "config") {
    const [platform] = platformsOf(options) as readonly [Parameters<typeof selectManifest>[2]];
    descriptor = await selectManifest(source, descriptor, platform);
  }
  if (request.part === "config") {
    const manifest = await readDocument(source, descriptor);
    if (manifest.kind === "manifest") descriptor = manifest.config;
  }
  const limit = request.part === "config" ? imageConfigLimits.maxBytes : manifestLimits.maxBytes;
  return { digest: descriptor.digest, mediaType: descriptor.mediaType, bytes: await readBlob(source, descriptor, limit) };
}

/** Makes an index of images of the store and gives it a name. */
export async function createIndex(
  place: Place,
  request: { name: string; images: readonly string[]; annotations: Readonly<Record<string, string>> },
): Promise<string> {
  const name = referenceOf(request.name);
  const layout = await place.layout();
  const lease = await layout.lease();
  try {
    const images: Descriptor[] = [];
    for (const image of request.images) images.push((await getEntry(layout, image)).descriptor);
    return await nameDocument(layout, name, await makeIndex(layout.blobs, images, request.annotations));
  } finally {
    await lease.release();
  }
}

/** Changes an index of the store; its name goes to the new one. */
export async function changeIndex(place: Place, request: { name: string; edit: IndexEdit }): Promise<string> {
  const layout = await place.layout();
  const lease = await layout.lease();
  try {
    const { descriptor } = await getEntry(layout, request.name);
    return await nameDocument(layout, referenceOf(request.name), await editIndex(layout.blobs, descriptor, request.edit));
  } finally {
    await lease.release();
  }
}

async function nameDocument(layout: ImageLayout, name: string, { descriptor, bytes }: MadeDocument): Promise<string> {
  await layout.blobs.put(bytes, descriptor);
  await layout.updateIndex((entries) => putName(entries, descriptor, name));
  return descriptor.digest;
}

/** Attaches files to an image, in the place where that lies. */
export async function attach(place: Place, request: AttachRequest): Promise<string> {
  if (!isMediaType(request.artifactType))
    throw new CodedError(
      "invalid-argument",
      `cannot attach an artifact of the type ${JSON.stringify(request.artifactType)}: it is not of the form type/subtype`,
    );
  const at = parseImagePlace(request.subject);
  const subject = await findSubject(place, request);
  await using target = await openTarget(place, at, request);
  const files: ArtifactFile[] = [];
  await target.putBlob(emptyBlob.descriptor, emptyBlob.bytes);
  for (const file of request.files) {
    const described = await describeFile(file);
    await target.putBlob(described, { path: resolve(file.path) });
    files.push(described);
  }
  const { descriptor, bytes } = makeArtifact({ artifactType: request.artifactType, files, annotations: request.annotations, subject });
  await target.putDocument(descriptor, bytes);
  await target.finish([], new Map([[subject.digest, [descriptor]]]));
  return descriptor.digest;
}

async function findSubject(place: Place, request: Pick<AttachRequest, "subject" | "platform" | "insecure">): Promise<Descriptor> {
  await using opened = await openSource(place, parseImagePlace(request.subject), request);
  const { descriptor } = opened.image;
  if (request.platform === undefined || documentKind(descriptor.mediaType) !== "index") return descriptor;
  const [platform] = platformsOf({ platforms: [request.platform] }) as readonly [Parameters<typeof selectManifest>[2]];
  return await selectManifest(opened.source, descriptor, platform);
}

async function describeFile({ path, mediaType }: AttachRequest["files"][number]): Promise<ArtifactFile> {
  if (!isMediaType(mediaType))
    throw new CodedError("invalid-argument", `cannot attach ${path}: ${JSON.stringify(mediaType)} is not of the form type/subtype`);
  const hasher = new ContentHasher();
  for await (const chunk of readFileChunks(resolve(path))) hasher.update(chunk);
  return { ...hasher.finish(), mediaType, title: basename(path) };
}

/** What refers to an image, and what refers to that. */
export async function listReferrers(
  place: Place,
  request: Pick<AttachRequest, "subject" | "platform" | "insecure">,
): Promise<ReferrerSummary[]> {
  const subject = await findSubject(place, request);
  await using opened = await openSource(place, parseImagePlace(request.subject), request);
  const found: ReferrerSummary[] = [];
  const seen = new Set<Digest>();
  const pending = [subject];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const referrer of (await opened.source.referrers?.(next.digest)) ?? []) {
      if (seen.has(referrer.digest)) continue;
      seen.add(referrer.digest);
      pending.push(referrer);
      const { digest, artifactType, size, annotations = {} } = referrer;
      found.push({ digest, subject: next.digest, artifactType: artifactType ?? "", sizeBytes: size, annotations });
    }
  }
  return found;
}

/** Checks a layout that need not be ours; nothing is changed in it. */
export async function verifyDirectory(path: string, options: VerifyOptions): Promise<Problem[]> {
  return await verifyLayout(new ImageLayout(resolve(path), (work) => work()), options);
}

function referenceOf(text: string): string {
  const reference = withDefaultTag(parseReference(text));
  if (reference.digest !== undefined)
    throw new CodedError("invalid-argument", `cannot name an index ${JSON.stringify(text)}: a name must not have a digest`);
  return formatReference(reference);
}
