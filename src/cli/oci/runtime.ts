/** The `gantry-runtime` command line, in runc's spelling: finds the command, runs it, and turns errors into a line and an exit code. */
import { CodedError, describeSystemError, isSystemError } from "#base/errors.ts";
import { encodeProgram } from "#program/encode.ts";
import { describeErrno, errnoName } from "#program/failure.ts";
import { ociRuntimeVersion } from "#spec/oci-version.ts";
import { parseArguments, type ParseRules, UsageError } from "../arguments.ts";
import type { OptionSpec, ParsedArguments } from "../command.ts";
import { formatCommandHelp, formatProgramHelp, type ProgramHelp } from "../help.ts";
import { nearest } from "../nearest.ts";
import { printable } from "../output.ts";
import type { FailedOp, RuntimeCommand, RuntimeContext, RuntimeProgram } from "./context.ts";
import { globalOptions, readSettings } from "./global-options.ts";
import { type Log, openLog } from "./log.ts";
import { commandNames, findCommand, loadCommands } from "./registry.ts";

const globalRules: ParseRules = { options: globalOptions, stopAtOperand: true, isGoStyle: true };
const help: ProgramHelp = { program: "gantry-runtime", summary: "gantry-runtime runs containers of OCI bundles.", options: globalOptions };
const helpOption: OptionSpec = { name: "help", short: "h", help: "print help" };

/** As runc: the code of a failure of the runtime itself is 1, whatever the reason. */
const ownFailure = 1;

/**
 * How long to wait before work that nobody waits for: the executor is done with most containers' start by then, which takes half as
 * long again with something else running beside it.
 */
const whenStartedMs = 10;

/** Runs the command line `words`. Resolves with the exit code; never throws. */
export async function runRuntime(words: readonly string[], program: RuntimeProgram): Promise<number> {
  // Until the log is open there is only standard error.
  let log: Log = (_, message) => program.writeError(`gantry-runtime: ${printable(message)}\n`);
  try {
    if (words[0] === "__complete") return await printCandidates(words.slice(1), program);
    const failed = findFailure(words);
    const global = parseArguments(failed === undefined ? words : words.slice(3), globalRules);
    const [name, ...rest] = global.operands;
    if (global.switches.has("version")) return printVersion(program);
    if (name === undefined || name === "help" || global.switches.has("help"))
      return await printHelp(name === "help" ? rest[0] : name, program);
    log = openLog(global, program);
    const command = await getCommand(name);
    const parsed = parseArguments(rest, { ...command, options: [...command.options, helpOption], isGoStyle: true });
    if (parsed.switches.has("help")) return await printHelp(name, program);
    checkCount(command, parsed);
    const settings = readSettings(global, program);
    // What is compiled once more to tell a failure has warned already.
    const warn = (sentence: string): void => {
      if (failed === undefined) log("warning", sentence);
    };
    let after: ((program: Uint8Array) => Promise<void>) | undefined;
    const whenDelivered: RuntimeContext["whenDelivered"] = (work) => {
      after = work;
    };
    const context: RuntimeContext = { program, global, settings, warn, whenDelivered };
    if (failed?.isWarning === true) {
      const sentence = await describeWarning(command, failed, { context, parsed });
      if (sentence !== undefined) log("warning", sentence, true);
      return 0;
    }
    if (failed !== undefined) throw await describe(command, failed, { context, parsed });
    if ("run" in command) return await command.run(context, parsed);
    command.check?.(context, parsed);
    const bytes = encodeProgram(command.compile(context, parsed));
    program.deliver(bytes);
    if (after !== undefined) {
      await program.pause(whenStartedMs);
      await after(bytes).catch(() => undefined);
    }
    return 0;
  } catch (error) {
    log("error", sentenceOf(error));
    return ownFailure;
  }
}

/**
 * What the executor becomes after a failed op: `__failed INDEX ERRNO WORD...`; and what it starts when a step of the cleanup fails,
 * by its number among those: `__warned NUMBER ERRNO WORD...`.
 */
function findFailure([first, number, errno]: readonly string[]): (FailedOp & { readonly isWarning: boolean }) | undefined {
  if (first !== "__failed" && first !== "__warned") return undefined;
  return { opIndex: Number(number), errno: Number(errno), isWarning: first === "__warned" };
}

/** The sentence for a step of the cleanup, which may have taken away already what would say more; undefined when nothing is amiss. */
async function describeWarning(
  command: RuntimeCommand,
  { opIndex: number, errno }: FailedOp,
  { context, parsed }: { readonly context: RuntimeContext; readonly parsed: ParsedArguments },
): Promise<string | undefined> {
  try {
    const steps = "compile" in command ? (command.cleanup?.(context, parsed) ?? command.compile(context, parsed).cleanup) : [];
    // What is to be ended has ended.
    if (steps[number]?.op.op === "signal" && errnoName(errno) === "ESRCH") return undefined;
    const { describeFailure } = await import("#runtime/describe-failure.ts");
    return describeFailure({ main: steps, cleanup: [], children: [] }, { opIndex: number, errno }).message;
  } catch {
    return `step ${number} of the cleanup failed: ${describeErrno(errno)}`;
  }
}

/** The error for a failed op: the program, compiled once more, says what it was. */
async function describe(
  command: RuntimeCommand,
  failed: FailedOp,
  { context, parsed }: { readonly context: RuntimeContext; readonly parsed: ParsedArguments },
): Promise<Error> {
  if (!("compile" in command)) return new CodedError("internal", `${command.name} runs no program, but op ${failed.opIndex} failed`);
  const program = command.compile(context, parsed);
  if (command.describe !== undefined) return await command.describe(context, parsed, { program, ...failed });
  const { describeFailure } = await import("#runtime/describe-failure.ts");
  return describeFailure(program, failed);
}

function sentenceOf(error: unknown): string {
  // The system's own words name the call and the path; a stack would only hide them.
  if (error instanceof CodedError) return error.message;
  if (isSystemError(error)) return describeSystemError(error);
  return `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

async function getCommand(name: string): Promise<RuntimeCommand> {
  const command = await findCommand(name);
  if (command !== undefined) return command;
  const guess = nearest(name, commandNames);
  throw new UsageError(`unknown command ${JSON.stringify(name)}${guess === undefined ? "" : ` (did you mean ${guess}?)`}`);
}

/** @throws UsageError in runc's words */
function checkCount(command: RuntimeCommand, { operands }: ParsedArguments): void {
  const { minOperands, maxOperands } = command;
  if (operands.length >= minOperands && operands.length <= maxOperands) return;
  const count =
    minOperands === maxOperands
      ? `exactly ${minOperands}`
      : operands.length < minOperands
        ? `a minimum of ${minOperands}`
        : `a maximum of ${maxOperands}`;
  throw new UsageError(`${JSON.stringify(command.name)} requires ${count} argument(s)`);
}

/** dockerd reads the first line for name and version and "spec:" for the specification. */
function printVersion(program: RuntimeProgram): number {
  program.write(`gantry-runtime version ${program.version}\nspec: ${ociRuntimeVersion}\n`);
  return 0;
}

async function printHelp(name: string | undefined, program: RuntimeProgram): Promise<number> {
  program.write(name === undefined ? formatProgramHelp(help, await loadCommands()) : formatCommandHelp(help, await getCommand(name)));
  return 0;
}

async function printCandidates(words: readonly string[], program: RuntimeProgram): Promise<number> {
  const { printableCandidates } = await import("./candidates.ts");
  program.write(await printableCandidates(words, program.defaultRoot));
  return 0;
}
