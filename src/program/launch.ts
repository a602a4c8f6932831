/**
 * Running whole programs: the executor gets the program as a file on descriptor 3 and a socket on descriptor 4.
 *
 *     caller                              executor
 *       | -- program (fd 3, a file) ------> |  checks all of it, then runs it
 *       | -- signal numbers (fd 4) -------> |  while it supervises
 *       | <- reports, 16 bytes each (fd 4)- |  started, exited, failed, warned ...
 *       | <- exit code -------------------- |
 *
 * How a process is spawned is a port: Bun's own spawn takes 1 ms where node:child_process takes 10,
 * so the executables hand in Bun's and the library uses Node's (spawn-node.ts).
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { basename } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import { removeFile } from "#sys/small-files.ts";
import { OpFailure } from "./failure.ts";
import { decodeReports, type Report } from "./reports.ts";

/** Where one of the executor's standard descriptors goes: the caller's own, /dev/null, or an open descriptor. */
export type StdioTarget = "inherit" | "ignore" | number;

/** A process of the executor. */
export interface ExecutorProcess {
  readonly pid: number;
  /** Resolves with the exit code once the process is gone (128 + n after signal n). */
  readonly ended: Promise<number>;
  /** Writes to the control socket; does nothing once the executor is gone. */
  control(bytes: Uint8Array): void;
  /** All that came out of the control socket; to be called after `ended`. */
  reports(): Promise<Uint8Array>;
}

/** Starts `executable` with `stdio`, the open file `programFd` as descriptor 3 and a socket as descriptor 4. */
export type SpawnExecutor = (
  executable: string,
  options: { readonly stdio: readonly [StdioTarget, StdioTarget, StdioTarget]; readonly programFd: number },
) => ExecutorProcess;

/** What became of a program. */
export interface ProgramOutcome {
  readonly exitCode: number;
  /** The wait status of the supervised child, when there was one. */
  readonly waitStatus: number | undefined;
  readonly failure: OpFailure | undefined;
  /** Failures in the cleanup section; they stopped nothing. */
  readonly warnings: readonly OpFailure[];
}

/** A program under way. */
export interface RunningProgram {
  readonly outcome: Promise<ProgramOutcome>;
  /** Asks the executor to send signal `number` to the supervised child. */
  readonly signal: (number: number) => void;
}

/** What running a program takes. */
export interface LaunchOptions {
  readonly spawn: SpawnExecutor;
  /** Path of the executor's binary. */
  readonly executable: string;
  /** Path to keep the program at; it is written first. The caller removes it. */
  readonly programPath: string;
  /** Where the disk of `programPath` is full, memory will do: removing must work there above all. Then nothing is at the path. */
  readonly mayBeElsewhere?: boolean;
  readonly stdio: readonly [StdioTarget, StdioTarget, StdioTarget];
}

/** Starts the executor on `program`. @throws CodedError `not-found` when the executor is missing. */
export function launchProgram(program: Uint8Array, options: LaunchOptions): RunningProgram {
  const programFd =
    options.mayBeElsewhere === true ? keepAnywhere(program, options.programPath) : keepProgram(program, options.programPath);
  try {
    const executor = options.spawn(options.executable, { stdio: options.stdio, programFd });
    const command = Buffer.alloc(4);
    return {
      outcome: executor.ended.then(async (exitCode) => outcomeOf(exitCode, decodeReports(await executor.reports()))),
      signal: (number) => {
        command.writeUInt32LE(number);
        executor.control(command);
      },
    };
  } finally {
    closeSync(programFd);
  }
}

function keepProgram(program: Uint8Array, path: string): number {
  const fd = openSync(path, "wx+", 0o600);
  try {
    for (let written = 0; written < program.length;) written += writeSync(fd, program, written, program.length - written, written);
    return fd;
  } catch (error) {
    closeSync(fd);
    removeFile(path);
    throw error;
  }
}

/** File systems in memory that a Linux machine has. */
const otherPlaces = ["/run", "/dev/shm", "/tmp"];

function keepAnywhere(program: Uint8Array, path: string): number {
  try {
    return keepProgram(program, path);
  } catch (error) {
    if (!isErrno(error, "ENOSPC") && !isErrno(error, "EDQUOT")) throw error;
    for (const place of otherPlaces) {
      const other = `${place}/gantry-${basename(path)}`;
      try {
        const fd = keepProgram(program, other);
        removeFile(other);
        return fd;
      } catch {
        // The next one, or the first error.
      }
    }
    throw error;
  }
}

function outcomeOf(exitCode: number, reports: readonly Report[]): ProgramOutcome {
  const malformed = reports.find((report) => report.kind === "malformed");
  if (malformed !== undefined) {
    throw new CodedError("internal", `the executor refused the program: it cannot decode byte ${malformed.value}`);
  }
  const failed = reports.find((report) => report.kind === "failed");
  const exited = reports.find((report) => report.kind === "exited");
  if (failed === undefined && exited === undefined && exitCode !== 0) {
    throw new CodedError("internal", `the executor ended early with exit code ${exitCode}: it was killed or cannot run here`);
  }
  return {
    exitCode,
    waitStatus: exited?.value,
    failure: failed === undefined ? undefined : new OpFailure(failed.opIndex, failed.value),
    warnings: reports.filter((report) => report.kind === "warned").map((report) => new OpFailure(report.opIndex, report.value)),
  };
}
