/**
 * Standard output and error without `process.stdout`: making that object costs Bun some 15 ms, more than starting a container.
 */
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { CodedError, describeSystemError, isErrno, isSystemError } from "#base/errors.ts";

/**
 * Writes all of `content` to descriptor 1 or 2. False when nobody reads there any more, and when an error cannot be told because standard
 * error takes nothing: there is no other place to tell that at.
 *
 * @throws CodedError `exhausted`, `unavailable` when standard output takes no more
 */
export function writeStandard(fd: 1 | 2, content: string | Uint8Array): boolean {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      if (isErrno(error, "EPIPE")) return false;
      // Somebody made the descriptor non-blocking: the reader needs a moment.
      if (!isErrno(error, "EAGAIN")) {
        if (fd === 2) return false;
        const reason = isSystemError(error) ? describeSystemError(error).replace(/^cannot write/, "") : `: ${String(error)}`;
        throw new CodedError(isErrno(error, "ENOSPC") ? "exhausted" : "unavailable", `cannot write to standard output${reason}`, {
          cause: error,
        });
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
  return true;
}

/** True when the descriptor is a terminal (or another character device that is not /dev/null). */
export function isTerminal(fd: 0 | 1 | 2): boolean {
  const stats = fstatSync(fd);
  const major = Math.floor(stats.rdev / 256) & 0xfff;
  // Linux: 4 and 5 are the consoles and /dev/tty, 136 to 143 the pseudo terminals (devices.txt).
  return stats.isCharacterDevice() && (major === 4 || major === 5 || (major >= 136 && major <= 143));
}

/** Puts /dev/null in the place of standard input, output and error of this process, which has nothing to say any more. */
export function releaseStandard(): void {
  for (const fd of [0, 1, 2]) {
    try {
      closeSync(fd);
    } catch {
      // The caller had closed it.
    }
    try {
      // It gets the lowest number that is free.
      openSync("/dev/null", "r+");
    } catch {
      // Then nothing is there, which is as good.
    }
  }
}
