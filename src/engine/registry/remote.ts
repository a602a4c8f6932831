/** What a registry has, listed and deleted there; nothing in the store is touched. */
import { CodedError } from "#base/errors.ts";
import type { RepositoryClient } from "#image/registry/client.ts";
import { forgetReferrer } from "#image/registry/referrers.ts";
import { formatReference, parseReference, type Reference } from "#spec/reference.ts";
import { openRegistries, type RegistryAccess } from "./access.ts";

/** What is meant of a registry. */
export interface RemoteRequest {
  /** `registry.example/app`; to delete, with a tag or a digest. */
  readonly reference: string;
  readonly insecure?: boolean;
}

/** The tags of a repository, sorted: not every registry does that. @throws CodedError `not-found`, `permission-denied`, `unavailable`, … */
export async function listTags(access: RegistryAccess, request: RemoteRequest): Promise<string[]> {
  const { tag, digest } = parseReference(request.reference);
  if (tag !== undefined || digest !== undefined)
    throw new CodedError("invalid-argument", `cannot list the tags of ${request.reference}: a repository has no tag and no digest`);
  const { client } = await open(access, request);
  return (await client.listTags()).toSorted((one, other) => (one < other ? -1 : 1));
}

/**
 * Deletes a tag, or a manifest by its digest with all its tags; one that referred to another is taken out of that one's list.
 *
 * @returns false when it was not there.
 * @throws CodedError `unsupported` where the registry deletes nothing, or no tags
 */
export async function deleteRemote(access: RegistryAccess, request: RemoteRequest): Promise<boolean> {
  const { tag, digest } = parseReference(request.reference);
  if (tag === undefined && digest === undefined)
    throw new CodedError("invalid-argument", `cannot delete ${request.reference}: say which of its images, by :TAG or @DIGEST`);
  const { client, reference } = await open(access, request);
  return digest === undefined ? await deleteTag(client, reference) : await deleteManifest(client, digest);
}

async function deleteManifest(client: RepositoryClient, digest: NonNullable<Reference["digest"]>): Promise<boolean> {
  // What it refers to is known only as long as it is there.
  const subject = await client.getManifest(digest).then(
    ({ document }) => document.subject,
    (error: unknown) => {
      if (error instanceof CodedError && error.code !== "permission-denied" && error.code !== "unavailable") return undefined;
      throw error;
    },
  );
  const wasThere = await client.deleteManifest(digest);
  if (subject !== undefined) await forgetReferrer(client, subject.digest, digest);
  return wasThere;
}

/** SPEC: a registry may refuse to delete tags (400, 405) and still delete manifests. */
async function deleteTag(client: RepositoryClient, { name, tag = "" }: Reference): Promise<boolean> {
  try {
    return await client.deleteManifest(tag);
  } catch (error) {
    const status = error instanceof CodedError ? error.details["status"] : undefined;
    if (status !== 400 && status !== 405) throw error;
    const found = await client.headManifest(tag);
    if (found === undefined) return false;
    throw new CodedError(
      "unsupported",
      `cannot delete ${name}:${tag}: ${client.registry} does not delete tags; ${formatReference({ name, digest: found.digest })} would delete the image with all its tags`,
      { cause: error },
    );
  }
}

async function open(
  access: RegistryAccess,
  { reference, insecure }: RemoteRequest,
): Promise<{ client: RepositoryClient; reference: Reference }> {
  const registries = openRegistries(access, insecure === undefined ? {} : { insecure });
  const resolved = await registries.resolve(reference);
  return { client: await registries.repository(resolved.name), reference: resolved };
}
