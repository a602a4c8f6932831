/** Opens the registry client on a network in memory. */
import { Registries, type RegistriesOptions } from "#image/registry/registries.ts";
import type { FakeNetwork } from "./network.ts";

/** Files by path, and what programs answer, instead of the machine's. */
export interface FakeWorld {
  readonly files?: Readonly<Record<string, string>>;
  readonly helper?: RegistriesOptions["credentials"]["runHelper"];
  readonly options?: Partial<RegistriesOptions>;
}

/** Registries that read `/auth.json`, `/registries.json` and `/certs.d` of `files`. */
export function openRegistries(network: FakeNetwork, { files = {}, helper, options = {} }: FakeWorld = {}): Registries {
  const readFile = async (path: string): Promise<Uint8Array | undefined> => {
    const text = files[path];
    return text === undefined ? undefined : Buffer.from(text);
  };
  const listDirectory = async (path: string): Promise<string[]> =>
    Object.keys(files).flatMap((file) => (file.startsWith(`${path}/`) ? [file.slice(path.length + 1)] : []));
  return new Registries({
    ...network.machine,
    environment: {},
    files: { readFile, listDirectory },
    credentials: { files: ["/auth.json"], readFile, runHelper: helper ?? (() => Promise.reject(new Error("no helper is expected"))) },
    settingsFiles: ["/registries.json"],
    certificateDirectories: ["/certs.d"],
    userAgent: "gantry-test",
    ...options,
  });
}
