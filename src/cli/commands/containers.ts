/** `gantry run`, `gantry ps`, `gantry rm`: containers. */
import { CodedError } from "#base/errors.ts";
import type { Container } from "#engine/containers/record.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatAge, formatJson, formatTable } from "../output.ts";
import { forEach, shortId } from "./images.ts";
import { formatOption } from "./common-options.ts";
import { containerOptions, containerRequest } from "./options.ts";

/** `gantry run`. */
export const runCommand: Command<CliContext> = {
  name: "run",
  summary: "Run a command in a new container",
  operands: "IMAGE [COMMAND [ARG...]]",
  minOperands: 1,
  maxOperands: Number.POSITIVE_INFINITY,
  stopAtOperand: true,
  completes: "images",
  options: containerOptions,
  description:
    "Runs in the foreground with your standard input (-i), output and error, hands on signals and exits with the command's exit code:\n" +
    "125 when gantry itself failed, 126 when the command cannot be run, 127 when it is not there, 128 + n after signal n.",
  examples: [
    "gantry run --rm debian cat /etc/os-release",
    "echo hello | gantry run --rm -i debian tr a-z A-Z",
    "gantry run --rm -it debian bash",
    "gantry run --rm --memory 64m --pids-limit 20 -v ./data:/data:ro debian ls /data",
  ],
  run: async (context, parsed) => {
    const request = containerRequest(context, parsed);
    if (request.tty && request.interactive && !context.isInputTerminal())
      throw new CodedError("invalid-argument", "cannot use -t with -i: the input device is not a TTY");
    const container = await context.engine().runContainer(request);
    const stop = context.onSignal((number) => {
      container.signal(number);
    });
    try {
      return await container.exitCode;
    } finally {
      stop();
    }
  },
};

/** `gantry ps`. */
export const psCommand: Command<CliContext> = {
  name: "ps",
  summary: "List containers",
  operands: "",
  minOperands: 0,
  maxOperands: 0,
  options: [
    { name: "all", short: "a", help: "show those that ended, too" },
    { name: "quiet", short: "q", help: "print ids only" },
    { name: "no-trunc", help: "print whole ids and commands" },
    formatOption,
  ],
  run: async (context, parsed) => {
    const whole = parsed.switches.has("no-trunc");
    const all = await context.engine().listContainers();
    const shown = parsed.switches.has("all") ? all : all.filter((container) => container.state.status === "running");
    if (valueOf(parsed, "format") === "json") context.output.write(formatJson(shown.map(({ record, state }) => ({ ...record, state }))));
    else if (parsed.switches.has("quiet")) context.output.write(shown.map(({ record }) => `${shortId(record.id, whole)}\n`).join(""));
    else context.output.write(containerTable(shown, whole, context.now()));
    return 0;
  },
};

function containerTable(containers: readonly Container[], whole: boolean, nowMs: number): string {
  const header = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAME"];
  const rows = containers.map(({ record, state }) => {
    const command = record.command.join(" ");
    return [
      shortId(record.id, whole),
      record.image,
      JSON.stringify(whole || command.length <= 20 ? command : `${command.slice(0, 19)}…`),
      formatAge(Date.parse(record.createdAt), nowMs),
      describeState(state, nowMs),
      record.name,
    ];
  });
  return formatTable(header, rows);
}

function describeState(state: Container["state"], nowMs: number): string {
  switch (state.status) {
    case "created":
      return "Created";
    case "running":
      return `Running (pid ${state.pid})`;
    case "exited": {
      const code = state.exitCode ?? "unknown";
      const ago = state.finishedAt === undefined ? "" : ` ${formatAge(state.finishedAt.getTime(), nowMs)}`;
      return `Exited (${code})${ago}${state.outOfMemory ? ", out of memory" : ""}`;
    }
  }
}

/** `gantry rm`. */
export const rmCommand: Command<CliContext> = {
  name: "rm",
  summary: "Remove containers",
  operands: "CONTAINER...",
  minOperands: 1,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "containers",
  options: [{ name: "force", short: "f", help: "kill a running one first; ignore ones that do not exist" }],
  run: async (context, parsed) => {
    const force = parsed.switches.has("force");
    return await forEach(parsed.operands, context, async (reference) => {
      try {
        await context.engine().removeContainer(reference, { force });
        context.output.write(`${reference}\n`);
      } catch (error) {
        if (!(force && error instanceof CodedError && error.code === "not-found")) throw error;
      }
    });
  },
};
