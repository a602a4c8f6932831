/** A container's life between two commands: its state directory, its first process, hooks, its state as text. */
import { afterwards, anywhere, child, host, main, mainOrChild, type OpDefinition, type Place } from "./op.ts";

const notInStreams: readonly Place[] = ["main", "cleanup", "child"];

export const lifecycleOps: readonly OpDefinition[] = [
  {
    name: "claim",
    code: 18,
    in: main,
    fields: { path: "text" },
    does: "Makes the directory `path` (0700), which must be new, and its missing parents (0711).",
  },
  {
    name: "on-failure",
    code: 19,
    in: main,
    fields: { cleanup: "u32" },
    does: "Says whether the cleanup section runs when an op after this one fails (1, as in the beginning) or not (0).",
  },
  {
    name: "open-process",
    code: 25,
    in: main,
    fields: { record: "text", required: "u32" },
    does: "Opens the process that `record` (a copy of /proc/PID/stat) names by pid and start time, as the target of later ops. One that has ended is ESRCH with `required`, else no target.",
  },
  {
    name: "start",
    code: 26,
    in: main,
    fields: { fifo: "text", failure: "text" },
    does: "Lets the process that waits at `fifo` go on, removes the fifo and waits until the process was executed or has ended; what it wrote to the file `failure` (an errno) is this op's failure. ESRCH when nothing waits.",
  },
  {
    name: "signal",
    code: 27,
    in: afterwards,
    fields: { number: "u32" },
    does: "Sends signal `number` (4294967295: the one that the front was called with) to the target; without one, and for a target that has ended, ESRCH.",
  },
  {
    name: "await-end",
    code: 28,
    in: afterwards,
    fields: { milliseconds: "u32" },
    does: "Waits until the target has ended; ETIMEDOUT when that takes longer. Without a target it has.",
  },
  {
    name: "require-ended",
    code: 29,
    in: main,
    fields: { fifo: "text", force: "u32", freezer: "text" },
    does: "EBUSY when the target lives. With `force`, or when `fifo` is there (so that it was never started), it is killed, thawed by its cgroup file `freezer` (unless that is empty) and waited for instead.",
  },
  { name: "reach", code: 34, in: child, fields: {}, does: "Tells the parent, which waits in `await-child`; the child goes on." },
  {
    name: "await-child",
    code: 35,
    in: main,
    fields: {},
    does: "Waits until the child reaches `reach`; a failure in the child becomes this program's failure.",
  },
  {
    name: "check-executable",
    code: 36,
    in: child,
    fields: { candidates: "texts" },
    does: "Looks for the first of `candidates` that `exec` would execute and fails as that would, so that it is known before `start`.",
  },
  {
    name: "join",
    code: 37,
    in: mainOrChild,
    fields: { flags: "u64" },
    does: "setns() into the namespaces of the target that the CLONE_* `flags` name, all at once (5.8).",
  },
  {
    name: "hook",
    code: 100,
    in: notInStreams,
    fields: { path: "text", args: "texts", env: "texts", timeout: "u32", head: "text", tail: "text" },
    does: "Executes `path` with `args` and `env`; standard input holds `head`, the pid of the child or target (in a child its own) and `tail`. Killed after `timeout` seconds (0: never): ETIMEDOUT. Another end than exit code 0 is the failure 4096 + its wait status, and what it wrote is shown.",
  },
  {
    name: "hook-output",
    code: 191,
    in: main,
    fields: { fd: "u32", path: "text" },
    does: "Opens the host file `path`, making it (0600) where it is missing: what the hooks from here on write to descriptor `fd` (1 or 2) is appended to it.",
  },
  {
    name: "print-state",
    code: 101,
    in: main,
    fields: { directory: "text", freezer: "text", head: "text", tail: "text" },
    does: "Writes the state of the container whose files are in `directory` to standard output: `head`, pid, status and creation time as JSON members, `tail`.",
  },
  {
    name: "create-file",
    code: 102,
    in: anywhere,
    fields: { path: "text", mode: "u32", data: "bytes" },
    does: "Writes the host file `path`, whole or not at all, by a file beside it that is renamed.",
  },
  {
    name: "send-pidfd",
    code: 190,
    in: main,
    fields: { path: "text", message: "text" },
    does: "Sends a pidfd of the child over the stream socket at the host path `path`, with the bytes of `message`.",
  },
  { name: "remove-file", code: 103, in: host, fields: { path: "text" }, does: "Removes the host file `path`; a missing one is success." },
];
