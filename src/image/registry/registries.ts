/** Opens repositories of registries: puts together address, certificates, credentials and transport, once for each registry. */
import { CodedError } from "#base/errors.ts";
import { formatReference, parseReference, splitName, withDefaultTag, type Reference } from "#spec/reference.ts";
import { Authenticator } from "./auth.ts";
import { RepositoryClient } from "./client.ts";
import { findCredentials, type CredentialSources, type Credentials } from "./credentials.ts";
import type { Machine, TlsSettings } from "./ports.ts";
import { isLoopback, proxyFor, type ProxyEnvironment } from "./proxy.ts";
import { noSettings, parseSettings, plainSettings, readTls, type FilePort, type RegistrySettings, type SettingsFile } from "./settings.ts";
import { Transport } from "./transport.ts";

/** What the machine offers and says about registries. */
export interface RegistriesOptions extends Machine {
  readonly environment: ProxyEnvironment;
  readonly files: FilePort;
  readonly credentials: CredentialSources;
  /** Where a registries.json may be; the first that is there counts. */
  readonly settingsFiles: readonly string[];
  /** Docker's `certs.d` and its kin. */
  readonly certificateDirectories: readonly string[];
  readonly userAgent: string;
  /** Every registry is taken as it comes: by https without a check of its certificate, or by http. */
  readonly insecure?: boolean;
  /** Told what a registry warns of, once each. */
  readonly onWarning?: (text: string) => void;
  /** Told of each pause before another attempt. */
  readonly onRetry?: (reason: string, delayMs: number) => void;
}

/** A registry that can be talked to. */
interface Connection {
  readonly base: URL;
  readonly transport: Transport;
  /** The name under which its credentials are kept. */
  readonly login: string;
}

/** Where a repository is. */
interface RepositoryPlace {
  readonly domain: string | undefined;
  readonly path: string;
  /** The registry that it stands for. */
  readonly namespace?: string;
}

/** All registries, as this process sees them. */
export class Registries {
  readonly #options: RegistriesOptions;
  readonly #connections = new Map<string, Promise<Connection>>();
  readonly #warnings = new Set<string>();
  #settings: Promise<SettingsFile> | undefined;

  constructor(options: RegistriesOptions) {
    this.#options = options;
  }

  /** What `text` means to registries: with a domain, and a tag unless it has a digest. @throws CodedError `invalid-argument` */
  async resolve(text: string): Promise<Reference> {
    const reference = withDefaultTag(parseReference(text));
    if (splitName(reference.name).domain !== undefined) return reference;
    const { defaultRegistry, officialPath } = await this.#readSettings();
    if (defaultRegistry === undefined) {
      throw new CodedError(
        "invalid-argument",
        `cannot tell where ${text} is: it names no registry (registry.example/${formatReference(reference)}), and registries.json has no defaultRegistry`,
      );
    }
    const path = officialPath === undefined || reference.name.includes("/") ? reference.name : `${officialPath}/${reference.name}`;
    return parseReference(formatReference({ ...reference, name: `${defaultRegistry}/${path}` }));
  }

  /** The repository that `name` (with its domain) names. */
  async repository(name: string): Promise<RepositoryClient> {
    const { domain = "", path } = splitName(name);
    return this.#client({ domain, path });
  }

