/** `exec`: another process in a container that runs. */
import { CodedError } from "#base/errors.ts";
import { byDefault } from "#runtime/compile/context.ts";
import { compileJoin, type Subgroup } from "#runtime/compile/join.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { requireContainer } from "#runtime/lifecycle.ts";
import { readState } from "#runtime/state.ts";
import { parseRuntimeConfig } from "#spec/runtime-config.ts";
import type { ConfigProcess } from "#spec/runtime-config.ts";
import { UsageError } from "../arguments.ts";
import { type ParsedArguments, valueOf, valuesOf } from "../command.ts";
import { stateRootOf, type ProgramCommand, type RuntimeContext } from "./context.ts";
import { passedDescriptors } from "./descriptors.ts";

export const execCommand: ProgramCommand = {
  name: "exec",
  summary: "Run another process in a container",
  operands: "ID [COMMAND [ARG...]]",
  minOperands: 1,
  maxOperands: Infinity,
  stopAtOperand: true,
  options: [
    { name: "console-socket", value: "PATH", help: "unix socket that gets the terminal of a process that is left running" },
    { name: "pidfd-socket", value: "PATH", help: "unix socket that gets a pidfd of the process" },
    { name: "cwd", value: "DIR", help: "the process's working directory" },
    { name: "env", short: "e", value: "NAME=VALUE", multiple: true, help: "add a variable to its environment" },
    { name: "tty", short: "t", help: "give it a terminal" },
    { name: "user", short: "u", value: "UID[:GID]", help: "run it as this user" },
    { name: "additional-gids", short: "g", value: "GID", multiple: true, help: "a further group" },
    { name: "process", short: "p", value: "FILE", help: "the process as JSON, instead of a command and options" },
    { name: "detach", short: "d", help: "leave it as soon as it runs" },
    { name: "pid-file", value: "FILE", help: "write its pid to this file" },
    { name: "process-label", value: "LABEL", help: "its SELinux label" },
    { name: "apparmor", value: "PROFILE", help: "its AppArmor profile" },
    { name: "no-new-privs", help: "it cannot gain privileges" },
    { name: "cap", short: "c", value: "CAPABILITY", multiple: true, help: "add a capability" },
    { name: "preserve-fds", value: "COUNT", help: "pass on this many descriptors, from 3 on, after those of LISTEN_FDS" },
    {
      name: "cgroup",
      value: "[CONTROLLER,...:]PATH",
      multiple: true,
      help: "put it into this cgroup below the container's (v1: of these controllers)",
    },
    { name: "ignore-paused", help: "do it in a paused container as well, where it waits" },
  ],
  compile: (context, parsed) => {
    const { program } = context;
    const [id = ""] = parsed.operands;
    const root = stateRootOf(context);
    const { record, files } = requireContainer(root, id);
    const { status, pid } = readState(root, id).state;
    requireRunning(status, id, parsed.switches.has("ignore-paused"));
    const [pidFile, consoleSocket] = [valueOf(parsed, "pid-file"), valueOf(parsed, "console-socket")];
    const pidfdSocket = valueOf(parsed, "pidfd-socket") ?? "";
    const receiver = { path: program.resolvePath(pidfdSocket), message: "setns", origin: byDefault("the caller asked for a pidfd") };
    const given = {
      ...(pidfdSocket === "" ? {} : { pidfdReceivers: [receiver] }),
      ...(pidFile === undefined ? {} : { pidFile: program.resolvePath(pidFile) }),
      descriptors: passedDescriptors(program, parsed),
    };
    const socket = consoleSocket === undefined ? {} : { consoleSocket: program.resolvePath(consoleSocket) };
    return compileJoin({
      record,
      files,
      pid,
      process: processOf(context, parsed, record.config.process ?? { cwd: "/" }),
      facts: readHostFacts(),
      subgroups: valuesOf(parsed, "cgroup").map(toSubgroup),
      supervision: parsed.switches.has("detach") ? { kind: "detached", ...given, ...socket } : { kind: "foreground", ...given },
      warn: context.warn,
    });
  },
  describe: async (_, parsed, { program, opIndex, errno }) => {
    if (program.main[opIndex]?.op.op === "open-process" && errno === 3)
      return new CodedError("wrong-state", `cannot exec in container ${JSON.stringify(parsed.operands[0])}: container not running`);
    const { describeFailure } = await import("#runtime/describe-failure.ts");
    return describeFailure(program, { opIndex, errno });
  },
};

