/** What the commands of `gantry-runtime` get, and what a command is. */
import type { Program, Step } from "#program/encode.ts";
import type { ProgramCache } from "#runtime/cache/store.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import type { Command, CommandShape, ParsedArguments } from "../command.ts";
import type { GlobalSettings } from "./global-options.ts";

/** What became of another program. */
export interface OtherProgramEnd {
  /** Its exit code, or 128 and the number of the signal that ended it. */
  readonly exitCode: number;
  /** What it wrote to standard output and standard error; empty when those were inherited. */
  readonly output: string;
}

/** config.json of a bundle. */
export interface BundleConfig {
  readonly config: RuntimeConfig;
  /** Its bytes as latin1. */
  readonly text: string;
}

/** What the runtime command needs from outside. */
export interface RuntimeProgram {
  readonly version: string;
  /** Hands the encoded program to the executor that waits for it, once. */
  readonly deliver: (program: Uint8Array) => void;
  /** `file` is an absolute path; the bundle's config.json when absent. */
  readonly readConfig: (bundle: string, file?: string) => BundleConfig;
  /** Where programs may be kept for other containers; undefined when they may not. */
  readonly findCache: () => ProgramCache | undefined;
  /** Absolute path of a directory, links followed. @throws CodedError `not-found` */
  readonly resolveBundle: (bundle: string) => string;
  /** Absolute path; nothing needs to be there. */
  readonly resolvePath: (path: string) => string;
  /** False when nobody reads standard output any more. */
  readonly write: (text: string) => boolean;
  readonly writeError: (text: string) => unknown;
  /** Appends to the log file, which is made when it is missing. */
  readonly appendLog: (path: string, line: string) => void;
  /** The text of a file, or with "-" of standard input. @throws CodedError `not-found` */
  readonly readText: (path: string) => string;
  /** Runs another program, found on the PATH, to its end. @throws CodedError `not-found` when there is none */
  readonly runOther: (words: readonly string[], output: "captured" | "inherited") => Promise<OtherProgramEnd>;
  /** Path of a program that is found on the PATH; a path stays as it is. @throws CodedError `not-found` */
  readonly findProgram: (name: string) => string;
  /** The environment, "NAME=VALUE", with a PATH. */
  readonly environment: readonly string[];
  /** Resolves after `ms`, with false when whoever started this process is gone. */
  readonly pause: (ms: number) => Promise<boolean>;
  readonly defaultRoot: string;
  /** How many descriptors from 3 on are listening sockets for the container (sd_listen_fds(3)). */
  readonly listenDescriptors: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** One call of the command. */
export interface RuntimeContext {
  readonly program: RuntimeProgram;
  /** The options before the command's name, as given. */
  readonly global: ParsedArguments;
  /** The same, understood. */
  readonly settings: GlobalSettings;
  /** Told about what was asked for and cannot be given. */
  readonly warn: (sentence: string) => void;
  /** Work that is done when the program has been delivered, and of which nobody is told how it ends. */
  readonly whenDelivered: (work: (program: Uint8Array) => Promise<void>) => void;
}

/** A failed op. */
export interface FailedOp {
  readonly opIndex: number;
  readonly errno: number;
}

/** A command that is a program for the executor: compiled again, the failure of one of its ops can be told. */
export interface ProgramCommand extends CommandShape {
  /** Looked at before, and not again when a failure is told. @throws CodedError when the command cannot be begun */
  readonly check?: (context: RuntimeContext, parsed: ParsedArguments) => void;
  readonly compile: (context: RuntimeContext, parsed: ParsedArguments) => Program;
  /** The steps of the cleanup, for a warning about one of them; undefined when the program, compiled once more, must say it. */
  readonly cleanup?: (context: RuntimeContext, parsed: ParsedArguments) => readonly Step[] | undefined;
  /** The error for a failed op; without it, `describeFailure` says it all. */
  readonly describe?: (
    context: RuntimeContext,
    parsed: ParsedArguments,
    failure: FailedOp & { readonly program: Program },
  ) => Error | Promise<Error>;
}

/** A command that does its work itself; the executor that waits is told its exit code. */
export type DirectCommand = Command<RuntimeContext>;

/** Any command of the runtime. */
export type RuntimeCommand = ProgramCommand | DirectCommand;

/** Absolute path of the directory of all containers' state. */
export function stateRootOf({ settings }: RuntimeContext): string {
  return settings.root;
}
