/**
 * Answers a registry's challenges: anonymous first, then with what we have for this registry and for nobody else.
 *
 * One authenticator belongs to one registry. Its credentials go to that registry and to the realm that this registry names in a
 * challenge of its own; a host that a redirect or a layer's URL leads to is never answered (CVE-2020-15157).
 *
 * @see checklist A1 to A7; https token authentication of distribution ("token", "oauth")
 */
import { CodedError } from "#base/errors.ts";
import { parseJson, type JsonObject } from "#base/json.ts";
import { parseChallenges, type Challenge } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";
import { foreignText, maxErrorBytes, refusedError } from "./errors.ts";
import type { Clock } from "./ports.ts";
import { isLoopback, reachOf } from "./proxy.ts";
import type { HttpResponse, Transport } from "./transport.ts";

/** What an authenticator is for and may use. */
export interface AuthOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** The registry's address: only its own challenges are answered. */
  readonly registry: URL;
  /** Host and port as people know the registry. */
  readonly name: string;
  /** Asked once, and only when the registry wants to know. */
  readonly credentials: () => Promise<Credentials | undefined>;
}

/** Answers of realms are read up to here; a token that fills a header is refused long before. */
const maxTokenAnswerBytes = 1 << 20;
const maxTokenLength = 64 << 10;
/** A2: a token without a lifetime has this one. */
const defaultLifetimeSeconds = 60;
const longestLifetimeSeconds = 24 * 3600;
const clientId = "gantry";

interface Token {
  readonly authorization: string;
  readonly expiresAtMs: number;
}

/** Makes the Authorization header of requests to one registry. */
export class Authenticator {
  readonly #options: AuthOptions;
  readonly #tokens = new Map<string, Promise<Token>>();
  #credentials: Promise<Credentials | undefined> | undefined;
  #isAuthenticated = false;
  /** What the registry asked for last; later requests need not be refused first. */
  #challenge: Challenge | undefined;

  constructor(options: AuthOptions) {
    this.#options = options;
  }

  /** Whether credentials went into an answer: nobody is asked for them only to say so. */
  get isAuthenticated(): boolean {
    return this.#isAuthenticated;
  }

  /** The header for a request that needs `scopes` (`repository:team/app:pull`); undefined while the registry has asked for nothing. */
  async authorization(scopes: readonly string[]): Promise<string | undefined> {
    return this.#challenge === undefined ? undefined : this.#authorize(this.#challenge, scopes);
  }

