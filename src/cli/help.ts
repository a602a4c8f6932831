/** Help texts, made from the command tables. */
import type { CommandShape, OptionSpec } from "./command.ts";

/** What a program's help opens with. */
export interface ProgramHelp {
  readonly program: string;
  readonly summary: string;
  readonly options: readonly OptionSpec[];
}

/** The help of the whole program. */
export function formatProgramHelp(help: ProgramHelp, commands: readonly CommandShape[]): string {
  const rows = commands.map((command): [string, string] => [command.name, command.summary]);
  return [
    help.summary,
    "",
    `Usage: ${help.program} [OPTION...] COMMAND [ARG...]`,
    "",
    "Commands:",
    ...columns(rows),
    "",
    "Options:",
    ...columns(help.options.map(optionRow)),
    "",
    `"${help.program} COMMAND --help" explains a command.`,
    "",
  ].join("\n");
}

/** The help of one command. */
export function formatCommandHelp(help: ProgramHelp, command: CommandShape): string {
  const lines = [`${command.summary}.`, "", `Usage: ${usage(help.program, command)}`];
  if (command.description !== undefined) lines.push("", command.description);
  if (command.options.length > 0) lines.push("", "Options:", ...columns(command.options.map(optionRow)));
  const taken = new Set(command.options.map(({ short }) => short));
  const global = help.options.map((option) => (taken.has(option.short) ? withoutLetter(option) : option));
  lines.push("", "Global options:", ...columns(global.map(optionRow)));
  if (command.examples !== undefined) lines.push("", "Examples:", ...command.examples.map((example) => `  ${example}`));
  return `${lines.join("\n")}\n`;
}

/** The usage line of a command. */
export function usage(program: string, command: CommandShape): string {
  return [program, command.name, command.options.length > 0 ? "[OPTION...]" : "", command.operands].filter((part) => part !== "").join(" ");
}

/** An option whose letter is the command's own. */
function withoutLetter(option: OptionSpec): OptionSpec {
  const { short: _short, ...others } = option;
  return others;
}

function optionRow(option: OptionSpec): [string, string] {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  const value = option.value === undefined ? "" : ` ${option.value}`;
  const choices = option.choices === undefined ? "" : ` (${option.choices.join(", ")})`;
  return [`${short}--${option.name}${value}`, option.help + choices];
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
