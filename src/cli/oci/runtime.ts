/** The `gantry-runtime` command line, in runc's spelling. Each command is a program for the executor. */
import { CodedError } from "#base/errors.ts";
import { encodeProgram } from "#program/encode.ts";
import { checkOperands, parseArguments, type ParseRules, UsageError } from "../arguments.ts";
import { type CommandShape, type OptionSpec, type ParsedArguments, valueOf } from "../command.ts";
import { formatCommandHelp, formatProgramHelp, type ProgramHelp } from "../help.ts";
import { printable } from "../output.ts";
import type { ProgramCommand, RuntimeContext, RuntimeProgram } from "./context.ts";
import { createCommand, runCommand } from "./create.ts";
import { deleteCommand, killCommand, startCommand, stateCommand } from "./lifecycle-commands.ts";

const globalOptions: readonly OptionSpec[] = [
  { name: "root", value: "DIR", help: "directory of the containers' state" },
  { name: "log", value: "FILE", help: "append errors to this file as well" },
  { name: "log-format", value: "FORMAT", choices: ["text", "json"], help: "how errors are written" },
  { name: "debug", help: "accepted for runc's callers" },
  { name: "systemd-cgroup", help: "not supported yet" },
  { name: "rootless", value: "BOOL", help: "accepted for runc's callers" },
  { name: "help", short: "h", help: "print help" },
  { name: "version", short: "v", help: "print the version" },
];

/** What the executor became after a failed op: `__failed INDEX ERRNO WORD...`. Compiles once more and says what it was. */
async function describe(words: readonly string[], program: RuntimeProgram): Promise<never> {
  const [opIndex, errno, ...rest] = words;
  const failure = { opIndex: Number(opIndex), errno: Number(errno) };
  const { global, command, parsed } = readWords(rest);
  if (command === undefined) throw new UsageError(`unknown command ${JSON.stringify(global.operands[0])}`);
  const context = { program, global, warn: () => undefined };
  const compiled = command.compile(context, parsed);
  if (command.describe !== undefined) throw command.describe(context, parsed, { program: compiled, ...failure });
  const { describeFailure } = await import("#runtime/describe-failure.ts");
  throw describeFailure(compiled, failure);
}

/** A command line taken apart: what stands before the command's name, the command, what follows. */
function readWords(words: readonly string[]): { global: ParsedArguments; command: ProgramCommand | undefined; parsed: ParsedArguments } {
  const global = parseArguments(words, globalRules);
  const command = commands.find(({ name }) => name === global.operands[0]);
  return { global, command, parsed: command === undefined ? nothing : parseArguments(global.operands.slice(1), rulesOf(command)) };
}

const nothing: ParsedArguments = { switches: new Set(), values: new Map(), operands: [] };
const globalRules: ParseRules = { options: globalOptions, stopAtOperand: true, singleDashNames: true };

function rulesOf(command: CommandShape): ParseRules {
  return { options: [...command.options, { name: "help", short: "h", help: "print help" }], singleDashNames: true };
}

const commands: readonly ProgramCommand[] = [createCommand, startCommand, stateCommand, killCommand, deleteCommand, runCommand];
const help: ProgramHelp = { program: "gantry-runtime", summary: "gantry-runtime runs containers of OCI bundles.", options: globalOptions };

/** Runs the command line `words`. Resolves with the exit code; never throws. */
export async function runRuntime(words: readonly string[], program: RuntimeProgram): Promise<number> {
  let global = nothing;
  try {
    if (words[0] === "__failed") {
      global = parseArguments(words.slice(3), globalRules);
      await describe(words.slice(1), program);
    }
    global = parseArguments(words, globalRules);
    const [name, ...rest] = global.operands;
    if (global.switches.has("version")) {
      program.write(`gantry-runtime version ${program.version}\nspec: 1.3.0\n`);
      return 0;
    }
    if (name === undefined || name === "help" || global.switches.has("help")) {
      program.write(formatProgramHelp(help, commands));
      return 0;
    }
    const command = commands.find((candidate) => candidate.name === name);
    if (command === undefined) throw new UsageError(`unknown command ${JSON.stringify(name)}`);
    const parsed = parseArguments(rest, rulesOf(command));
    if (parsed.switches.has("help")) {
      program.write(formatCommandHelp(help, command));
      return 0;
    }
    checkOperands(parsed.operands, command);
    const warn = (sentence: string): void => {
      log({ program, global }, "warning", sentence);
    };
    program.deliver(encodeProgram(command.compile({ program, global, warn }, parsed)));
    return 0;
  } catch (error) {
    const message =
      error instanceof CodedError
        ? error.message
        : `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    log({ program, global }, "error", message);
    // As runc: the code of a failure of the runtime itself is 1, whatever the reason.
    return 1;
  }
}

/** Callers such as containerd read the last error from the log file and show its text. */
function log({ program, global }: Pick<RuntimeContext, "program" | "global">, level: "error" | "warning", message: string): void {
  const time = new Date(program.now()).toISOString();
  const line =
    valueOf(global, "log-format") === "json"
      ? JSON.stringify({ level, msg: message, time })
      : `time="${time}" level=${level} msg=${JSON.stringify(message)}`;
  const path = valueOf(global, "log");
  if (path !== undefined) program.appendLog(path, `${line}\n`);
  // Callers show what is on standard error to users, who can do nothing about a warning; the log file has it.
  if (level === "warning" && !global.switches.has("debug")) return;
  program.writeError(`gantry-runtime: ${level === "warning" ? "warning: " : ""}${printable(message)}\n`);
}
