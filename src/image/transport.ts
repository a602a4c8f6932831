/** How people say where an image is: `transport:place`, or a plain name, which is one in the store. Pure. */
import { CodedError } from "#base/errors.ts";
import { findDigestFault, type Digest } from "#spec/digest.ts";
import { formatReference, parseReference, withDefaultTag } from "#spec/reference.ts";

/** Where an image is or goes. */
export type ImagePlace =
  /** `docker://NAME`: a registry; NAME is a whole reference. */
  | { readonly transport: "docker"; readonly name: string }
  /** `oci:DIR[:NAME|@DIGEST]` and `oci-archive:FILE[:NAME|@DIGEST]`: a layout; NAME is what its index.json calls the image. */
  | { readonly transport: "oci" | "oci-archive"; readonly path: string; readonly name?: string; readonly digest?: Digest }
  /** `docker-archive:FILE[:NAME]`; NAME is a reference. */
  | { readonly transport: "docker-archive"; readonly path: string; readonly name?: string }
  /** `store:NAME` or NAME: the local store; a name, an id or its beginning. */
  | { readonly transport: "store"; readonly name: string };

/** Transports that other tools have and that we refuse by name, with what to use instead. */
const strangers: Readonly<Record<string, string>> = {
  "containers-storage": "save the image with podman and use oci-archive:FILE",
  "docker-daemon": 'run "docker save" and use docker-archive:FILE',
  dir: "use oci:DIR",
  sif: "use oci-archive:FILE",
  ostree: "use oci:DIR",
  tarball: "use oci-archive:FILE",
};

/** Parses where an image is. @throws CodedError `invalid-argument`, `unsupported` for a transport of other tools */
export function parseImagePlace(text: string): ImagePlace {
  const fault = (fact: string): CodedError =>
    new CodedError("invalid-argument", `cannot use ${JSON.stringify(text.slice(0, 300))}: ${fact}`);
  const [, transport = "", rest = ""] = /^([a-z][a-z-]*):(.*)$/s.exec(text) ?? [];
  if (text === "") throw fault("it is empty");
  if (text.includes("\0")) throw fault("it holds a NUL character");
  switch (transport) {
    case "docker":
      if (rest.startsWith("//")) return { transport, name: formatReference(withDefaultTag(parseReference(rest.slice(2)))) };
      // An image may be called "docker", with a tag.
      return { transport: "store", name: text };
    case "oci":
    case "oci-archive":
      return { transport, ...parseLayoutPlace(rest, fault) };
    case "docker-archive": {
      const { path, label } = splitPath(rest, fault);
      return label === undefined ? { transport, path } : { transport, path, name: formatReference(withDefaultTag(parseReference(label))) };
    }
    case "store":
      if (rest === "") throw fault("a name follows after store:");
      return { transport, name: rest };
    default:
      if (Object.hasOwn(strangers, transport))
        throw new CodedError(
          "unsupported",
          `cannot use ${JSON.stringify(text.slice(0, 300))}: there is no transport ${transport} here; ${strangers[transport]}`,
        );
      if (/^[a-z0-9+.-]+:\/\//.test(text))
        throw fault(`${text.slice(0, text.indexOf("://"))}:// is no transport; registries are docker://NAME`);
      return { transport: "store", name: text };
  }
}

/** The text that parseImagePlace reads. */
export function formatImagePlace(place: ImagePlace): string {
  if (place.transport === "docker") return `docker://${place.name}`;
  if (place.transport === "store") return `store:${place.name}`;
  const label = place.name === undefined ? "" : `:${place.name}`;
  return `${place.transport}:${place.path}${label}${"digest" in place ? `@${place.digest}` : ""}`;
}

interface LayoutPlace {
  readonly path: string;
  readonly name?: string;
  readonly digest?: Digest;
}

function parseLayoutPlace(rest: string, fault: (fact: string) => CodedError): LayoutPlace {
  const at = rest.lastIndexOf("@");
  const afterAt = rest.slice(at + 1);
  if (at > 0 && /^[a-z0-9+._-]+:/.test(afterAt) && !afterAt.includes("/")) {
    const digestFault = findDigestFault(afterAt);
    if (digestFault !== undefined) throw fault(`after the @, ${digestFault}`);
    return { path: requirePath(rest.slice(0, at), fault), digest: afterAt as Digest };
  }
  const { path, label } = splitPath(rest, fault);
  if (label === undefined) return { path };
  // SPEC: annotations.md: the grammar of ref.name.
  if (!/^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*$/.test(label))
    throw fault(
      `the name ${JSON.stringify(label.slice(0, 200))} is not made of letters and digits with single "-", ".", "_", ":", "@", "+" or "/" between them`,
    );
  return { path, name: label };
}

/** The path ends at the first colon; a path that has one is written with `./` in no other way either, so there is no escape. */
function splitPath(rest: string, fault: (fact: string) => CodedError): { path: string; label?: string } {
  const colon = rest.indexOf(":");
  if (colon < 0) return { path: requirePath(rest, fault) };
  const label = rest.slice(colon + 1);
  if (label === "") throw fault("a name follows after the last colon");
  return { path: requirePath(rest.slice(0, colon), fault), label };
}

function requirePath(path: string, fault: (fact: string) => CodedError): string {
  if (path === "") throw fault("a path follows after the transport");
  return path;
}