  /**
   * The header after `response`, which is a 401 to a request that had `used`; undefined when there is none to try.
   *
   * @throws CodedError `permission-denied` when the realm refuses; `invalid-spec` for a realm that must not be trusted.
   */
  async answer(response: HttpResponse, scopes: readonly string[], used: string | undefined): Promise<string | undefined> {
    if (new URL(response.url).origin !== this.#options.registry.origin) return undefined;
    const challenge = chooseChallenge(parseChallenges(response.header("www-authenticate") ?? ""));
    if (challenge === undefined) return undefined;
    this.#challenge = challenge;
    if (used !== undefined) this.#tokens.delete(keyOf(challenge, allScopes(challenge, scopes)));
    const next = await this.#authorize(challenge, scopes);
    return next === used ? undefined : next;
  }

  async #authorize(challenge: Challenge, scopes: readonly string[]): Promise<string | undefined> {
    const credentials = await this.#findCredentials();
    this.#isAuthenticated = credentials !== undefined;
    if (credentials?.kind === "registry-token") return bearer(credentials.token, this.#options.name);
    if (challenge.scheme === "basic") return credentials?.kind === "basic" ? basicHeader(credentials) : undefined;
    return (await this.#token(challenge, allScopes(challenge, scopes), credentials)).authorization;
  }

  /** A token of the cache, or a new one; those who want the same one wait for it together. */
  async #token(challenge: Challenge, scopes: readonly string[], credentials: Credentials | undefined): Promise<Token> {
    const key = keyOf(challenge, scopes);
    const cached = this.#tokens.get(key);
    if (cached !== undefined) {
      const token = await cached.catch(() => undefined);
      if (token !== undefined && token.expiresAtMs > this.#options.clock.now()) return token;
      if (this.#tokens.get(key) === cached) this.#tokens.delete(key);
    }
    const wanted = this.#tokens.get(key) ?? this.#fetchToken(challenge, scopes, credentials);
    this.#tokens.set(key, wanted);
    return wanted;
  }

  async #fetchToken(challenge: Challenge, scopes: readonly string[], credentials: Credentials | undefined): Promise<Token> {
    const realm = requireRealm(challenge, this.#options);
    const request = { realm, service: challenge.parameters.get("service"), scopes };
    if (credentials?.kind === "identity-token") {
      const exchanged = await this.#exchange({ ...request, grant: { grant_type: "refresh_token", refresh_token: credentials.token } });
      if (exchanged.status === 200) return this.#readToken(exchanged, realm);
      throw await this.#refused(exchanged, true);
    }
    const basic = credentials?.kind === "basic" ? credentials : undefined;
    const response = await this.#get(request, basic === undefined ? undefined : basicHeader(basic));
    if (response.status === 200) return this.#readToken(response, realm);
    // A3: realms that know only the other form.
    if ((response.status === 404 || response.status === 405) && basic !== undefined) {
      await response.discard();
      const grant = { grant_type: "password", username: basic.username, password: basic.password };
      const exchanged = await this.#exchange({ ...request, grant });
      if (exchanged.status === 200) return this.#readToken(exchanged, realm);
      throw await this.#refused(exchanged, true);
    }
    // Stale credentials must not keep anybody from what everybody may have.
    if (response.status === 401 && basic !== undefined && scopes.length > 0 && scopes.every((scope) => scope.endsWith(":pull"))) {
      const anonymous = await this.#get(request, undefined);
      if (anonymous.status === 200) {
        await response.discard();
        return this.#readToken(anonymous, realm);
      }
      await anonymous.discard();
    }
    throw await this.#refused(response, basic !== undefined);
  }

  #get({ realm, service, scopes }: TokenRequest, authorization: string | undefined): Promise<HttpResponse> {
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set("service", service);
    for (const scope of scopes) url.searchParams.append("scope", scope);
    return this.#options.transport.send({ method: "GET", url: url.href, authorization, doing: this.#doing, isRepeatable: true });
  }

  #exchange({ realm, service, scopes, grant }: TokenRequest & { grant: Readonly<Record<string, string>> }): Promise<HttpResponse> {
    const form = new URLSearchParams({ ...grant, client_id: clientId, ...(service === undefined ? {} : { service }) });
    if (scopes.length > 0) form.set("scope", scopes.join(" "));
    return this.#options.transport.send({
      method: "POST",
      url: realm.href,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: Buffer.from(form.toString()),
      doing: this.#doing,
      isRepeatable: true,
    });
  }

  async #readToken(response: HttpResponse, realm: URL): Promise<Token> {
    const bytes = await response.bytes(maxTokenAnswerBytes);
    const answer = parseJson(bytes, `the token of ${realm.host}`, { maxBytes: maxTokenAnswerBytes });
    const object = typeof answer === "object" && answer !== null && !Array.isArray(answer) ? (answer as JsonObject) : {};
    const token = [object["token"], object["access_token"]].find((value) => typeof value === "string" && value !== "");
    if (typeof token !== "string") throw new CodedError("invalid-spec", `cannot ${this.#doing}: ${realm.host} answers without a token`);
    const lifetime = object["expires_in"];
    const seconds = typeof lifetime === "number" && lifetime > 0 ? Math.min(lifetime, longestLifetimeSeconds) : defaultLifetimeSeconds;
    // A tenth earlier, so that none expires on the way.
    return { authorization: bearer(token, realm.host), expiresAtMs: this.#options.clock.now() + seconds * 900 };
  }

  async #refused(response: HttpResponse, authenticated: boolean): Promise<CodedError> {
    const body = await response.bytes(maxErrorBytes).catch(() => new Uint8Array());
    const { name: registry, clock } = this.#options;
    const { status, header } = response;
    return refusedError({ doing: this.#doing, registry, status, header, body, nowMs: clock.now(), authenticated });
  }

  get #doing(): string {
    return `get a token for ${this.#options.name}`;
  }

  #findCredentials(): Promise<Credentials | undefined> {
    this.#credentials ??= this.#options.credentials();
    return this.#credentials;
  }
}

