/** The one error class, with a code from a closed set; messages are sentences that end in a fact. */

/** What callers may branch on. `docs/errors.md` explains each. */
export type ErrorCode =
  | "invalid-argument"
  | "invalid-spec"
  | "not-found"
  | "already-exists"
  | "wrong-state"
  | "permission-denied"
  | "unsupported"
  | "exhausted"
  | "unavailable"
  | "deadline-exceeded"
  | "canceled"
  | "corrupt"
  | "internal";

/** Facts about an error for programs: plain JSON values. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean>>;

/** An error with a code from the closed set, a sentence for people and facts for programs. */
export class CodedError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { details?: ErrorDetails; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CodedError";
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** True for an error of the operating system (Node's) with this errno name, such as "ENOENT". */
export function isErrno(error: unknown, name: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === name;
}

/** True for any error of the operating system as Node throws it: with a system call and an errno name. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === "string";
}

/** System calls whose names say nothing to people, as verbs. */
const verbs: Readonly<Record<string, string>> = {
  copyfile: "copy to",
  fsync: "write",
  ftruncate: "write",
  link: "link",
  lstat: "look at",
  mkdir: "make the directory",
  pwrite: "write",
  scandir: "list",
  stat: "look at",
  unlink: "remove",
  rmdir: "remove",
};

/** An error of the operating system as a sentence: `cannot make the directory /x: permission denied (EACCES)`. */
export function describeSystemError(error: NodeJS.ErrnoException): string {
  const { syscall = "", path, dest } = error as NodeJS.ErrnoException & { readonly dest?: string };
  const object = dest ?? path;
  return `cannot ${verbs[syscall] ?? syscall}${object === undefined ? "" : ` ${object}`}: ${reasonOf(error)}`;
}

/** The error for a file that cannot be had: `what` (`read /x`) and the system's reason. */
export function inaccessible(what: string, cause: unknown): CodedError {
  const isDenied = isErrno(cause, "EACCES") || isErrno(cause, "EPERM");
  return new CodedError(isDenied ? "permission-denied" : "not-found", `cannot ${what}: ${reasonOf(cause)}`, { cause });
}

/** Node's message has the reason between the errno's name and the system call. */
function reasonOf(error: unknown): string {
  const { code, message } = error instanceof Error ? (error as NodeJS.ErrnoException) : { code: undefined, message: String(error) };
  const reason = /^[A-Z][A-Z0-9_]*: ([^,]+)/.exec(message)?.[1];
  return reason === undefined || code === undefined ? message : `${reason} (${code})`;
}

/** Throws `internal` unless `condition` holds; `why` says why this cannot happen. For bugs, never for input. */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new CodedError("internal", `broken assumption: ${why}`);
}
