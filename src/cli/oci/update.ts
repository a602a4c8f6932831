/** `update`: other limits for a container that is there. */
import { CodedError } from "#base/errors.ts";
import { parseSize } from "#base/units.ts";
import type { CgroupManager } from "#runtime/compile/context.ts";
import { compileUpdate } from "#runtime/compile/cgroup/update.ts";
import type { ContainerRecord } from "#runtime/compile/lifecycle.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { requireContainer } from "#runtime/lifecycle.ts";
import { type LinuxResources, parseRuntimeConfig } from "#spec/runtime-config.ts";
import { UsageError } from "../arguments.ts";
import { type OptionSpec, type ParsedArguments, valueOf } from "../command.ts";
import { stateRootOf, type ProgramCommand } from "./context.ts";

type Change = (resources: LinuxResources, value: string) => LinuxResources;

const inCpu =
  (key: string, read: (word: string) => unknown): Change =>
  (resources, word) => ({ ...resources, cpu: { ...resources.cpu, [key]: read(word) } });
const inMemory =
  (key: string): Change =>
  (resources, word) => ({ ...resources, memory: { ...resources.memory, [key]: toBytes(word) } });

/** Each limit that has an option of its own, and what it changes in the document. */
const limits: readonly (OptionSpec & { readonly change: Change })[] = [
  {
    name: "blkio-weight",
    value: "WEIGHT",
    help: "share of block I/O, 10 to 1000",
    change: (resources, word) => ({ ...resources, blockIO: { ...resources.blockIO, weight: toInteger(word) } }),
  },
  { name: "cpu-period", value: "MICROSECONDS", help: "length of a CPU period", change: inCpu("period", toInteger) },
  { name: "cpu-quota", value: "MICROSECONDS", help: "CPU time in a period; -1: no limit", change: inCpu("quota", toInteger) },
  { name: "cpu-burst", value: "MICROSECONDS", help: "CPU time that may be saved up", change: inCpu("burst", toInteger) },
  { name: "cpu-share", value: "SHARES", help: "share of CPU time against other containers", change: inCpu("shares", toInteger) },
  { name: "cpu-rt-period", value: "MICROSECONDS", help: "length of a realtime period", change: inCpu("realtimePeriod", toInteger) },
  { name: "cpu-rt-runtime", value: "MICROSECONDS", help: "realtime in a period", change: inCpu("realtimeRuntime", toInteger) },
  { name: "cpu-idle", value: "0|1", help: "run only when nobody else wants the CPU", change: inCpu("idle", toInteger) },
  { name: "cpuset-cpus", value: "LIST", help: "CPUs that may be used, as 0-2,4", change: inCpu("cpus", (word) => word) },
  { name: "cpuset-mems", value: "LIST", help: "memory nodes that may be used", change: inCpu("mems", (word) => word) },
  { name: "memory", value: "BYTES", help: "memory; -1: no limit", change: inMemory("limit") },
  { name: "memory-reservation", value: "BYTES", help: "memory that is left alone under pressure", change: inMemory("reservation") },
  { name: "memory-swap", value: "BYTES", help: "memory and swap together; -1: no limit", change: inMemory("swap") },
  {
    name: "pids-limit",
    value: "COUNT",
    help: "processes; -1: no limit",
    change: (resources, word) => ({ ...resources, pids: { limit: toInteger(word) } }),
  },
];

const shares: readonly OptionSpec[] = [
  { name: "l3-cache-schema", value: "LINES", help: "shares of the L3 cache, as L3:0=7f0;1=1f" },
  { name: "mem-bw-schema", value: "LINE", help: "shares of memory bandwidth, as MB:0=20;1=70" },
];

const ignored: readonly OptionSpec[] = [
  { name: "kernel-memory", value: "BYTES", help: "ignored: the kernel has no such limit any more" },
  { name: "kernel-memory-tcp", value: "BYTES", help: "ignored as well" },
];

export const updateCommand: ProgramCommand = {
  name: "update",
  summary: "Change the limits of a container",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: [
    { name: "resources", short: "r", value: "FILE", help: 'a document like linux.resources of config.json; "-": standard input' },
    ...limits,
    ...shares,
    ...ignored,
  ],
  compile: (context, parsed) => {
    const { record } = requireContainer(stateRootOf(context), parsed.operands[0] ?? "");
    for (const { name } of ignored) if (valueOf(parsed, name) !== undefined) context.warn(`ignored --${name}`);
    const main = compileUpdate({
      resources: resourcesOf(parsed, context.program.readText),
      intelRdt: { l3CacheSchema: valueOf(parsed, "l3-cache-schema") ?? "", memBwSchema: valueOf(parsed, "mem-bw-schema") ?? "" },
      cgroups: record.cgroups,
      facts: readHostFacts(),
      // As made, whatever this call says.
      cgroupManager: managerOf(record),
      config: record.config,
      id: record.id,
      warn: context.warn,
    });
    return { main, cleanup: [], children: [] };
  },
};

function managerOf({ cleanup }: ContainerRecord): CgroupManager {
  return cleanup.some(({ op }) => op.op === "systemd-call") ? "systemd" : "cgroupfs";
}

/** The document of `--resources` with the other options on top, as runc does not allow and crun does. */
function resourcesOf(parsed: ParsedArguments, readText: (path: string) => string): LinuxResources {
  const file = valueOf(parsed, "resources");
  let resources = file === undefined ? {} : parseResources(readText(file), file);
  for (const { name, change } of limits) {
    const value = valueOf(parsed, name);
    if (value !== undefined && value !== "") resources = change(resources, value);
  }
  return resources;
}

function parseResources(text: string, file: string): LinuxResources {
  let resources: unknown;
  try {
    resources = JSON.parse(text);
  } catch (cause) {
    throw new CodedError("invalid-spec", `cannot read ${file === "-" ? "standard input" : file}: it is no JSON`, { cause });
  }
  return parseRuntimeConfig({ ociVersion: "1.3.0", linux: { resources } }).linux?.resources ?? {};
}

function toInteger(word: string): number {
  if (/^-?\d{1,15}$/.test(word)) return Number(word);
  throw new UsageError(`${JSON.stringify(word)} is no whole number`);
}

function toBytes(word: string): number {
  return word === "-1" ? -1 : parseSize(word, "a limit");
}
