/** The executor spawned with node:child_process: for the library, and for streamed programs (whose start-up time does not show). */
import { type ChildProcess, spawn } from "node:child_process";
import { Duplex, type Readable } from "node:stream";
import { CodedError, isErrno } from "#base/errors.ts";
import type { ExecutorProcess, SpawnExecutor } from "./launch.ts";
import { OpFailure } from "./failure.ts";
import { decodeReports, type Report } from "./reports.ts";
import type { ProgramStream, ReadingStream } from "./stream.ts";

/** `SpawnExecutor` for Node and Bun alike. */
export const spawnWithNode: SpawnExecutor = (executable, options): ExecutorProcess => {
  const child = spawn(executable, [], { stdio: [...options.stdio, options.programFd, "pipe"] });
  const ended = endOf(child, executable);
  const control = requireDuplex(child, 4);
  const reports = collect(control);
  return {
    pid: child.pid ?? 0,
    ended,
    control: (bytes) => {
      control.write(bytes);
    },
    reports: async () => {
      await reports.ended;
      return Buffer.concat(reports.chunks);
    },
  };
};

/**
 * Starts the executor for a streamed program, which writes to `output`, an open descriptor, what it has to say.
 * @throws CodedError `not-found`, on first use, when the executor is missing
 */
export function openProgramStream(executable: string, output: number | "ignore" = "ignore"): ProgramStream {
  return streamTo(spawn(executable, [], { stdio: ["ignore", output, "inherit", "pipe", "pipe"] }), executable);
}

/** Starts the executor for a streamed program whose output is read here. */
export function openReadingStream(executable: string): ReadingStream {
  const child = spawn(executable, [], { stdio: ["ignore", "pipe", "inherit", "pipe", "pipe"] });
  const output = child.stdout as Readable;
  output.on("error", () => undefined);
  return { ...streamTo(child, executable), output: output as AsyncIterable<Uint8Array> };
}

/** So much may lie here for the executor before whoever writes has to wait: a time in which it makes small files is bridged with it. */
const aheadBytes = 1 << 20;

function streamTo(child: ChildProcess, executable: string): ProgramStream {
  const ended = endOf(child, executable);
  ended.catch(() => undefined);
  const input = requireDuplex(child, 3);
  const reports = collect(requireDuplex(child, 4));
  // One waiter at most: writes are awaited one after another.
  let wake: (() => void) | undefined;
  let broken = false;
  const stop = (): void => {
    broken = true;
    wake?.();
  };
  input.on("error", stop).on("close", stop);
  input.on("drain", () => wake?.());
  ended.then(stop, stop);

  const outcome = async (): Promise<void> => {
    const exitCode = await ended;
    await reports.ended;
    throwUnlessFinished(exitCode, decodeReports(Buffer.concat(reports.chunks)));
  };
  return {
    write: async (bytes, onTaken) => {
      if (!broken && !reports.any()) {
        if (input.write(bytes, onTaken) || input.writableLength < aheadBytes) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
        if (!broken && !reports.any()) return;
      }
      input.destroy();
      await outcome();
      throw new CodedError("internal", "the executor finished before the end of its program");
    },
    finish: async () => {
      input.end();
      await outcome();
    },
    abort: async () => {
      input.destroy();
      child.kill("SIGKILL");
      await ended.catch(() => undefined);
    },
  };
}

function throwUnlessFinished(exitCode: number, reports: readonly Report[]): void {
  const failed = reports.find((report) => report.kind === "failed");
  if (failed !== undefined) throw new OpFailure(failed.opIndex, failed.value);
  const malformed = reports.find((report) => report.kind === "malformed");
  if (malformed !== undefined) throw new CodedError("internal", `the executor cannot decode byte ${malformed.value} of the program`);
  if (!reports.some((report) => report.kind === "finished")) {
    throw new CodedError("internal", `the executor ended early with exit code ${exitCode}`);
  }
}

function requireDuplex(child: ChildProcess, fd: number): Duplex {
  const stream = child.stdio[fd];
  if (!(stream instanceof Duplex)) throw new CodedError("unavailable", `cannot start the executor: descriptor ${fd} is no socket`);
  return stream;
}

function collect(stream: Duplex): { chunks: Buffer[]; any: () => boolean; ended: Promise<void> } {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", () => undefined);
  return { chunks, any: () => chunks.length > 0, ended: once(stream, "close") };
}

function once(emitter: Duplex, event: string): Promise<void> {
  return new Promise((resolve) => {
    emitter.once(event, () => {
      resolve();
    });
  });
}

function endOf(child: ChildProcess, executable: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", (error) => {
      const code = isErrno(error, "ENOENT") ? "not-found" : "unavailable";
      reject(new CodedError(code, `cannot start the executor ${executable}: ${error.message}`, { cause: error }));
    });
    child.on("exit", (code, signal) => {
      resolve(signal === null ? (code ?? 0) : 128 + 9);
    });
  });
}
