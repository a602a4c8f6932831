/** What a registry asks for: the challenges of a WWW-Authenticate header. @see RFC 9110 sections 11.3 and 11.6.1 */

/** One challenge. */
export interface Challenge {
  /** `basic`, `bearer` or another scheme, in lower case. */
  readonly scheme: string;
  /** By name in lower case; of twins the first counts. A token68 stands for no parameter. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Longer headers are not looked at: real ones have some hundred bytes. */
const maxHeaderLength = 16 << 10;

const separators = /[ \t,]*/y;
const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const blanks = /[ \t]*/y;
const equals = /[ \t]*=[ \t]*/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;
/** `name =` with a value behind it. */
const parameter = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*=[ \t]*[^=, \t]/y;
const token68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y;

/** All challenges of `header` (several headers joined by commas), as far as they are well-formed: what follows a fault is not read. */
export function parseChallenges(header: string): Challenge[] {
  if (header.length > maxHeaderLength) return [];
  const challenges: Challenge[] = [];
  const scanner = new Scanner(header);
  for (;;) {
    scanner.skip(separators);
    const scheme = scanner.take(token);
    if (scheme === undefined) return challenges;
    const parameters = new Map<string, string>();
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
    if (!readParameters(scanner, parameters)) return challenges;
  }
}

/** Reads parameters up to the next scheme. False when something stands there that is neither. */
function readParameters(scanner: Scanner, parameters: Map<string, string>): boolean {
  scanner.skip(blanks);
  // A token68 such as `Negotiate YWJj==` has no name; `a=` could be one, too, and no scheme of registries has any.
  if (scanner.isAt(token68) && !scanner.isAt(parameter)) {
    scanner.skip(token68);
    return true;
  }
  for (;;) {
    scanner.skip(separators);
    if (scanner.isAtEnd || !scanner.isAt(parameter)) return true;
    const name = scanner.take(token) ?? "";
    scanner.skip(equals);
    const value = scanner.takeQuoted() ?? scanner.take(token);
    if (value === undefined) return false;
    if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
  }
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  isAt(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    return pattern.test(this.#text);
  }

  skip(pattern: RegExp): void {
    this.take(pattern);
  }

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found === "" ? undefined : found;
  }

  /** A string in quotes without them; `\x` stands for x. */
  takeQuoted(): string | undefined {
    quoted.lastIndex = this.#at;
    const match = quoted.exec(this.#text);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return (match[1] ?? "").replace(/\\(.)/gs, "$1");
  }
}
