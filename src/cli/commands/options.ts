/** Options that several commands share. */
import { CodedError } from "#base/errors.ts";
import { parseSize } from "#base/units.ts";
import { parseVolume, type ContainerRequest } from "#engine/containers/request.ts";
import { parseSeccompProfile } from "#engine/containers/seccomp-profile.ts";
import { type OptionSpec, type ParsedArguments, valueOf, valuesOf } from "../command.ts";
import type { CliContext } from "../context.ts";

/** What describes a container: `run` and `explain` take the same. */
export const containerOptions: readonly OptionSpec[] = [
  { name: "cpus", value: "NUMBER", help: "limit to this many CPUs' worth of time (1.5)" },
  { name: "entrypoint", value: "COMMAND", help: "run this instead of the image's entrypoint" },
  { name: "env", short: "e", value: "NAME[=VALUE]", multiple: true, help: "set a variable; without a value, yours is handed on" },
  { name: "env-file", value: "FILE", multiple: true, help: "set the variables in a file of NAME=VALUE lines" },
  { name: "hostname", short: "h", value: "NAME", help: "the container's host name" },
  { name: "interactive", short: "i", help: "hand on standard input" },
  { name: "label", short: "l", value: "NAME=VALUE", multiple: true, help: "attach a label" },
  { name: "memory", short: "m", value: "SIZE", help: "limit memory (512m, 2g)" },
  { name: "name", value: "NAME", help: "the container's name" },
  { name: "network", value: "KIND", choices: ["none", "host"], help: "none: a network of its own with loopback only (default)" },
  { name: "pids-limit", value: "COUNT", help: "limit processes and threads; -1 for no limit" },
  { name: "read-only", help: "make the root file system read-only" },
  { name: "rm", help: "remove the container when it ends" },
  { name: "tty", short: "t", help: "give it a terminal; with -i it is driven by yours" },
  {
    name: "security-opt",
    value: "seccomp=FILE",
    multiple: true,
    help: "allow other system calls than Docker does; seccomp=unconfined allows all",
  },
  { name: "user", short: "u", value: "USER[:GROUP]", help: "run as this user, by name or number" },
  { name: "volume", short: "v", value: "SOURCE:TARGET[:ro]", multiple: true, help: "show a host directory or file in the container" },
  { name: "workdir", short: "w", value: "DIR", help: "working directory in the container" },
];

/** The request that a command line of `run` or `explain` makes. @throws CodedError `invalid-argument` */
export function containerRequest(context: CliContext, parsed: ParsedArguments): ContainerRequest {
  const [image = "", ...command] = parsed.operands;
  const optional = (option: string, key: string): Record<string, string> => {
    const value = valueOf(parsed, option);
    return value === undefined ? {} : { [key]: value };
  };
  const memory = valueOf(parsed, "memory");
  const pids = valueOf(parsed, "pids-limit");
  const cpus = valueOf(parsed, "cpus");
  return {
    image,
    command,
    ...optional("entrypoint", "entrypoint"),
    ...optional("name", "name"),
    ...optional("hostname", "hostname"),
    ...optional("workdir", "workingDirectory"),
    ...optional("user", "user"),
    env: environmentOf(context, parsed),
    labels: labelsOf(valuesOf(parsed, "label")),
    volumes: valuesOf(parsed, "volume").map((text) => parseVolume(text, context.currentDirectory)),
    readOnly: parsed.switches.has("read-only"),
    ...(memory === undefined ? {} : { memoryBytes: parseSize(memory, "--memory") }),
    ...(pids === undefined ? {} : { pidsLimit: parseNumber("--pids-limit", pids) }),
    ...(cpus === undefined ? {} : { cpus: parseNumber("--cpus", cpus) }),
    network: valueOf(parsed, "network") === "host" ? "host" : "none",
    ...seccompOf(context, valuesOf(parsed, "security-opt")),
    autoRemove: parsed.switches.has("rm"),
    interactive: parsed.switches.has("interactive"),
    tty: parsed.switches.has("tty"),
  };
}

function environmentOf(context: CliContext, parsed: ParsedArguments): string[] {
  const fromFiles = valuesOf(parsed, "env-file").flatMap((path) =>
    context
      .readText(path)
      .split("\n")
      .map((line) => line.trimStart())
      .filter((line) => line !== "" && !line.startsWith("#")),
  );
  return [...fromFiles, ...valuesOf(parsed, "env")].flatMap((entry) => {
    if (entry.includes("=")) return [entry];
    const value = context.environment[entry];
    return value === undefined ? [] : [`${entry}=${value}`];
  });
}

function seccompOf(context: CliContext, entries: readonly string[]): Pick<ContainerRequest, "seccomp"> {
  let found: Pick<ContainerRequest, "seccomp"> = {};
  for (const entry of entries) {
    const path = entry.startsWith("seccomp=") ? entry.slice("seccomp=".length) : "";
    if (path === "") {
      throw new CodedError("invalid-argument", `option --security-opt is ${JSON.stringify(entry)}, not seccomp=FILE or seccomp=unconfined`);
    }
    found = { seccomp: path === "unconfined" ? "unconfined" : parseSeccompProfile(context.readText(path), path) };
  }
  return found;
}

function labelsOf(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.indexOf("=");
      return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

function parseNumber(option: string, text: string): number {
  if (!/^-?\d+(\.\d+)?$/.test(text)) throw new CodedError("invalid-argument", `option ${option} is ${JSON.stringify(text)}, not a number`);
  return Number(text);
}
