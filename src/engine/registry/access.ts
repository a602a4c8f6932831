/** Registries as this user on this machine reaches them: whose files are read, and where a login is written. */
import { userInfo } from "node:os";
import { join } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import type { RunHelper } from "#image/registry/credentials.ts";
import type { Fetch } from "#image/registry/ports.ts";
import { Registries } from "#image/registry/registries.ts";
import { readFileBounded } from "#sys/fs.ts";
import { chance, machineClock, networkFetch, runProgram } from "#sys/network.ts";
import { listDirectory } from "#sys/small-files.ts";

/** What decides how registries are reached. */
export interface RegistryAccess {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly userId: number;
  /** The network; the runtime's own fetch() unless told. */
  readonly fetch?: Fetch;
}

/** How one command uses them. */
export interface RegistryUse {
  /** Take any certificate, and http where there is no https. */
  readonly insecure?: boolean;
  /** Told of warnings and of pauses before another attempt, as sentences. */
  readonly onNotice?: (text: string) => void;
}

const maxFileBytes = 4 << 20;

/** Opens the registries. Nothing is read before it is needed. */
export function openRegistries(access: RegistryAccess, { insecure, onNotice }: RegistryUse): Registries {
  const places = placesOf(access);
  return new Registries({
    fetch: access.fetch ?? networkFetch,
    clock: machineClock,
    random: chance,
    environment: access.environment,
    files: { readFile: readIfThere, listDirectory: (path) => Promise.resolve(listDirectory(path)) },
    credentials: { files: places.credentials, readFile: readIfThere, runHelper },
    settingsFiles: places.settings,
    certificateDirectories: places.certificates,
    userAgent: "gantry",
    ...(insecure === undefined ? {} : { insecure }),
    ...(onNotice === undefined
      ? {}
      : {
          onWarning: onNotice,
          onRetry: (reason, delayMs) => onNotice(`${reason}; trying again in ${(delayMs / 1000).toFixed(1)} s`),
        }),
  });
}

/** The files and directories that are read, in their order. */
export interface AccessPlaces {
  readonly credentials: readonly string[];
  /** Where a login goes that no file has yet. */
  readonly newLogin: string;
  readonly settings: readonly string[];
  readonly certificates: readonly string[];
}

/** Finds the places, as docker, podman and skopeo do. @see checklist A5, A6 */
export function placesOf({ environment, userId }: RegistryAccess): AccessPlaces {
  // SECURITY: an empty variable is one that was not set. As a path it would be the current directory, whose files are anybody's.
  const told = (name: string): string | undefined => environment[name] || undefined;
  // The XDG base directory specification: relative ones are ignored.
  const directory = (name: string): string | undefined => (told(name)?.startsWith("/") === true ? told(name) : undefined);
  const home = directory("HOME") ?? accountHome();
  const config = directory("XDG_CONFIG_HOME") ?? join(home, ".config");
  const docker = join(told("DOCKER_CONFIG") ?? join(home, ".docker"), "config.json");
  const runtime = directory("XDG_RUNTIME_DIR");
  const containers = runtime === undefined ? join("/run/containers", String(userId)) : join(runtime, "containers");
  const authFile = told("REGISTRY_AUTH_FILE");
  const settings = told("GANTRY_REGISTRIES");
  return {
    credentials: authFile === undefined ? [join(containers, "auth.json"), join(config, "containers", "auth.json"), docker] : [authFile],
    newLogin: authFile ?? docker,
    settings: settings === undefined ? [join(config, "gantry", "registries.json"), "/etc/gantry/registries.json"] : [settings],
    certificates: [join(config, "containers", "certs.d"), "/etc/containers/certs.d", "/etc/docker/certs.d"],
  };
}

/** The home of the account; the root directory for a user without one, as docker has it. */
function accountHome(): string {
  try {
    return userInfo().homedir;
  } catch {
    return "/";
  }
}

/** The content of a file; undefined when there is none, or one that we may not read. */
export async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFileBounded(path, maxFileBytes);
  } catch (error) {
    if ((error instanceof CodedError && error.code === "not-found") || isErrno(error, "EACCES") || isErrno(error, "ENOTDIR"))
      return undefined;
    throw error;
  }
}

/** Runs a credential helper. Its words on failure go into the details: some of them mean "there are none". */
export const runHelper: RunHelper = async (name, action, input) => {
  const program = `docker-credential-${name}`;
  const { code, stdout, stderr } = await runProgram(program, [action], input);
  if (code === 0) return stdout;
  const output = (stdout.trim() || stderr.trim()).slice(0, 500);
  throw new CodedError("unavailable", `cannot ask ${program} to ${action} credentials: ${output || `it ends with ${code}`}`, {
    details: { output },
  });
};
