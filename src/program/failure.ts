/** What the executor says when an op fails: its index and errno, nothing more. The sentence is made by whoever compiled the program. */
import { CodedError, type ErrorCode } from "#base/errors.ts";

/** A failed op of a program, by index (see `stepsInOrder`) and errno (positive). */
export class OpFailure extends CodedError {
  readonly opIndex: number;
  readonly errno: number;

  constructor(opIndex: number, errno: number) {
    super(codeOfErrno(errno), `op ${opIndex} failed: ${describeErrno(errno)}`, { details: { opIndex, errno } });
    this.opIndex = opIndex;
    this.errno = errno;
  }
}

/** Linux errno numbers (asm-generic) that are told apart by name; the kernel's ABI fixes them. */
const errnos: Readonly<Record<number, readonly [name: string, text: string, code?: ErrorCode]>> = {
  1: ["EPERM", "operation not permitted", "permission-denied"],
  2: ["ENOENT", "no such file or directory", "not-found"],
  3: ["ESRCH", "no such process", "not-found"],
  4: ["EINTR", "interrupted system call"],
  5: ["EIO", "input/output error"],
  7: ["E2BIG", "argument list too long", "exhausted"],
  8: ["ENOEXEC", "exec format error", "invalid-argument"],
  9: ["EBADF", "bad file descriptor"],
  11: ["EAGAIN", "resource temporarily unavailable", "exhausted"],
  12: ["ENOMEM", "cannot allocate memory", "exhausted"],
  13: ["EACCES", "permission denied", "permission-denied"],
  16: ["EBUSY", "device or resource busy", "wrong-state"],
  17: ["EEXIST", "file exists", "already-exists"],
  18: ["EXDEV", "it would leave the container's root"],
  19: ["ENODEV", "no such device or file system type", "unsupported"],
  20: ["ENOTDIR", "not a directory", "invalid-argument"],
  21: ["EISDIR", "is a directory", "invalid-argument"],
  22: ["EINVAL", "invalid argument", "invalid-argument"],
  23: ["ENFILE", "too many open files in system", "exhausted"],
  24: ["EMFILE", "too many open files", "exhausted"],
  26: ["ETXTBSY", "text file busy", "wrong-state"],
  27: ["EFBIG", "file too large", "exhausted"],
  28: ["ENOSPC", "no space left on device", "exhausted"],
  30: ["EROFS", "read-only file system", "permission-denied"],
  31: ["EMLINK", "too many links", "exhausted"],
  34: ["ERANGE", "numerical result out of range", "invalid-argument"],
  36: ["ENAMETOOLONG", "file name too long", "invalid-argument"],
  38: ["ENOSYS", "the kernel has no such system call", "unsupported"],
  39: ["ENOTEMPTY", "directory not empty", "wrong-state"],
  40: ["ELOOP", "too many levels of symbolic links, or a link where none may be", "invalid-argument"],
  61: ["ENODATA", "no data available"],
  71: ["EPROTO", "protocol error", "corrupt"],
  74: ["EBADMSG", "bad message", "corrupt"],
  75: ["EOVERFLOW", "value too large", "invalid-argument"],
  77: ["EBADFD", "file descriptor in bad state"],
  90: ["EMSGSIZE", "message too long"],
  95: ["EOPNOTSUPP", "operation not supported", "unsupported"],
  104: ["ECONNRESET", "connection reset", "unavailable"],
  105: ["ENOBUFS", "no buffer space available", "exhausted"],
  107: ["ENOTCONN", "not connected", "unavailable"],
  110: ["ETIMEDOUT", "timed out", "deadline-exceeded"],
  111: ["ECONNREFUSED", "connection refused", "unavailable"],
  114: ["EALREADY", "already done or under way", "wrong-state"],
  116: ["ESTALE", "stale file handle"],
  121: ["EREMOTEIO", "refused by the other side", "internal"],
  122: ["EDQUOT", "disk quota exceeded", "exhausted"],
  125: ["ECANCELED", "canceled", "canceled"],
};

/** The name of an errno, such as "ENOENT"; "errno N" for one that has none here. */
export function errnoName(errno: number): string {
  return errnos[errno]?.[0] ?? `errno ${errno}`;
}

/** What failures of other programs are counted from: this number and a wait status (executor/hook.c). */
const statusFailure = 4096;

/** Whether a failure is that of a program which the executor ran, a hook for example. */
export function isStatus(errno: number): boolean {
  return errno >= statusFailure;
}

function describeStatus(status: number): string {
  const signal = status & 0x7f;
  return signal === 0 ? `it ended with exit code ${status >> 8}` : `signal ${signal} ended it`;
}

/** An errno in words with its name: "no such file or directory (ENOENT)"; for a program that was run and failed how it ended. */
export function describeErrno(errno: number): string {
  if (isStatus(errno)) return describeStatus(errno - statusFailure);
  const known = errnos[errno];
  return known === undefined ? `errno ${errno}` : `${known[1]} (${known[0]})`;
}

/** The error code that an errno stands for; `internal` for those that users cannot cause. */
export function codeOfErrno(errno: number): ErrorCode {
  return errnos[errno]?.[2] ?? "internal";
}
