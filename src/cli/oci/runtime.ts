/** The `gantry-runtime` command line, in runc's spelling. So far it has `run`; the other verbs are refused by name. */
import { CodedError } from "#base/errors.ts";
import { encodeProgram } from "#program/encode.ts";
import type { PassedDescriptors } from "#runtime/compile/terminal.ts";
import { type BundleOptions, compileBundle, prepareBundle } from "#runtime/run.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { checkOperands, parseArguments, type ParseRules, UsageError } from "../arguments.ts";
import { type Command, type OptionSpec, type ParsedArguments, valueOf } from "../command.ts";
import { formatCommandHelp, formatProgramHelp, type ProgramHelp } from "../help.ts";
import { printable } from "../output.ts";

/** What the runtime command needs from outside. */
export interface RuntimeProgram {
  readonly version: string;
  /** Hands the encoded program to the executor that waits for it, once. */
  readonly deliver: (program: Uint8Array) => void;
  readonly readConfig: (bundle: string) => RuntimeConfig;
  readonly resolveBundle: (bundle: string) => string;
  readonly write: (text: string) => unknown;
  readonly writeError: (text: string) => unknown;
  readonly appendLog: (path: string, line: string) => void;
  readonly defaultRoot: string;
  /** How many descriptors from 3 on are listening sockets for the container (sd_listen_fds(3)). */
  readonly listenDescriptors: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

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

interface RuntimeContext {
  readonly program: RuntimeProgram;
  readonly global: ParsedArguments;
}

const runCommand: Command<RuntimeContext> = {
  name: "run",
  summary: "Create and run a container in the foreground",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: [
    { name: "bundle", short: "b", value: "DIR", help: "the bundle (default: the current directory)" },
    { name: "console-socket", value: "PATH", help: "for a container that is left running; here the terminal is the caller's" },
    { name: "pid-file", value: "FILE", help: "write the container's pid to this file" },
    { name: "preserve-fds", value: "COUNT", help: "pass on this many descriptors, from 3 on, after those of LISTEN_FDS" },
    { name: "no-pivot", help: "do not use pivot_root (the root is a ramdisk)" },
  ],
  run: (context, parsed) => {
    context.program.deliver(encodeProgram(prepareBundle(bundleOptions(context, parsed))));
    return Promise.resolve(0);
  },
};

function bundleOptions({ program, global }: RuntimeContext, parsed: ParsedArguments): BundleOptions {
  if (global.switches.has("systemd-cgroup"))
    throw new CodedError("unsupported", "cannot use systemd for cgroups: that is not supported yet");
  const bundle = program.resolveBundle(valueOf(parsed, "bundle") ?? ".");
  const pidFile = valueOf(parsed, "pid-file");
  if (valueOf(parsed, "console-socket") !== undefined)
    throw new CodedError("invalid-argument", "cannot use console socket if the runtime will not detach or allocate tty");
  return {
    id: parsed.operands[0] ?? "",
    bundle,
    config: program.readConfig(bundle),
    stateRoot: valueOf(global, "root") ?? program.defaultRoot,
    ...(pidFile === undefined ? {} : { pidFile }),
    descriptors: passedDescriptors(program, parsed),
    noPivot: parsed.switches.has("no-pivot"),
    warn: (sentence) => {
      log({ program, global }, "warning", sentence);
    },
  };
}

/** The descriptors that `--preserve-fds` and socket activation pass on. @throws CodedError `invalid-argument` */
function passedDescriptors(program: RuntimeProgram, parsed: ParsedArguments): PassedDescriptors {
  const preserved = valueOf(parsed, "preserve-fds") ?? "0";
  if (!/^\d{1,9}$/.test(preserved))
    throw new CodedError("invalid-argument", `option --preserve-fds is ${JSON.stringify(preserved)}, not a count`);
  return { listening: program.listenDescriptors, preserved: Number(preserved) };
}

/** What the executor became after a failed op: `__failed INDEX ERRNO WORD...`. Compiles once more and says what it was. */
async function describe(words: readonly string[], context: RuntimeContext): Promise<never> {
  const [opIndex, errno, ...rest] = words;
  const { describeFailure } = await import("#runtime/describe-failure.ts");
  const global = parseArguments(rest, globalRules);
  const parsed = parseArguments(global.operands.slice(1), rulesOf(runCommand));
  const program = compileBundle({ ...bundleOptions({ ...context, global }, parsed), warn: () => undefined });
  throw describeFailure(program, { opIndex: Number(opIndex), errno: Number(errno) });
}

const globalRules: ParseRules = { options: globalOptions, stopAtOperand: true, singleDashNames: true };

function rulesOf(command: Command<RuntimeContext>): ParseRules {
  return { options: [...command.options, { name: "help", short: "h", help: "print help" }], singleDashNames: true };
}

const commands = [runCommand];
const help: ProgramHelp = { program: "gantry-runtime", summary: "gantry-runtime runs containers of OCI bundles.", options: globalOptions };

/** Runs the command line `words`. Resolves with the exit code; never throws. */
export async function runRuntime(words: readonly string[], program: RuntimeProgram): Promise<number> {
  let global: ParsedArguments = { switches: new Set(), values: new Map(), operands: [] };
  try {
    if (words[0] === "__failed") await describe(words.slice(1), { program, global });
    global = parseArguments(words, globalRules);
    const [name, ...rest] = global.operands;
    if (global.switches.has("version")) {
      program.write(`gantry-runtime version ${program.version}\nspec: 1.3.0\n`);
      return 0;
    }
    if (name === undefined || name === "help") {
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
    return await command.run({ program, global }, parsed);
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
function log({ program, global }: RuntimeContext, level: "error" | "warning", message: string): void {
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
