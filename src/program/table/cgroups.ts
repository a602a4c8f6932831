/** Cgroups beyond making and removing them; paths go through the working root when there is one. */
import { anywhere, type OpDefinition } from "./op.ts";

export const cgroupOps: readonly OpDefinition[] = [
  {
    name: "write-first",
    code: 140,
    in: anywhere,
    fields: { paths: "texts", data: "texts", tolerant: "u32" },
    does: "Writes `data` i to `paths` i, for the first of them that exists. With `tolerant` 1 it is success that none does, with 2 any failure is.",
  },
  {
    name: "systemd-call",
    code: 141,
    in: anywhere,
    fields: { socket: "text", greeting: "bytes", call: "bytes", pidAt: "u32", waits: "u32", missing: "u32", recovery: "bytes" },
    does: "Connects to the D-Bus `socket` as our own uid, sends the messages `greeting`, then the method call `call`, with the child's pid put into it at byte `pidAt` unless that is 0, and reads its reply, for up to 30 s. With `waits` it also waits for the signal that the job named in the reply is done. With `missing` it is success that the unit does not exist; when it exists already, and there is a `recovery`, that message is sent and the call repeated once.",
  },
  {
    name: "change-owner",
    code: 142,
    in: anywhere,
    fields: { path: "text", uid: "u32", gid: "u32" },
    does: "Gives `path`, which is not followed, to `uid` and `gid`; 0xffffffff keeps one. A missing one is success.",
  },
  {
    name: "write-and-await",
    code: 143,
    in: anywhere,
    fields: { path: "text", data: "text", answer: "text", expected: "text", undo: "text", limitMs: "u32" },
    does: "Writes `data` to `path` until the file `answer` has the line `expected`, for at most `limitMs`; then it writes `undo`, unless that is empty, and fails with ETIMEDOUT.",
  },
  {
    name: "signal-cgroup",
    code: 144,
    in: anywhere,
    fields: { path: "text", signal: "u32" },
    does: "Sends `signal` to every process in the cgroup `path` and those below it; a missing one is success.",
  },
  {
    name: "remove-empty-cgroup",
    code: 145,
    in: anywhere,
    fields: { path: "text" },
    does: "Removes the cgroup `path` if it is empty and was made as another's missing parent (`make-cgroup`); all else is left, and a missing one is success.",
  },
  {
    name: "make-cpuset",
    code: 170,
    in: anywhere,
    fields: { top: "text", path: "text" },
    does: "As `make-cgroup`, and each cpuset from below `top` down to `path` that has no CPUs or no memory nodes gets its parent's.",
  },
];