/** "/path", or "memory,cpu:/path". */
function toSubgroup(word: string): Subgroup {
  const [, controllers = "", path = ""] = /^(?:([a-z0-9_,=.]+):)?(.+)$/.exec(word) ?? [];
  if (path === "") throw new UsageError(`option --cgroup is ${JSON.stringify(word)}, not PATH or CONTROLLER:PATH`);
  return { controllers: controllers.split(",").filter((name) => name !== ""), path };
}

function requireRunning(status: string, id: string, ignorePaused: boolean): void {
  const fail = (why: string): CodedError => new CodedError("wrong-state", `cannot exec in container ${JSON.stringify(id)}: ${why}`);
  if (status === "stopped") throw fail("container not running");
  if (status === "paused" && !ignorePaused) throw fail("it is paused (resume it, or use --ignore-paused)");
}

/** The process that the options describe, on the model of the container's own, or that a file holds. */
function processOf({ program }: RuntimeContext, parsed: ParsedArguments, model: ConfigProcess): ConfigProcess {
  const file = valueOf(parsed, "process");
  const isTerminal = parsed.switches.has("tty");
  if (file !== undefined) {
    const { process } = parseRuntimeConfig({ ociVersion: "1.3.0", process: parseJson(program.readText(file), file) });
    if (process === undefined) throw new UsageError(`${file} holds no process`);
    return isTerminal ? { ...process, terminal: true } : process;
  }
  const args = parsed.operands.slice(1);
  if (args.length === 0) throw new UsageError("process args cannot be empty");
  const gids = valuesOf(parsed, "additional-gids").map((word) => toId(word));
  const [label, profile] = [valueOf(parsed, "process-label"), valueOf(parsed, "apparmor")];
  return {
    ...model,
    args,
    terminal: isTerminal,
    cwd: valueOf(parsed, "cwd") ?? model.cwd,
    env: [...(model.env ?? []), ...valuesOf(parsed, "env")],
    user: userOf(valueOf(parsed, "user"), gids, model.user),
    capabilities: withCapabilities(model.capabilities ?? {}, valuesOf(parsed, "cap")),
    ...(label === undefined ? {} : { selinuxLabel: label }),
    ...(profile === undefined ? {} : { apparmorProfile: profile }),
    ...(parsed.switches.has("no-new-privs") ? { noNewPrivileges: true } : {}),
  };
}

function userOf(word: string | undefined, gids: readonly number[], model: ConfigProcess["user"]): NonNullable<ConfigProcess["user"]> {
  const additionalGids = [...(model?.additionalGids ?? []), ...gids];
  if (word === undefined) return { uid: 0, gid: 0, ...model, additionalGids };
  const [uid = "", gid] = word.split(":");
  return { ...model, uid: toId(uid), gid: gid === undefined ? (model?.gid ?? 0) : toId(gid), additionalGids };
}

function toId(word: string): number {
  if (/^\d{1,10}$/.test(word) && Number(word) < 2 ** 32 - 1) return Number(word);
  throw new UsageError(`${JSON.stringify(word)} is no user or group number`);
}

/** As runc: into all sets but the ambient one, and that too where a capability is inheritable already. */
function withCapabilities(
  model: NonNullable<ConfigProcess["capabilities"]>,
  names: readonly string[],
): NonNullable<ConfigProcess["capabilities"]> {
  if (names.length === 0) return model;
  const add = (set: readonly string[] | undefined): string[] => [...new Set([...(set ?? []), ...names])];
  return { ...model, bounding: add(model.bounding), effective: add(model.effective), permitted: add(model.permitted) };
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CodedError("invalid-spec", `cannot read ${path}: it is no JSON`, { cause });
  }
}
