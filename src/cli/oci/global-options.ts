/** The options of `gantry-runtime` that stand before the command's name: the union of runc's and crun's. */
import { UsageError } from "../arguments.ts";
import { type OptionSpec, type ParsedArguments, valueOf } from "../command.ts";

/** As data, for parsing, help and completion. */
export const globalOptions: readonly OptionSpec[] = [
  { name: "root", value: "DIR", help: "directory of the containers' state" },
  { name: "log", value: "FILE", help: "append errors and warnings to this file as well" },
  { name: "log-format", value: "FORMAT", choices: ["text", "json"], help: "how they are written" },
  {
    name: "log-level",
    value: "LEVEL",
    choices: ["error", "warning", "info", "debug"],
    help: "from which level on standard error has them",
  },
  { name: "debug", help: "the same as --log-level debug" },
  { name: "systemd-cgroup", help: "the same as --cgroup-manager systemd" },
  { name: "cgroup-manager", value: "MANAGER", choices: ["cgroupfs", "systemd", "disabled"], help: "who makes cgroups" },
  {
    name: "rootless",
    value: "BOOL",
    choices: ["true", "false", "auto"],
    help: "go on where cgroups may not be changed (auto: unless root)",
  },
  { name: "criu", value: "PATH", help: "the criu program (default: searched on the PATH)" },
  { name: "help", short: "h", help: "print help" },
  { name: "version", short: "v", secondShort: "V", help: "print the version" },
];

/** What the options before the command's name ask for. */
export interface GlobalSettings {
  /** Absolute path of the directory of all containers' state. */
  readonly root: string;
  /** Whether the command line names the root. */
  readonly isRootGiven: boolean;
  /** Who makes cgroups; `disabled`: nobody. */
  readonly cgroupManager: "cgroupfs" | "systemd" | "disabled";
  /** Whether to go on where cgroups may not be changed; `auto`: when this is not root. */
  readonly rootless: "true" | "false" | "auto";
  /** Name or path of the criu program. */
  readonly criu: string;
}

/** Understands the options. @throws UsageError when two contradict, or the root is the file system's */
export function readSettings(
  parsed: ParsedArguments,
  host: { readonly defaultRoot: string; readonly resolvePath: (path: string) => string },
): GlobalSettings {
  const given = valueOf(parsed, "root");
  const root = host.resolvePath(given ?? host.defaultRoot);
  // Most likely an empty variable or one ".." too many: no container's state lies there.
  if (given === "" || root === "/") throw new UsageError("option --root must not be empty or /");
  return {
    root,
    isRootGiven: given !== undefined,
    cgroupManager: cgroupManagerOf(parsed),
    rootless: (valueOf(parsed, "rootless") ?? "auto") as GlobalSettings["rootless"],
    criu: valueOf(parsed, "criu") ?? "criu",
  };
}

function cgroupManagerOf(parsed: ParsedArguments): GlobalSettings["cgroupManager"] {
  const manager = valueOf(parsed, "cgroup-manager") as GlobalSettings["cgroupManager"] | undefined;
  if (!parsed.switches.has("systemd-cgroup")) return manager ?? "cgroupfs";
  if (manager !== undefined && manager !== "systemd")
    throw new UsageError(`options --systemd-cgroup and --cgroup-manager ${manager} contradict each other`);
  return "systemd";
}
