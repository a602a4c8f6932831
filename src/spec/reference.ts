/**
 * References: what people call an image, `[domain[:port]/]path[:tag][@digest]`.
 *
 * Names are kept as they were given: no domain is added to a short name, so that images loaded from files
 * need no registry's name. Whoever talks to registries decides where a short name points.
 *
 * @see distribution-spec "Pulling manifests" (names, tags); the grammar of domains is that of docker's references.
 */
import { CodedError } from "#base/errors.ts";
import { findDigestFault, type Digest } from "./digest.ts";

/** A parsed reference. */
export interface Reference {
  /** Domain and path, as given. */
  readonly name: string;
  readonly tag?: string | undefined;
  readonly digest?: Digest | undefined;
}

/** The tag of a reference that names neither tag nor digest. */
export const defaultTag = "latest";

const maxNameLength = 255;
const pathComponent = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const pathPattern = new RegExp(`^${pathComponent}(?:/${pathComponent})*$`);
const domainComponent = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const domainPattern = new RegExp(`^(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`);
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** Parses a reference; neither tag nor digest is added. @throws CodedError `invalid-argument` */
export function parseReference(text: string): Reference {
  const fault = (fact: string): CodedError =>
    new CodedError("invalid-argument", `cannot use image name ${JSON.stringify(text.slice(0, 300))}: ${fact}`);
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const tagged = at < 0 ? text : text.slice(0, at);
  const colon = tagged.lastIndexOf(":");
  const hasTag = colon > tagged.lastIndexOf("/");
  const name = hasTag ? tagged.slice(0, colon) : tagged;
  const tag = hasTag ? tagged.slice(colon + 1) : undefined;
  const nameFault = findNameFault(name);
  if (nameFault !== undefined) throw fault(nameFault);
  if (tag !== undefined && !tagPattern.test(tag))
    throw fault(`the tag "${tag.slice(0, 140)}" is not 1 to 128 letters, digits, "_", "." and "-"`);
  const digestFault = digest === undefined ? undefined : findDigestFault(digest);
  if (digestFault !== undefined) throw fault(`after the @, ${digestFault}`);
  return { name, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest: digest as Digest }) };
}

/** The reference in the form that parseReference reads. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  return `${reference.name}${tag}${reference.digest === undefined ? "" : `@${reference.digest}`}`;
}

/** The reference with the default tag, if it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: defaultTag } : reference;
}

/** True for a tag that the distribution spec allows. */
export function isTag(text: string): boolean {
  return tagPattern.test(text);
}

/** Splits a name into its domain, if its first part is one, and its path. A domain has a dot, a port or capitals, or is `localhost`. */
export function splitName(name: string): { readonly domain: string | undefined; readonly path: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(slash, 0));
  const isDomain = first === "localhost" || /[.:A-Z]/.test(first);
  return isDomain ? { domain: first, path: name.slice(slash + 1) } : { domain: undefined, path: name };
}

function findNameFault(name: string): string | undefined {
  if (name === "") return "the name is empty";
  if (name.length > maxNameLength) return `the name has ${name.length} characters, more than ${maxNameLength}`;
  const { domain, path } = splitName(name);
  if (domain !== undefined && !domainPattern.test(domain)) return `"${domain}" is not the name of a host`;
  if (pathPattern.test(path)) return /^[0-9a-f]{64}$/.test(name) ? "64 hexadecimal digits are an image id, not a name" : undefined;
  if (pathPattern.test(path.toLowerCase())) return "the path must be lower case";
  return `"${path}" is not made of lower-case letters and digits, with single ".", "_", "__" or "-" between them, in parts joined by "/"`;
}
