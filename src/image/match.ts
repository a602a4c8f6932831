/** What people type against the names in the store; pure. */
import { CodedError } from "#base/errors.ts";
import type { Descriptor } from "#spec/image.ts";
import { formatReference, parseReference, splitName, withDefaultTag, type Reference } from "#spec/reference.ts";
import { nameOf } from "./layout.ts";

/** The entry that was meant, and the name by which; no name when it was meant by `name@digest`. */
export interface NameMatch {
  readonly entry: Descriptor;
  readonly name: string | undefined;
}

/** Where names without a domain stand after one. */
const officialPath = "library/";

/** The entry that `text` names; undefined when none does. @throws CodedError `invalid-argument` when several images have that name after their domains. */
export function matchName(entries: readonly Descriptor[], text: string): NameMatch | undefined {
  const wanted = tryParse(text);
  if (wanted === undefined) return undefined;
  if (wanted.digest !== undefined) {
    // What was pulled by digest has that for a name, which may be an index's while the entry is one of its manifests.
    const byName = formatReference({ name: wanted.name, digest: wanted.digest });
    const named = entries.find((candidate) => nameOf(candidate) === byName);
    if (named !== undefined) return { entry: named, name: byName };
    const entry = entries.find((candidate) => candidate.digest === wanted.digest && repositoryOf(candidate) === wanted.name);
    return entry === undefined ? undefined : { entry, name: undefined };
  }
  const exact = entries.find((entry) => nameOf(entry) === formatReference(wanted));
  if (exact !== undefined) return { entry: exact, name: nameOf(exact) };
  return splitName(wanted.name).domain === undefined ? matchShortName(entries, wanted) : undefined;
}

/** Names in the store that may have been meant by `text`, at most five: other tags, other domains, longer or shorter forms. */
export function namesNear(entries: readonly Descriptor[], text: string): string[] {
  const wanted = lastPart(tryParse(text)?.name ?? text);
  const near = entries
    .flatMap((entry) => nameOf(entry) ?? [])
    .filter((name) => {
      const candidate = lastPart(tryParse(name)?.name ?? name);
      return wanted !== "" && (candidate.includes(wanted) || (candidate.length > 2 && wanted.includes(candidate)));
    });
  return near.slice(0, 5);
}

function matchShortName(entries: readonly Descriptor[], wanted: Reference): NameMatch | undefined {
  const found = entries.filter((entry) => {
    const reference = tryParse(nameOf(entry) ?? "");
    if (reference === undefined || reference.tag !== wanted.tag) return false;
    const { domain, path } = splitName(reference.name);
    return domain !== undefined && (path === wanted.name || path === `${officialPath}${wanted.name}`);
  });
  if (new Set(found.map((entry) => entry.digest)).size > 1) {
    throw new CodedError("invalid-argument", `cannot find image ${wanted.name}: several have that name: ${found.map(nameOf).join(", ")}`);
  }
  const [entry] = found;
  return entry === undefined ? undefined : { entry, name: nameOf(entry) };
}

function repositoryOf(entry: Descriptor): string | undefined {
  return tryParse(nameOf(entry) ?? "")?.name;
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}

function tryParse(text: string): Reference | undefined {
  try {
    return withDefaultTag(parseReference(text));
  } catch {
    return undefined;
  }
}
