/** Logging in and out: what is proven right at the registry is kept where docker, podman and skopeo find it. */
import { dirname } from "node:path";
import { CodedError } from "#base/errors.ts";
import { encodeJson } from "#base/json.ts";
import { helperFor, parseCredentialFile, withCredentials, type CredentialFile } from "#image/registry/credentials.ts";
import { parseReference, splitName } from "#spec/reference.ts";
import { writeFileAtomic } from "#sys/fs.ts";
import { makeDirectory } from "#sys/small-files.ts";
import { openRegistries, placesOf, readIfThere, runHelper, type RegistryAccess } from "./access.ts";

/** Who logs in where. */
export interface LoginRequest {
  /** Host and port. */
  readonly registry: string;
  readonly username: string;
  readonly password: string;
  readonly insecure?: boolean;
}

/**
 * Asks the registry whether it takes the credentials, and keeps them when it does: in the credential helper that is set for it, or else in
 * the first file that has an entry for it, or else in docker's config.json.
 *
 * @returns where they are kept, for people.
 * @throws CodedError `permission-denied`, `unavailable`, `invalid-argument`
 */
export async function logIn(access: RegistryAccess, request: LoginRequest): Promise<string> {
  const registry = requireRegistry(request.registry);
  const { username, password, insecure } = request;
  if (username.includes(":")) throw new CodedError("invalid-argument", "cannot log in: a user name must not have a colon");
  const credentials = { kind: "basic", username, password } as const;
  try {
    await openRegistries(access, insecure === undefined ? {} : { insecure }).ping(registry, credentials);
  } catch (cause) {
    // Elsewhere it is stored credentials that are not accepted, and a login that helps.
    if (cause instanceof CodedError && cause.details["status"] === 401)
      throw new CodedError("permission-denied", `cannot log in: ${registry} does not accept this user name and password`, { cause });
    throw cause;
  }
  const file = await fileFor(access, registry);
  const helper = helperFor(file, registry);
  if (helper !== undefined) {
    await runHelper(helper, "store", JSON.stringify({ ServerURL: registry, Username: username, Secret: password }));
    return `docker-credential-${helper}`;
  }
  await write(file.path, withCredentials(file, registry, credentials));
  return file.path;
}

/** Forgets what is kept for the registry, everywhere. False when nothing was. */
export async function logOut(access: RegistryAccess, text: string): Promise<boolean> {
  const registry = requireRegistry(text);
  let wasThere = false;
  for (const path of new Set([...placesOf(access).credentials, placesOf(access).newLogin])) {
    const file = await readCredentialFile(path);
    if (file === undefined) continue;
    const helper = helperFor(file, registry);
    if (helper !== undefined) wasThere = (await erase(helper, registry)) || wasThere;
    if (!hasEntry(file, registry)) continue;
    await write(path, withCredentials(file, registry, undefined));
    wasThere = true;
  }
  return wasThere;
}

async function erase(helper: string, registry: string): Promise<boolean> {
  try {
    await runHelper(helper, "erase", registry);
    return true;
  } catch (error) {
    if (error instanceof CodedError && /credentials not found/i.test(String(error.details["output"] ?? ""))) return false;
    throw error;
  }
}

/** The file that decides for `registry` now, or the one that shall. */
async function fileFor(access: RegistryAccess, registry: string): Promise<CredentialFile> {
  const { credentials, newLogin } = placesOf(access);
  for (const path of credentials) {
    const file = await readCredentialFile(path);
    if (file !== undefined && (hasEntry(file, registry) || helperFor(file, registry) !== undefined)) return file;
  }
  return (await readCredentialFile(newLogin)) ?? { path: newLogin, document: {} };
}

async function readCredentialFile(path: string): Promise<CredentialFile | undefined> {
  const bytes = await readIfThere(path);
  return bytes === undefined ? undefined : parseCredentialFile(bytes, path);
}

function hasEntry(file: CredentialFile, registry: string): boolean {
  const count = (document: CredentialFile["document"]): number => Object.keys(document["auths"] ?? {}).length;
  return count(withCredentials(file, registry, undefined)) < count(file.document);
}

/** For nobody else's eyes, from the first byte on. */
async function write(path: string, document: CredentialFile["document"]): Promise<void> {
  makeDirectory(dirname(path), 0o700);
  await writeFileAtomic(path, Buffer.concat([encodeJson(document), Buffer.from("\n")]), 0o600);
}

/** Host and port, however they were written. @throws CodedError `invalid-argument` */
function requireRegistry(text: string): string {
  const registry = text.replace(/^https?:\/\//, "").replace(/\/+$/, "");
  try {
    if (splitName(parseReference(`${registry}/x`).name).domain === registry) return registry;
  } catch {
    // The sentence below says it.
  }
  throw new CodedError(
    "invalid-argument",
    `cannot log in at ${JSON.stringify(text)}: it is not the host of a registry, such as registry.example or localhost:5000`,
  );
}
