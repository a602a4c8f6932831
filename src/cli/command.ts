/** What a command is: data, from which parsing, help and completion are all made. */

/** An option of a command. Without `value` it is a switch. */
export interface OptionSpec {
  /** Long name without dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** Another letter that means the same, for callers that know only that one. */
  readonly secondShort?: string;
  /** What the value is called in help: "DIR". */
  readonly value?: string;
  /** May be given more than once; every value counts. */
  readonly multiple?: boolean;
  /** Values that completion offers and that parsing insists on. */
  readonly choices?: readonly string[];
  readonly help: string;
}

/** Options and arguments as given. */
export interface ParsedArguments {
  readonly switches: ReadonlySet<string>;
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly operands: readonly string[];
}

/** What parsing, help and completion need to know of a command. */
export interface CommandShape {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Operands as the usage line shows them: "IMAGE [COMMAND [ARG...]]". */
  readonly operands: string;
  readonly minOperands: number;
  readonly maxOperands: number;
  /** Options end at the first operand: what follows belongs to the container. */
  readonly stopAtOperand?: boolean;
  readonly options: readonly OptionSpec[];
  /** What completion offers for operands. */
  readonly completes?: "images" | "containers" | "files" | "commands";
  /** Paragraphs below the summary in the command's help. */
  readonly description?: string;
  readonly examples?: readonly string[];
}

/** A command of a program. `Context` is what it needs from outside. */
export interface Command<Context> extends CommandShape {
  /** Resolves with the exit code. */
  readonly run: (context: Context, parsed: ParsedArguments) => Promise<number>;
}

/** The last value of option `name`, or undefined. */
export function valueOf(parsed: ParsedArguments, name: string): string | undefined {
  return parsed.values.get(name)?.at(-1);
}

/** Every value of option `name`, in order. */
export function valuesOf(parsed: ParsedArguments, name: string): readonly string[] {
  return parsed.values.get(name) ?? [];
}
