/**
 * The normal form of a request to make a container: its words and its config.json with every name that was made up for one
 * container taken out, so that the next container of the same kind has the same form. executor/normal.c does the same, byte for
 * byte, and tells which texts are names.
 */

/** A call of `create` or `run` as far as it shapes the program. Texts that were not given are empty. */
export interface CallWords {
  readonly verb: "create" | "run";
  /** One letter for each switch, in the order given. @see executor/call.c */
  readonly switches: string;
  /** Whether somebody would be told of warnings. */
  readonly isTold: boolean;
  /** The directory of all containers' state, as given or by default. */
  readonly root: string;
  readonly preservedFds: string;
  readonly pidFile: string;
  readonly consoleSocket: string;
  /** Canonical path of the bundle. */
  readonly bundle: string;
}

/** A request in its normal form. All texts are bytes, written as latin1. */
export interface NormalForm {
  readonly form: string;
  /** The names that were taken out: the container's id, its first 12 digits (perhaps empty), then the others in order. */
  readonly names: readonly string[];
}

const nameLimit = 24;
const formLimitBytes = 512 << 10;
const shortIdLength = 12;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])/;
/** RFC 3339; engines write down when they have made a container. */
const time = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})/;

/** The normal form of a request; undefined when it has none. `config` is the text of config.json. */
export function normalForm(words: CallWords, id: string, config: string): NormalForm | undefined {
  const normalizer = new Normalizer(id);
  const { verb, switches, isTold, root, preservedFds, pidFile, consoleSocket, bundle } = words;
  for (const word of [verb, switches, isTold ? "told" : "", root, preservedFds, pidFile, consoleSocket, bundle])
    normalizer.word(Buffer.from(word).toString("latin1"));
  normalizer.text(config, true);
  return normalizer.take();
}

/** Takes the names out of texts, one after the other. */
export class Normalizer {
  readonly #names: string[];
  #form: string;
  #isUsable = true;

  constructor(id: string) {
    const hasShort = /^[0-9a-f]{64}$/.test(id) && /[a-f]/.test(id.slice(0, shortIdLength));
    this.#names = [id, hasShort ? id.slice(0, shortIdLength) : ""];
    this.#form = this.#marker(0);
  }

  /** Adds a word, with a NUL after it. */
  word(word: string): void {
    this.text(word, false);
    this.#form += "\0";
  }

  /** Adds a text. In JSON, names are looked for in strings only. */
  text(text: string, isJson: boolean): void {
    if (text.includes("\u0001")) this.#isUsable = false;
    const form: string[] = [];
    // What is between the places where something may happen is copied as it is.
    const place = isJson ? /"|\\u?|[0-9a-f]+/g : /[0-9a-f]+/g;
    let inString = !isJson;
    let copied = 0;
    for (let match = place.exec(text); match !== null; match = place.exec(text)) {
      const [found] = match;
      if (found === '"') inString = !inString;
      else if (found.startsWith("\\")) {
        if (inString) place.lastIndex = match.index + (found === "\\u" ? 6 : 2);
        // Out of a string it is no JSON; the letter after it begins a run of its own.
        else place.lastIndex = match.index + 1;
      } else if (inString) {
        const name = this.#nameAt(text, match.index, found);
        const marker = name === "" ? undefined : this.#find(name);
        if (marker === undefined) continue;
        form.push(text.slice(copied, match.index), marker);
        copied = match.index + name.length;
        place.lastIndex = copied;
      }
    }
    form.push(text.slice(copied));
    this.#form += form.join("");
  }

  /** What was added; undefined when it has no normal form. */
  take(): NormalForm | undefined {
    return this.#isUsable && this.#form.length <= formLimitBytes ? { form: this.#form, names: this.#names } : undefined;
  }

  #nameAt(text: string, at: number, run: string): string {
    if (run.length === 4) return time.exec(text.slice(at, at + 35))?.[0] ?? "";
    if (run.length === 8) {
      const name = uuid.exec(text.slice(at, at + 37))?.[0] ?? "";
      return /[a-f]/.test(name) ? name : "";
    }
    if (run.length === shortIdLength) return run === this.#names[1] ? run : "";
    return (run.length === 64 || run.length === 32) && /[a-f]/.test(run) ? run : "";
  }

  #find(name: string): string | undefined {
    const known = this.#names.indexOf(name);
    if (known >= 0) return this.#marker(known);
    if (this.#names.length === nameLimit) return undefined;
    this.#names.push(name);
    return this.#marker(this.#names.length - 1);
  }

  #marker(number: number): string {
    return String.fromCharCode(1, number, this.#names[number]?.length ?? 0);
  }
}

/** A normal form (or part of one) as text, with `names` where names go. */
export function expand(form: string, names: readonly string[]): string {
  // oxlint-disable-next-line no-control-regex -- the byte 1 is what stands for a name
  return form.replace(/\u0001([^])[^]/g, (_, number: string) => names[number.charCodeAt(0)] ?? "");
}

/** Other names of the same shapes, which differ from the given ones in every letter and digit. */
export function otherNames(names: readonly string[]): string[] {
  return names.map((name, number) => (number === 0 && !/^[0-9a-f]+$/.test(name) ? otherId(name) : otherDigits(name)));
}

function otherDigits(name: string): string {
  return name.replace(/[0-9a-f]/g, (digit) => rotate(digit, digit < "a" ? "0123456789" : "abcdef"));
}

function otherId(id: string): string {
  return id.replace(/[^]/g, (letter) => alphabets.map((one) => (one.includes(letter) ? rotate(letter, one) : "")).join("") || letter);
}

const alphabets = ["0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "_+", ".-"];

function rotate(letter: string, alphabet: string): string {
  return alphabet.charAt((alphabet.indexOf(letter) + 1) % alphabet.length);
}
