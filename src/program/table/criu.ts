/** criu, which writes processes to files and makes them again: a program that the child becomes and the executor talks to. */
import { child, main, type OpDefinition } from "./op.ts";

export const criuOps: readonly OpDefinition[] = [
  {
    name: "keep-descriptor",
    code: 155,
    in: child,
    fields: { path: "text", fd: "u32" },
    does: "Opens the host file or directory `path` for reading as descriptor `fd`, in place of what that was; `exec` keeps the descriptors from 3 to `fd`. For the last steps before it.",
  },
  {
    name: "pass-channel",
    code: 156,
    in: child,
    fields: { fd: "u32" },
    does: "Makes a pair of SOCK_SEQPACKET sockets: one goes to the parent, the other becomes descriptor `fd`, as by `keep-descriptor`.",
  },
  {
    name: "request-criu",
    code: 157,
    in: main,
    fields: { request: "bytes" },
    does: "Sends the child, which has become criu, `request` (criu_req of criu's rpc.proto) over the channel of `pass-channel`.",
  },
  {
    name: "await-criu",
    code: 158,
    in: main,
    fields: { notice: "text", status: "u32" },
    does: 'Agrees to criu\'s notifications until that named `notice` comes, whose process hooks are told of and which the next `await-criu` agrees to; when it is empty, until the result. At "status-ready" a zero byte is written to descriptor `status` (4294967295: none); at "orphan-pts-master" the terminal goes where that of `terminal` would. criu\'s failure is the errno that it gives, or EPROTO; ECONNRESET when it ended without a word.',
  },
  {
    name: "end-criu",
    code: 159,
    in: main,
    fields: { adopt: "u32" },
    does: "Closes the channel and waits for criu's end; with `adopt` the process that it restored (beside itself) becomes the child.",
  },
];
