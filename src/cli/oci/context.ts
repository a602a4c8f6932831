/** What the commands of `gantry-runtime` get, and what a command is. */
import type { Program } from "#program/encode.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { type CommandShape, type ParsedArguments, valueOf } from "../command.ts";

/** What the runtime command needs from outside. */
export interface RuntimeProgram {
  readonly version: string;
  /** Hands the encoded program to the executor that waits for it, once. */
  readonly deliver: (program: Uint8Array) => void;
  readonly readConfig: (bundle: string) => RuntimeConfig;
  /** Absolute path of a directory, links followed. @throws CodedError `not-found` */
  readonly resolveBundle: (bundle: string) => string;
  /** Absolute path; nothing needs to be there. */
  readonly resolvePath: (path: string) => string;
  readonly write: (text: string) => unknown;
  readonly writeError: (text: string) => unknown;
  readonly appendLog: (path: string, line: string) => void;
  readonly defaultRoot: string;
  /** How many descriptors from 3 on are listening sockets for the container (sd_listen_fds(3)). */
  readonly listenDescriptors: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** One call of the command. */
export interface RuntimeContext {
  readonly program: RuntimeProgram;
  readonly global: ParsedArguments;
  /** Told about what was asked for and cannot be given. */
  readonly warn: (sentence: string) => void;
}

/** A failed op. */
export interface FailedOp {
  readonly opIndex: number;
  readonly errno: number;
}

/** A command that is a program for the executor: compiled again, the failure of one of its ops can be told. */
export interface ProgramCommand extends CommandShape {
  readonly compile: (context: RuntimeContext, parsed: ParsedArguments) => Program;
  /** The error for a failed op; without it, `describeFailure` says it all. */
  readonly describe?: (context: RuntimeContext, parsed: ParsedArguments, failure: FailedOp & { readonly program: Program }) => Error;
}

/** Absolute path of the directory of all containers' state. */
export function stateRootOf({ program, global }: RuntimeContext): string {
  return program.resolvePath(valueOf(global, "root") ?? program.defaultRoot);
}
