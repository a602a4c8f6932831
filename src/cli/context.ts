/** What the commands of `gantry` need from outside. */
import type { Engine } from "#engine/engine.ts";
import type { Program } from "#program/encode.ts";
import type { Output } from "./output.ts";

/** Handed to every command by the composition root. */
export interface CliContext {
  readonly output: Output;
  /** Opens the engine at the root directory in force; made once, on first use. */
  readonly engine: () => Engine;
  readonly currentDirectory: string;
  /** The caller's environment, for `-e NAME` without a value. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  /** Ids of the caller. */
  readonly user: { readonly uid: number; readonly gid: number };
  /** Writes a new text file or replaces one. */
  readonly writeText: (path: string, text: string) => void;
  /** Reads a whole text file (`--env-file`). @throws CodedError `not-found` */
  readonly readText: (path: string) => string;
  /** Standard input, for `load -`. */
  readonly standardInput: () => AsyncIterable<Uint8Array>;
  /** Writes bytes to standard output, for `save` and `export`; takes their memory. @throws CodedError `unavailable` when nobody reads them */
  readonly writeBytes: (bytes: Uint8Array) => Promise<void>;
  /** Whether standard output is a terminal. */
  readonly isOutputTerminal: () => boolean;
  /** Whether standard input is a terminal. */
  readonly isInputTerminal: () => boolean;
  /** Asks on the terminal for a line that is not shown there. */
  readonly readSecret: (prompt: string) => Promise<string>;
  /** Calls `deliver` for each signal that users send to a foreground command, until the returned function is called. */
  readonly onSignal: (deliver: (number: number) => void) => () => void;
  /** Explains an OCI bundle directory without an engine. */
  readonly explainBundle: (bundle: string) => Promise<Program>;
  readonly isBundle: (path: string) => boolean;
}
