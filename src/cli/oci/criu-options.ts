/** The options that `checkpoint` and `restore` have in common, and what they mean to criu. */
import { CodedError } from "#base/errors.ts";
import { type CgroupMode, cgroupModeNumber, type CriuOptions, type NetworkLock, networkLockNumber } from "#runtime/compile/criu/request.ts";
import type { CriuCall } from "#runtime/compile/criu/talk.ts";
import { criuErrors } from "#runtime/criu-facts.ts";
import { describeFailure } from "#runtime/describe-failure.ts";
import type { Program } from "#program/encode.ts";
import { UsageError } from "../arguments.ts";
import { type OptionSpec, type ParsedArguments, valueOf } from "../command.ts";
import type { FailedOp, RuntimeContext } from "./context.ts";

/** Switches of ours and the options of criu that they set. */
const switches = {
  "tcp-established": "tcpEstablished",
  "tcp-skip-in-flight": "tcpSkipInFlight",
  "tcp-close": "tcpClose",
  "ext-unix-sk": "externalUnixSockets",
  "shell-job": "shellJob",
  "file-locks": "fileLocks",
  "link-remap": "linkRemap",
  "lazy-pages": "lazyPages",
  "auto-dedup": "autoDedup",
} as const satisfies Record<string, keyof CriuOptions>;

/** Options of both. */
export const sharedCriuOptions: readonly OptionSpec[] = [
  { name: "image-path", value: "DIR", help: "the image (default: checkpoint in the current directory)" },
  { name: "work-path", value: "DIR", help: "where criu's log goes (default: the image)" },
  { name: "parent-path", value: "DIR", help: "the image of an earlier --pre-dump, relative to this one" },
  { name: "tcp-established", help: "keep open TCP connections" },
  { name: "tcp-skip-in-flight", help: "leave out TCP connections that are being made" },
  { name: "tcp-close", help: "close TCP connections" },
  { name: "ext-unix-sk", help: "allow Unix sockets to processes outside" },
  { name: "shell-job", help: "allow a session that began outside" },
  { name: "file-locks", help: "keep file locks" },
  { name: "link-remap", help: "keep files whose names were removed" },
  { name: "lazy-pages", help: "leave memory where it is until it is needed" },
  { name: "auto-dedup", help: "store no page of memory twice" },
  {
    name: "manage-cgroups-mode",
    value: "MODE",
    choices: ["soft", "full", "strict", "ignore"],
    help: "what happens to cgroups (default: soft)",
  },
  { name: "empty-ns", value: "KIND", multiple: true, choices: ["network"], help: "keep nothing of this namespace (always so)" },
  { name: "network-lock", value: "METHOD", choices: ["iptables", "nftables", "skip"], help: "how connections are held meanwhile" },
  { name: "page-server", value: "ADDRESS:PORT", help: "where memory goes, or comes from" },
  { name: "status-fd", value: "FD", help: "gets a zero byte when lazy pages can be asked for" },
];

/** What these options ask of criu. @throws UsageError */
export function criuOptionsOf(parsed: ParsedArguments): CriuOptions {
  const given = Object.entries(switches).filter(([name]) => parsed.switches.has(name));
  const lock = valueOf(parsed, "network-lock") as NetworkLock | undefined;
  const server = valueOf(parsed, "page-server") ?? "";
  return {
    ...Object.fromEntries(given.map(([, option]) => [option, 1])),
    manageCgroups: 1,
    cgroupMode: cgroupModeNumber((valueOf(parsed, "manage-cgroups-mode") ?? "soft") as CgroupMode),
    ...(lock === undefined ? {} : { networkLock: networkLockNumber(lock) }),
    ...(server === "" ? {} : { pageServer: parsePageServer(server) }),
  };
}

function parsePageServer(server: string): [address: string, port: number] {
  const [, address, port] = /^\[?(.+?)\]?:(\d{1,5})$/.exec(server) ?? [];
  if (address === undefined || Number(port) > 65_535 || port === undefined)
    throw new UsageError(`option --page-server is ${JSON.stringify(server)}, not ADDRESS:PORT`);
  return [address, Number(port)];
}

/** Which criu is asked, and where its files are. @throws UsageError, CodedError `not-found` when there is no criu */
export function criuCallOf({ program, settings }: RuntimeContext, parsed: ParsedArguments): CriuCall {
  const imagePath = program.resolvePath(valueOf(parsed, "image-path") || "checkpoint");
  const workPath = valueOf(parsed, "work-path") ?? "";
  const statusFd = valueOf(parsed, "status-fd") ?? "-1";
  if (!/^(-1|\d{1,6})$/.test(statusFd)) throw new UsageError(`option --status-fd is ${JSON.stringify(statusFd)}, not a descriptor`);
  return {
    program: program.findProgram(settings.criu),
    environment: program.environment,
    imagePath,
    workPath: workPath === "" ? imagePath : program.resolvePath(workPath),
    ...(statusFd === "-1" ? {} : { statusFd: Number(statusFd) }),
  };
}

/** The error for a failed op; when criu failed, its log knows why. */
export function describeCriuFailure(
  { verb, id, workPath, log }: { readonly verb: string; readonly id: string; readonly workPath: string; readonly log: string },
  { program, ...failure }: FailedOp & { readonly program: Program },
): Error {
  const error = describeFailure(program, failure);
  if (program.main[failure.opIndex]?.op.op !== "await-criu") return error;
  const why = criuErrors(workPath, log) || error.message.replace(/^.*?: /, "");
  return new CodedError("unavailable", `cannot ${verb} container ${JSON.stringify(id)}: criu failed: ${why} (see ${workPath}/${log})`);
}
