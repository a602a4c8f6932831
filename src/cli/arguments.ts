/** Command lines to options and operands, by a command's own table. */
import { CodedError } from "#base/errors.ts";
import type { OptionSpec, ParsedArguments } from "./command.ts";
import { nearest } from "./nearest.ts";

/** How a command line is read. */
export interface ParseRules {
  readonly options: readonly OptionSpec[];
  readonly stopAtOperand?: boolean;
  /**
   * Reads `-name` as `--name` and words mistakes as Go's flag package does: OCI runtimes are called so, and callers look for
   * "flag needs an argument" (podman, before it asks for a restore).
   */
  readonly isGoStyle?: boolean;
}

/** A command line that does not fit its command. */
export class UsageError extends CodedError {
  constructor(message: string) {
    super("invalid-argument", message);
  }
}

/** Parses `words` (without program and command name); how many operands there are is `checkOperands`' to judge. @throws UsageError */
export function parseArguments(words: readonly string[], rules: ParseRules): ParsedArguments {
  return new ArgumentReader(words, rules).read();
}

/** @throws UsageError unless the number of operands lies within the bounds */
export function checkOperands(operands: readonly string[], bounds: { readonly minOperands: number; readonly maxOperands: number }): void {
  const count = operands.length;
  if (count < bounds.minOperands)
    throw new UsageError(count === 0 ? "an argument is missing" : `${count} argument(s) given, at least ${bounds.minOperands} needed`);
  if (count > bounds.maxOperands) throw new UsageError(`unexpected argument ${quote(operands[bounds.maxOperands] ?? "")}`);
}

class ArgumentReader {
  readonly #switches = new Set<string>();
  readonly #values = new Map<string, string[]>();
  readonly #operands: string[] = [];
  readonly #words: readonly string[];
  readonly #rules: ParseRules;
  #at = 0;

  constructor(words: readonly string[], rules: ParseRules) {
    this.#words = words;
    this.#rules = rules;
  }

  read(): ParsedArguments {
    while (this.#at < this.#words.length) {
      const word = this.#words[this.#at++] ?? "";
      if (word === "--") {
        this.#operands.push(...this.#words.slice(this.#at));
        break;
      }
      if (word.startsWith("--") || this.#isGoName(word)) this.#long(word.replace(/^--?/, ""));
      else if (word.startsWith("-") && word.length > 1) this.#short(word.slice(1));
      else {
        this.#operands.push(word);
        if (this.#rules.stopAtOperand === true) {
          this.#operands.push(...this.#words.slice(this.#at));
          break;
        }
      }
    }
    return { switches: this.#switches, values: this.#values, operands: this.#operands };
  }

  #isGoName(word: string): boolean {
    const name = /^-([a-z][a-z0-9-]+)(?:=|$)/.exec(word)?.[1];
    return this.#rules.isGoStyle === true && this.#rules.options.some((option) => option.name === name);
  }

  #long(word: string): void {
    const equals = word.indexOf("=");
    const name = equals < 0 ? word : word.slice(0, equals);
    const option = this.#rules.options.find((candidate) => candidate.name === name);
    if (option === undefined) throw this.#unknown(name);
    this.#take(option, equals < 0 ? undefined : word.slice(equals + 1), `--${name}`);
  }

  #short(letters: string): void {
    for (let at = 0; at < letters.length; at++) {
      const letter = letters[at] ?? "";
      const option = this.#rules.options.find((candidate) => candidate.short === letter || candidate.secondShort === letter);
      if (option === undefined)
        throw new UsageError(this.#rules.isGoStyle === true ? `flag provided but not defined: -${letters}` : `unknown option -${letter}`);
      if (option.value === undefined) {
        this.#take(option, undefined, `-${letter}`);
        continue;
      }
      const rest = letters.slice(at + 1).replace(/^=/, "");
      this.#take(option, rest === "" ? undefined : rest, `-${letter}`);
      return;
    }
  }

  #take(option: OptionSpec, given: string | undefined, shown: string): void {
    if (option.value === undefined) {
      if (given !== undefined && given !== "true" && given !== "false") throw new UsageError(`option ${shown} takes no value`);
      if (given === "false") this.#switches.delete(option.name);
      else this.#switches.add(option.name);
      return;
    }
    const value = given ?? this.#words[this.#at++];
    if (value === undefined)
      throw new UsageError(
        this.#rules.isGoStyle === true ? `flag needs an argument: ${shown}` : `option ${shown} needs a value: ${shown} ${option.value}`,
      );
    if (option.choices !== undefined && !option.choices.includes(value)) {
      throw new UsageError(`option ${shown} is ${quote(value)}, not one of ${option.choices.join(", ")}`);
    }
    const before = this.#values.get(option.name);
    if (before === undefined) this.#values.set(option.name, [value]);
    else before.push(value);
  }

  #unknown(name: string): UsageError {
    const guess = nearest(
      name,
      this.#rules.options.map((option) => option.name),
    );
    const what = this.#rules.isGoStyle === true ? `flag provided but not defined: -${name}` : `unknown option --${name}`;
    return new UsageError(`${what}${guess === undefined ? "" : ` (did you mean --${guess}?)`}`);
  }
}

function quote(text: string): string {
  return JSON.stringify(text);
}
