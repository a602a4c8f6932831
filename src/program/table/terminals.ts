/** The process's terminal, its standard descriptors and those that a caller passes on. */
import { child, main, mainOrChild, type OpDefinition } from "./op.ts";

export const terminalOps: readonly OpDefinition[] = [
  {
    name: "open-console",
    code: 150,
    in: main,
    fields: { path: "text" },
    does: "Connects to the listening unix stream socket at the host path `path`, for the child's `terminal` to send the master to.",
  },
  {
    name: "terminal",
    code: 151,
    in: child,
    fields: { width: "u32", height: "u32", uid: "u32", console: "u32" },
    does: "Makes a pseudo terminal of the devpts at /dev/pts (checked: CVE-2025-52565), owned by `uid`, the controlling terminal and descriptors 0-2; with `console` it is bound over /dev/console too. The master goes over the socket of `open-console` with the terminal's name or, when there is none, to the parent, whose `supervise` relays it; then a size that the caller's terminal has is taken instead of `width` columns and `height` rows.",
  },
  {
    name: "own-stdio",
    code: 152,
    in: mainOrChild,
    fields: { uid: "u32" },
    does: "Gives descriptors 0-2 to `uid` unless they are devices, so that /dev/stdout can be opened; EPERM, EROFS and EINVAL are let pass.",
  },
  {
    name: "pass-descriptors",
    code: 153,
    in: main,
    fields: { count: "u32" },
    does: "Lets the child's `exec` keep the caller's descriptors 3 to 2 + `count`, all of which must be open; EBADF otherwise.",
  },
];
