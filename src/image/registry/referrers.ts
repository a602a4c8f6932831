/**
 * What refers to a manifest in a repository, by the registry's own list or, where it keeps none, by an index under a tag made of the digest.
 *
 * @see distribution-spec "Listing Referrers", "Pushing Manifests with Subject"; checklist R1, R2, U8, K1
 */
import { CodedError } from "#base/errors.ts";
import { encodeJson } from "#base/json.ts";
import { digestOf, type Digest } from "#spec/digest.ts";
import { descriptorToJson, manifestLimits, parseIndex, type Descriptor, type Index, type Manifest } from "#spec/image.ts";
import { documentKind, mediaTypes } from "#spec/media-type.ts";
import { referrersTag } from "../referrers.ts";
import type { RepositoryClient } from "./client.ts";

/** A subject with more is refused: each one costs a request. */
const maxReferrers = 10_000;

/** The manifests that say `subject` is their subject, of `artifactType` only when it is told. @throws CodedError */
export async function listReferrers(client: RepositoryClient, subject: Digest, artifactType?: string): Promise<readonly Descriptor[]> {
  const found = (await listByApi(client, subject, artifactType)) ?? (await readTagged(client, subject))?.manifests ?? [];
  return artifactType === undefined ? found : found.filter((referrer) => referrer.artifactType === artifactType);
}

/** R1. Undefined when the registry does not know the question. */
async function listByApi(client: RepositoryClient, subject: Digest, artifactType?: string): Promise<Descriptor[] | undefined> {
  const query = artifactType === undefined ? "" : `?artifactType=${encodeURIComponent(artifactType)}`;
  const doing = `list what refers to ${subject} in ${client.name}`;
  const found: Descriptor[] = [];
  try {
    for await (const page of client.pages(`referrers/${subject}${query}`, doing)) {
      // COMPAT: registries and proxies that know no such path may answer 200 with a page of their own.
      const type = (page.header("content-type") ?? "").split(";", 1)[0]?.trim();
      if (type !== mediaTypes.index) {
        await page.discard();
        return undefined;
      }
      found.push(...parseIndex(await page.bytes(manifestLimits.maxBytes), `the referrers of ${subject}`).manifests);
      if (found.length > maxReferrers) throw new CodedError("exhausted", `cannot ${doing}: there are more than ${maxReferrers}`);
    }
    return found;
  } catch (error) {
    // R2. Some registries refuse the unknown path instead of not finding it.
    const status = error instanceof CodedError ? error.details["status"] : undefined;
    if (status === 404 || status === 405 || status === 400) return undefined;
    throw error;
  }
}

/** The index under the tag; undefined when there is none. What is there but is no index is no list of referrers. */
async function readTagged(client: RepositoryClient, subject: Digest): Promise<Index | undefined> {
  try {
    const { document } = await client.getManifest(referrersTag(subject));
    return document.kind === "index" ? document : undefined;
  } catch (error) {
    if (error instanceof CodedError && (error.code === "not-found" || error.code === "invalid-spec" || error.code === "unsupported"))
      return undefined;
    throw error;
  }
}

/** Others that change a list at the same time are waited for this often. */
const maxConflicts = 20;

/**
 * U8: adds `referrer` to the index under the tag of its subject, for registries that keep no list.
 *
 * Where the registry knows conditions (ETag, If-Match), what another client adds at the same time is not lost; where it does not, one of two
 * entries may be: the specification has no answer to that. Within a process the caller takes turns.
 *
 * @throws CodedError `wrong-state` when something else has that tag.
 */
export async function addToReferrersTag(client: RepositoryClient, subject: Digest, referrer: Descriptor): Promise<void> {
  await changeTagged(client, subject, (before) =>
    before.some((entry) => entry.digest === referrer.digest) ? undefined : [...before, referrer],
  );
}

/** K1: after a referrer was deleted: where the registry keeps no list itself, it is taken out of the one that we keep. */
export async function forgetReferrer(client: RepositoryClient, subject: Digest, referrer: Digest): Promise<void> {
  if ((await listByApi(client, subject)) === undefined) await removeFromReferrersTag(client, subject, referrer);
}

/** K1: takes a deleted `referrer` out of the index under the tag of its subject. */
export async function removeFromReferrersTag(client: RepositoryClient, subject: Digest, referrer: Digest): Promise<void> {
  await changeTagged(client, subject, (before) => {
    const after = before.filter((entry) => entry.digest !== referrer);
    return after.length < before.length ? after : undefined;
  });
}

/** Reads the list, changes it and puts it, anew when somebody else did so meanwhile. Nothing is put for `undefined`. */
async function changeTagged(
  client: RepositoryClient,
  subject: Digest,
  change: (before: readonly Descriptor[]) => readonly Descriptor[] | undefined,
): Promise<void> {
  const tag = referrersTag(subject);
  for (let conflicts = 0; ; conflicts++) {
    const before = await readForUpdate(client, tag);
    const manifests = change(before?.document.manifests ?? []);
    if (manifests === undefined) return;
    const bytes = encodeJson({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: manifests.map(descriptorToJson) });
    const descriptor = { mediaType: mediaTypes.index, digest: digestOf(bytes), size: bytes.length };
    const onlyOver = before === undefined ? "none" : before.etag === undefined ? undefined : { etag: before.etag };
    try {
      await client.putManifest(tag, { descriptor, bytes, ...(onlyOver === undefined ? {} : { onlyOver }) });
      return;
    } catch (error) {
      const isConflict = error instanceof CodedError && error.details["status"] === 412;
      if (!isConflict || conflicts >= maxConflicts) throw error;
      await client.pause(1);
    }
  }
}

interface TaggedIndex {
  readonly document: Index;
  readonly etag: string | undefined;
}

async function readForUpdate(client: RepositoryClient, tag: string): Promise<TaggedIndex | undefined> {
  try {
    const { document, etag } = await client.getManifest(tag);
    if (document.kind === "index") return { document, etag };
  } catch (error) {
    if (error instanceof CodedError && error.code === "not-found") return undefined;
    throw error;
  }
  throw new CodedError("wrong-state", `cannot add to the referrers in ${client.name}: ${tag} is no index`);
}

/** How a manifest stands in a list of referrers. SPEC: artifactType, or else the type of the config; annotations are copied. */
export function referrerDescriptor({ mediaType, digest, size }: Descriptor, document: Manifest | Index): Descriptor {
  const artifactType = document.artifactType ?? (document.kind === "manifest" ? document.config.mediaType : undefined);
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(Object.keys(document.annotations).length === 0 ? {} : { annotations: document.annotations }),
  };
}

/** Whether a blob of this type is put as a manifest. */
export function isDocument(mediaType: string): boolean {
  const kind = documentKind(mediaType);
  return kind === "manifest" || kind === "index";
}