interface TokenRequest {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
}

/** Bearer before Basic: a token opens less than a password. */
function chooseChallenge(challenges: readonly Challenge[]): Challenge | undefined {
  return (
    challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters.has("realm")) ??
    challenges.find(({ scheme }) => scheme === "basic")
  );
}

/** What we need and what the registry says that it needs. */
function allScopes({ parameters }: Challenge, scopes: readonly string[]): string[] {
  const asked = (parameters.get("scope") ?? "").split(" ").filter((scope) => scope !== "");
  const others = asked.filter((scope) => !scopes.some((own) => covers(own, scope)));
  return [...scopes, ...others].toSorted();
}

/** `repository:a:pull,push` covers `repository:a:pull`. */
function covers(own: string, asked: string): boolean {
  const [ownResource, ownActions] = splitScope(own);
  const [resource, actions] = splitScope(asked);
  return ownResource === resource && actions.every((action) => ownActions.includes(action));
}

function splitScope(scope: string): [resource: string, actions: readonly string[]] {
  const colon = scope.lastIndexOf(":");
  return [scope.slice(0, colon), scope.slice(colon + 1).split(",")];
}

function keyOf({ parameters }: Challenge, scopes: readonly string[]): string {
  return JSON.stringify([parameters.get("realm"), parameters.get("service"), ...scopes]);
}

/**
 * A7: where passwords may go: to an https address, or to http when the registry itself is talked to by http, in which case nothing is secret
 * on this wire anyway.
 */
function requireRealm({ parameters }: Challenge, { registry, name }: AuthOptions): URL {
  const text = parameters.get("realm") ?? "";
  const refused = (fact: string): CodedError =>
    new CodedError("invalid-spec", `cannot get a token for ${name}: its realm ${JSON.stringify(foreignText(text))} ${fact}`);
  if (!URL.canParse(text)) throw refused("is no URL");
  const realm = new URL(text);
  if (realm.protocol !== "https:" && !(realm.protocol === "http:" && registry.protocol === "http:"))
    throw refused("is not an https address, and credentials go to no other");
  if (!mayNameRealm(registry.hostname, realm.hostname)) throw refused("is an address that only this machine or its network knows");
  if (realm.username !== "" || realm.password !== "") throw refused("holds a user name or password");
  realm.hash = "";
  return realm;
}

/**
 * SECURITY: CVE-2026-48978: a registry of the world must not have us ask what only we can reach, such as the address where a cloud tells a
 * machine its secrets: the answer would be sent to it as a token. A registry of the same network may name an address there.
 */
function mayNameRealm(registry: string, realm: string): boolean {
  const reach = reachOf(realm);
  if (reach === "world" || registry === realm) return true;
  return reach === "site" ? reachOf(registry) !== "world" : isLoopback(registry) && isLoopback(realm);
}

function basicHeader({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** A token is one word of a header: what could end the header or the line is refused. */
function bearer(token: string, origin: string): string {
  if (token.length > maxTokenLength || !/^[\x21-\x7e]+$/.test(token))
    throw new CodedError("invalid-spec", `cannot use the token of ${origin}: it is not a word of at most ${maxTokenLength} characters`);
  return `Bearer ${token}`;
}
