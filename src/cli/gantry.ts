/** The `gantry` command: picks the command, and turns errors into one line and an exit code. */
import { CodedError, describeSystemError, isSystemError } from "#base/errors.ts";
import { checkOperands, parseArguments, UsageError } from "./arguments.ts";
import { type Command, type OptionSpec, type ParsedArguments, valueOf } from "./command.ts";
import type { CliContext } from "./context.ts";
import { formatCommandHelp, formatProgramHelp, type ProgramHelp } from "./help.ts";
import { nearest } from "./nearest.ts";
import { type Output, printable } from "./output.ts";
import { commandNames, findCommand, loadCommands } from "./registry.ts";

const globalOptions: readonly OptionSpec[] = [
  { name: "root", value: "DIR", help: "where all state is kept (or GANTRY_ROOT)" },
  { name: "help", short: "h", help: "print help" },
  { name: "version", short: "V", help: "print the version" },
];

const programHelp: ProgramHelp = { program: "gantry", summary: "Gantry runs OCI containers.", options: globalOptions };

/** What the composition root gives: the context needs the root directory that the command line may name. */
export interface GantryProgram {
  readonly output: Output;
  readonly version: string;
  readonly makeContext: (root: string | undefined) => CliContext;
}

/** Exit code when gantry itself fails, as docker and podman have it for `run`; other commands use 1. */
const ownFailure = 125;

/** Runs the command line `words` (without the program). Resolves with the exit code; never throws. */
export async function runGantry(words: readonly string[], program: GantryProgram): Promise<number> {
  const { output } = program;
  let command: Command<CliContext> | undefined;
  try {
    if (words[0] === "__complete") return await printCandidates(words.slice(1), program);
    const global = parseArguments(words, { options: globalOptions, stopAtOperand: true });
    const [name, ...rest] = global.operands;
    if (global.switches.has("version") || name === "version") {
      output.write(`gantry ${program.version}\n`);
      return 0;
    }
    if (name === undefined || name === "help") return await printHelp(rest[0], output);
    command = await findCommand(name);
    if (command === undefined) throw unknownCommand(name);
    const parsed = parseArguments(rest, { ...command, options: [...command.options, ...globalOptions] });
    if (global.switches.has("help") || parsed.switches.has("help")) return await printHelp(name, output);
    checkOperands(parsed.operands, command);
    return await command.run(program.makeContext(rootOf(global, parsed)), parsed);
  } catch (error) {
    return report(error, command, output);
  }
}

function rootOf(global: ParsedArguments, parsed: ParsedArguments): string | undefined {
  const root = valueOf(parsed, "root") ?? valueOf(global, "root");
  if (root === "") throw new UsageError("option --root is empty");
  return root;
}

async function printHelp(name: string | undefined, output: Output): Promise<number> {
  if (name === undefined) {
    output.write(formatProgramHelp(programHelp, await loadCommands()));
    return 0;
  }
  const command = await findCommand(name);
  if (command === undefined) throw unknownCommand(name);
  output.write(formatCommandHelp(programHelp, command));
  return 0;
}

function unknownCommand(name: string): UsageError {
  const guess = nearest(name, commandNames);
  return new UsageError(`unknown command ${JSON.stringify(name)}${guess === undefined ? "" : ` (did you mean ${guess}?)`}`);
}

function report(error: unknown, command: Command<CliContext> | undefined, output: Output): number {
  const isRun = command?.name === "run";
  if (error instanceof UsageError) {
    const hint = command === undefined ? "gantry --help" : `gantry ${command.name} --help`;
    output.writeError(`gantry: ${printable(error.message)}\nTry "${hint}".\n`);
    return isRun ? ownFailure : 2;
  }
  if (error instanceof CodedError) {
    output.writeError(`gantry: ${printable(error.message)}\n`);
    const exitCode = error.details["exitCode"];
    if (isRun && typeof exitCode === "number") return exitCode;
    return isRun ? ownFailure : 1;
  }
  if (isSystemError(error)) {
    output.writeError(`gantry: ${printable(describeSystemError(error))}${hintFor(error.code)}\n`);
    return isRun ? ownFailure : 1;
  }
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  output.writeError(`gantry: internal error: ${trace.split("\n").map(printable).join("\n")}\n`);
  return isRun ? ownFailure : 1;
}

/** What helps against an error of the system. */
function hintFor(code: string | undefined): string {
  if (code === "EACCES" || code === "EPERM") return "; are you root, or is --root another user's?";
  if (code === "ENOSPC" || code === "EDQUOT") return "; gantry prune frees what nothing needs";
  return "";
}

/** `--root` on a command line that is still being typed. */
function rootIn(words: readonly string[]): string | undefined {
  const at = words.findLastIndex((word) => word === "--root" || word.startsWith("--root="));
  const word = words[at];
  return word === "--root" ? words[at + 1] : word?.slice("--root=".length);
}

async function printCandidates(words: readonly string[], program: GantryProgram): Promise<number> {
  const engine = (): ReturnType<CliContext["engine"]> => program.makeContext(rootIn(words)).engine();
  const { complete } = await import("./completion.ts");
  const candidates = await complete(words, {
    commands: await loadCommands(),
    globalOptions,
    sources: {
      images: async () => (await engine().listImages()).flatMap((image) => image.name ?? []),
      containers: async () => (await engine().listContainers()).map((container) => container.record.name),
    },
  });
  program.output.write(candidates.map((candidate) => `${candidate}\n`).join(""));
  return 0;
}
