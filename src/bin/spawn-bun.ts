/** The executor spawned with Bun's own spawn: about 1 ms where node:child_process takes 10 (Bun 1.4). */
import { closeSync, readSync, writeSync } from "node:fs";
import { CodedError, isErrno } from "#base/errors.ts";
import type { ExecutorProcess, SpawnExecutor } from "#program/launch.ts";

/** `SpawnExecutor` for the compiled executables. */
export const spawnWithBun: SpawnExecutor = (executable, options): ExecutorProcess => {
  const child = start(executable, options);
  const controlFd = child.stdio[4] as unknown;
  if (typeof controlFd !== "number") throw new CodedError("internal", "the executor was started without a control socket");
  return {
    pid: child.pid,
    ended: child.exited.then((code) => (child.signalCode === null ? code : 137)),
    control: (bytes) => {
      try {
        writeSync(controlFd, bytes);
      } catch (error) {
        if (!isErrno(error, "EPIPE") && !isErrno(error, "ECONNRESET")) throw error;
      }
    },
    reports: () => Promise.resolve(readToEnd(controlFd)),
  };
};

function start(executable: string, options: Parameters<SpawnExecutor>[1]): Bun.Subprocess {
  try {
    return Bun.spawn([executable], { stdio: [...options.stdio, options.programFd, "pipe"] });
  } catch (error) {
    if (isErrno(error, "ENOENT"))
      throw new CodedError("not-found", `cannot start the executor: ${executable} does not exist`, { cause: error });
    throw error;
  }
}

/** The executor is gone when this is called, so the socket holds all that it will ever hold. */
function readToEnd(fd: number): Uint8Array {
  const chunks: Buffer[] = [];
  try {
    for (;;) {
      const chunk = Buffer.alloc(4096);
      const count = readSync(fd, chunk);
      if (count === 0) break;
      chunks.push(chunk.subarray(0, count));
    }
  } catch (error) {
    if (!isErrno(error, "EAGAIN") && !isErrno(error, "ECONNRESET")) throw error;
  } finally {
    closeSync(fd);
  }
  return Buffer.concat(chunks);
}