  /** Where `name` is pulled from: its mirrors, then the registry itself. */
  async sources(name: string): Promise<readonly RepositoryClient[]> {
    const { domain = "", path } = splitName(name);
    const file = await this.#readSettings();
    const { mirrors } = this.#settingsFor(file, domain);
    const places = mirrors.map((mirror) => {
      const place = splitName(`${mirror}/${path}`);
      const { pullThrough } = this.#settingsFor(file, place.domain ?? "");
      return { ...place, ...(pullThrough ? { namespace: domain } : {}) };
    });
    return await Promise.all([...places, { domain, path }].map((place) => this.#client(place)));
  }

  /** Checks that the registry answers and, when `credentials` are given, that it takes them. @throws CodedError `permission-denied`, `unavailable` */
  async ping(registry: string, credentials?: Credentials): Promise<void> {
    const client = await this.#client({ domain: registry, path: "" }, credentials);
    await client.ping();
  }

  async #client(place: RepositoryPlace, given?: Credentials): Promise<RepositoryClient> {
    const { domain: registry = "", path, namespace } = place;
    const name = path === "" ? registry : `${registry}/${path}`;
    const { base, transport, login } = await this.#connect(registry);
    const { clock, random, credentials } = this.#options;
    const auth = new Authenticator({
      transport,
      clock,
      registry: base,
      name: registry,
      credentials: () => (given === undefined ? findCredentials(credentials, login, path) : Promise.resolve(given)),
    });
    return new RepositoryClient({
      base,
      path,
      name,
      registry,
      transport,
      auth,
      clock,
      random,
      namespace,
      onWarning: (text) => this.#warn(registry, text),
    });
  }

  #connect(registry: string): Promise<Connection> {
    let connection = this.#connections.get(registry);
    if (connection === undefined) {
      connection = this.#open(registry);
      this.#connections.set(registry, connection);
    }
    return connection;
  }

  async #open(registry: string): Promise<Connection> {
    const file = await this.#readSettings();
    const settings = this.#settingsFor(file, registry);
    const tls = await readTls(this.#options.files, registry, { settings, directories: this.#options.certificateDirectories });
    const host = settings.endpoint ?? registry;
    const transport = this.#makeTransport(host, tls);
    const login = settings.login ?? registry;
    if (settings.plainHttp) return { base: new URL(`http://${host}/`), transport, login };
    const base = new URL(`https://${host}/`);
    // A6: http is a way only where it was asked for, and on this machine, where nobody listens on the way.
    if (!settings.insecure && !isLoopback(base.hostname)) return { base, transport, login };
    return { base: await chooseScheme(transport, base), transport, login };
  }

  /** Certificates belong to the registry alone: what a redirect leads to gets none of its keys, and is checked as everybody is. */
  #makeTransport(host: string, tls: TlsSettings | undefined): Transport {
    const { fetch, clock, random, userAgent, environment, onRetry, insecure } = this.#options;
    const foreign = insecure === true ? { rejectUnauthorized: false } : undefined;
    return new Transport({
      fetch,
      clock,
      random,
      userAgent,
      settingsFor: (url) => {
        const own = url.host === new URL(`${url.protocol}//${host}`).host ? tls : foreign;
        return { proxy: proxyFor(url, environment), ...(own === undefined || url.protocol === "http:" ? {} : { tls: own }) };
      },
      ...(onRetry === undefined ? {} : { onRetry }),
    });
  }

  #settingsFor(file: SettingsFile, registry: string): RegistrySettings {
    const settings = file.registries.get(registry) ?? plainSettings;
    return this.#options.insecure === true ? { ...settings, insecure: true } : settings;
  }

  #readSettings(): Promise<SettingsFile> {
    this.#settings ??= (async (): Promise<SettingsFile> => {
      for (const path of this.#options.settingsFiles) {
        const bytes = await this.#options.files.readFile(path);
        if (bytes !== undefined) return parseSettings(bytes, path);
      }
      return noSettings;
    })();
    return this.#settings;
  }

  #warn(registry: string, text: string): void {
    if (this.#warnings.has(text)) return;
    this.#warnings.add(text);
    this.#options.onWarning?.(`${registry} warns: ${text}`);
  }
}

/** https if the registry speaks it, else http. A certificate that is not trusted is an error, and no reason for http. */
async function chooseScheme(transport: Transport, base: URL): Promise<URL> {
  const plain = new URL(base);
  plain.protocol = "http:";
  const ask = async (url: URL): Promise<boolean> => {
    const response = await transport.send({
      method: "GET",
      url: new URL("v2/", url).href,
      doing: `reach ${base.host}`,
      isRepeatable: false,
    });
    await response.discard();
    return response.status === 200 || response.status === 401;
  };
  try {
    await ask(base);
    return base;
  } catch (error) {
    if (!(error instanceof CodedError) || error.details["reason"] !== "network") throw error;
    const speaksHttp = await ask(plain).catch(() => false);
    if (speaksHttp) return plain;
    throw error;
  }
}
