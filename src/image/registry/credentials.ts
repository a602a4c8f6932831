/**
 * Who we are at which registry, from the files that docker, podman and skopeo keep.
 *
 * The first file that has an entry for the registry decides. Within a file the longest key wins that is the registry or begins the
 * repository (`registry.example/team` before `registry.example`), and a credential helper wins over what the file itself holds.
 */
import { CodedError } from "#base/errors.ts";
import { parseJson, type JsonObject, type JsonValue } from "#base/json.ts";

/** What a registry accepts as proof. */
export type Credentials =
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  /** Exchanged for access tokens at the registry's realm ("identitytoken"). */
  | { readonly kind: "identity-token"; readonly token: string }
  /** Sent as it is ("registrytoken"). */
  | { readonly kind: "registry-token"; readonly token: string };

/** Runs `docker-credential-NAME ACTION` with `input` and resolves with its output. @throws CodedError `not-found`, `unavailable` */
export type RunHelper = (name: string, action: "get" | "store" | "erase", input: string) => Promise<string>;

/** What is read to find credentials. */
export interface CredentialSources {
  /** Paths of the files, in the order that they are asked. */
  readonly files: readonly string[];
  /** Undefined when there is no such file. */
  readonly readFile: (path: string) => Promise<Uint8Array | undefined>;
  readonly runHelper: RunHelper;
}

/** A file of credentials: `auths`, `credHelpers`, `credsStore`; the rest is others' and is kept. */
export interface CredentialFile {
  readonly path: string;
  readonly document: JsonObject;
}

const limits = { maxBytes: 4 << 20, maxDepth: 16 };
const helperName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** Finds what is to be used for `repository` (`team/app`, or "" for the registry as such) at `registry` (host and port). */
export async function findCredentials(sources: CredentialSources, registry: string, repository: string): Promise<Credentials | undefined> {
  for (const path of sources.files) {
    const bytes = await sources.readFile(path);
    const file = bytes === undefined ? undefined : parseCredentialFile(bytes, path);
    const found = file === undefined ? undefined : await findInFile(file, { registry, repository, runHelper: sources.runHelper });
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Parses a file of credentials. @throws CodedError `invalid-spec` */
export function parseCredentialFile(bytes: Uint8Array, path: string): CredentialFile {
  const document = bytes.length === 0 ? {} : parseJson(bytes, path, limits);
  if (!isObject(document)) throw new CodedError("invalid-spec", `cannot read ${path}: it is no JSON object`);
  return { path, document };
}

/** The helper that keeps the credentials of `registry`, if one does. @throws CodedError `invalid-spec` for a name that is none */
export function helperFor({ document, path }: CredentialFile, registry: string): string | undefined {
  const helpers = document["credHelpers"];
  const name = (isObject(helpers) ? member(helpers, registry) : undefined) ?? document["credsStore"];
  if (name === undefined || name === "" || name === null) return undefined;
  // It becomes part of a program's name.
  if (typeof name !== "string" || !helperName.test(name))
    throw new CodedError("invalid-spec", `cannot read ${path}: ${JSON.stringify(name)} is not the name of a credential helper`);
  return name;
}

interface Wanted {
  readonly registry: string;
  readonly repository: string;
  readonly runHelper: RunHelper;
}

async function findInFile(file: CredentialFile, { registry, repository, runHelper }: Wanted): Promise<Credentials | undefined> {
  const helper = helperFor(file, registry);
  if (helper !== undefined) {
    const found = await askHelper(helper, registry, runHelper);
    if (found !== undefined) return found;
  }
  const auths = file.document["auths"];
  if (!isObject(auths)) return undefined;
  for (const key of keysFor(registry, repository)) {
    const entry = Object.entries(auths).find(([name]) => normalKey(name) === key)?.[1];
    const found = isObject(entry) ? credentialsIn(entry, file.path) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Longest first: `r/a/b`, `r/a`, `r`. @see containers-auth.json(5) */
function keysFor(registry: string, repository: string): string[] {
  const parts = repository === "" ? [] : repository.split("/");
  return Array.from({ length: parts.length + 1 }, (_, index) => [registry, ...parts.slice(0, parts.length - index)].join("/"));
}

/** Keys may be URLs of old, `https://registry.example/v1/`: the host is what counts then. */
function normalKey(key: string): string {
  const [, rest] = /^https?:\/\/(.*)$/.exec(key) ?? [];
  return rest === undefined ? key.replace(/\/+$/, "") : rest.replace(/\/v[12]\/?$/, "").replace(/\/+$/, "");
}

function credentialsIn(entry: JsonObject, path: string): Credentials | undefined {
  const [identity, registry, auth] = [textIn(entry, "identitytoken"), textIn(entry, "registrytoken"), textIn(entry, "auth")];
  if (registry !== undefined) return { kind: "registry-token", token: registry };
  if (identity !== undefined) return { kind: "identity-token", token: identity };
  if (auth !== undefined) {
    const decoded = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "");
    const colon = decoded.indexOf(":");
    if (colon < 0) throw new CodedError("invalid-spec", `cannot read ${path}: an "auth" in it is not base64 of USER:PASSWORD`);
    return basic(decoded.slice(0, colon), decoded.slice(colon + 1));
  }
  const [username, password] = [textIn(entry, "username"), textIn(entry, "password")];
  return username === undefined || password === undefined ? undefined : basic(username, password);
}

/** SPEC: docker-credential-helpers: the user `<token>` means that the secret is an identity token. */
async function askHelper(name: string, registry: string, runHelper: RunHelper): Promise<Credentials | undefined> {
  let answer: string;
  try {
    answer = await runHelper(name, "get", registry);
  } catch (error) {
    // The helpers say so in words that they all share, and with a status that says nothing.
    if (error instanceof CodedError && /credentials not found/i.test(String(error.details["output"] ?? ""))) return undefined;
    throw error;
  }
  const document = parseJson(Buffer.from(answer), `the answer of docker-credential-${name}`, limits);
  const [username, secret] = isObject(document) ? [textIn(document, "Username"), textIn(document, "Secret")] : [];
  if (username === undefined || secret === undefined) return undefined;
  return username === "<token>" ? { kind: "identity-token", token: secret } : basic(username, secret);
}

function basic(username: string, password: string): Credentials | undefined {
  return username === "" && password === "" ? undefined : { kind: "basic", username, password };
}

/** The document of `file` with these credentials for `registry`, or, for undefined, without any. Pure. */
export function withCredentials({ document }: CredentialFile, registry: string, credentials: Credentials | undefined): JsonObject {
  const auths = document["auths"];
  const others = Object.fromEntries(Object.entries(isObject(auths) ? auths : {}).filter(([name]) => normalKey(name) !== registry));
  return { ...document, auths: credentials === undefined ? others : { ...others, [registry]: entryOf(credentials) } };
}

function entryOf(credentials: Credentials): JsonObject {
  switch (credentials.kind) {
    case "basic":
      return { auth: Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64") };
    case "identity-token":
      return { identitytoken: credentials.token };
    case "registry-token":
      return { registrytoken: credentials.token };
  }
}

function textIn(object: JsonObject, name: string): string | undefined {
  const value = member(object, name);
  return typeof value === "string" && value !== "" ? value : undefined;
}

function member(object: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
