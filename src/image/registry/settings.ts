/**
 * How each registry is reached: what the user's registries.json says, and certificates from directories as docker has them.
 *
 *     { "defaultRegistry": "registry.example", "officialPath": "library",
 *       "registries": { "registry.example": { "mirrors": ["mirror.example:5000"], "ca": "/etc/ssl/own.pem" },
 *                       "mirror.example:5000": { "plainHttp": true } } }
 *
 * A name without a domain goes to the default registry, below the official path when it has one part only; without a default registry it cannot
 * be pulled.
 */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { parseJsonNode, readStrings, type JsonNode } from "#base/json-node.ts";
import { parseReference, splitName } from "#spec/reference.ts";
import type { TlsSettings } from "./ports.ts";

/** What is said of one registry. */
export interface RegistrySettings {
  /** Where it is really reached, `HOST[:PORT]`, when that is not what it is called by. */
  readonly endpoint: string | undefined;
  /** The name under which its credentials are kept, when that is another one. */
  readonly login: string | undefined;
  /** Asked before the registry itself, in this order, when something is pulled: `HOST[:PORT][/PREFIX]`. */
  readonly mirrors: readonly string[];
  /** It fetches from other registries what it does not have, and is told which one is meant (`?ns=`). */
  readonly pullThrough: boolean;
  /** Neither encrypted nor checked. */
  readonly plainHttp: boolean;
  /** Encrypted where the registry can, but not checked. */
  readonly insecure: boolean;
  /** Paths of PEM files. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** A registries.json. */
export interface SettingsFile {
  /** What stands before names without a domain: `HOST[:PORT][/PREFIX]`. */
  readonly defaultRegistry: string | undefined;
  /** What stands between the default registry and names of one part. */
  readonly officialPath: string | undefined;
  readonly registries: ReadonlyMap<string, RegistrySettings>;
}

/** What holds where nothing is said. */
export const plainSettings: RegistrySettings = {
  endpoint: undefined,
  login: undefined,
  mirrors: [],
  pullThrough: false,
  plainHttp: false,
  insecure: false,
  ca: undefined,
  cert: undefined,
  key: undefined,
};

/** No file at all. */
export const noSettings: SettingsFile = { defaultRegistry: undefined, officialPath: undefined, registries: new Map() };

/** Parses a registries.json; names that it does not know are refused. @throws CodedError `invalid-spec` */
export function parseSettings(bytes: Uint8Array, path: string): SettingsFile {
  const node = parseJsonNode(bytes, path, { maxBytes: 1 << 20 });
  onlyNames(node, ["defaultRegistry", "officialPath", "registries"]);
  const registries = node.get("registries").optional((list) => list.record(readSettings)) ?? {};
  return {
    defaultRegistry: node.get("defaultRegistry").optional(readPlace),
    officialPath: node.get("officialPath").optional((path) => path.string()),
    registries: new Map(Object.entries(registries)),
  };
}

function readSettings(node: JsonNode): RegistrySettings {
  onlyNames(node, Object.keys(plainSettings));
  const text = (name: string): string | undefined => node.get(name).optional((value) => value.string());
  const flag = (name: string): boolean => node.get(name).optional((value) => value.boolean()) ?? false;
  const mirrors = node.get("mirrors").optional((list) => readStrings(list).map((_, index) => readPlace(list.items()[index] ?? list))) ?? [];
  const endpoint = node.get("endpoint").optional(readPlace);
  return {
    endpoint,
    login: text("login"),
    mirrors,
    pullThrough: flag("pullThrough"),
    plainHttp: flag("plainHttp"),
    insecure: flag("insecure"),
    ca: text("ca"),
    cert: text("cert"),
    key: text("key"),
  };
}

/** `HOST[:PORT][/PREFIX]`. */
function readPlace(node: JsonNode): string {
  const place = node.string().replace(/\/+$/, "");
  try {
    const { name, tag, digest } = parseReference(`${place}/x`);
    if (tag === undefined && digest === undefined && splitName(name).domain !== undefined) return place;
  } catch {
    // The sentence below says it.
  }
  throw node.fault(`it is ${JSON.stringify(place)}, not HOST[:PORT][/PREFIX] with a host that has a dot or a port`);
}

function onlyNames(node: JsonNode, names: readonly string[]): void {
  const strange = Object.keys(node.object()).find((name) => !names.includes(name));
  if (strange !== undefined) throw node.fault(`it has ${JSON.stringify(strange)}, which is not one of ${names.join(", ")}`);
}

/** Files as the settings need them. */
export interface FilePort {
  /** Undefined when there is no such file. */
  readonly readFile: (path: string) => Promise<Uint8Array | undefined>;
  /** The names in a directory; none when there is no such directory. */
  readonly listDirectory: (path: string) => Promise<readonly string[]>;
}

/**
 * The certificates for `registry`: those that its settings name, and DIRECTORY/HOST:PORT/{*.crt, NAME.cert with NAME.key} of docker's kind.
 *
 * @throws CodedError `not-found` for a file that is named and is not there, or a certificate without its key.
 */
export async function readTls(
  files: FilePort,
  registry: string,
  { settings, directories }: { readonly settings: RegistrySettings; readonly directories: readonly string[] },
): Promise<TlsSettings | undefined> {
  const authorities: string[] = [];
  let pair: { cert: string; key: string } | undefined;
  if (settings.ca !== undefined) authorities.push(await readText(files, settings.ca));
  if (settings.cert !== undefined && settings.key !== undefined)
    pair = { cert: await readText(files, settings.cert), key: await readText(files, settings.key) };
  for (const directory of directories.map((parent) => join(parent, registry))) {
    const names = (await files.listDirectory(directory)).toSorted();
    for (const name of names.filter((one) => one.endsWith(".crt"))) authorities.push(await readText(files, join(directory, name)));
    const cert = names.find((name) => name.endsWith(".cert"));
    if (cert === undefined || pair !== undefined) continue;
    pair = {
      cert: await readText(files, join(directory, cert)),
      key: await readText(files, join(directory, cert.replace(/\.cert$/, ".key"))),
    };
  }
  if (authorities.length === 0 && pair === undefined && !settings.insecure) return undefined;
  return {
    ...(authorities.length === 0 ? {} : { ca: authorities }),
    ...pair,
    ...(settings.insecure ? { rejectUnauthorized: false } : {}),
  };
}

async function readText(files: FilePort, path: string): Promise<string> {
  const bytes = await files.readFile(path);
  if (bytes === undefined)
    throw new CodedError("not-found", `cannot read ${path}: there is no such file, but the settings of a registry need it`);
  return Buffer.from(bytes).toString("utf8");
}
