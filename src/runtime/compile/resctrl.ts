/**
 * `linux.intelRdt`: shares of caches and memory bandwidth, as directories of the resctrl file system.
 *
 * @see runtime-spec config-linux.md#intelrdt; Documentation/filesystems/resctrl.rst
 */
import { CodedError } from "#base/errors.ts";
import type { Step } from "#program/encode.ts";
import type { LinuxConfig } from "#spec/runtime-config.ts";
import { joinPath, step, unsupported, type Context } from "./context.ts";

/** The steps about resctrl, by the moment at which they run. */
export interface ResctrlPlan {
  /** In the executor, before the clone: make and fill the directories. */
  readonly prepare: readonly Step[];
  /** In the executor, while the child waits: put it in. */
  readonly assign: readonly Step[];
  /** When the container is deleted, or after a failure. */
  readonly cleanup: readonly Step[];
}

/** The statfs() type of resctrl. */
const resctrlSuperMagic = 0x7655821;

type Resctrl = NonNullable<LinuxConfig["intelRdt"]>;

/**
 * Compiles `linux.intelRdt`.
 * @throws CodedError `unsupported` when resctrl is not mounted, `not-found` when a directory that must be there is not,
 * `wrong-state` when it is there with other schemata.
 */
export function compileResctrl({ linux, facts, id }: Context): ResctrlPlan {
  const { intelRdt } = linux;
  if (intelRdt === undefined) return { prepare: [], assign: [], cleanup: [] };
  const at = "/linux/intelRdt";
  const mountPoint = facts.findResctrl();
  if (mountPoint === undefined) throw unsupported(at, "the resctrl file system is not mounted");
  const closId = intelRdt.closID ?? "";
  const group = joinPath(mountPoint, closId === "" ? id : closId);
  const lines = schemataLines(intelRdt);
  const present = facts.readSchemata(group);
  if (closId !== "") checkGroup({ present, lines, group });
  // A directory of the container's id that is there already is somebody else's: it is used, and left.
  const isOurs = closId === "" && present === undefined;
  const monitor = intelRdt.enableMonitoring === true ? `${group}/mon_groups/${id}` : undefined;
  const directories = [...(present === undefined ? [group] : []), ...(monitor === undefined ? [] : [monitor])];
  const remove = (path: string): Step => step({ op: "remove-directory", path }, at);
  const [makeGroup, ...makeMonitor] = directories.map((path) => step({ op: "ensure-directory", path, mode: 0o755 }, at));
  return {
    prepare: [
      ...(makeGroup === undefined ? [] : [makeGroup]),
      ...makeMonitor,
      ...(lines.length === 0
        ? []
        : [
            step(
              { op: "write", path: `${group}/schemata`, data: lines.map((line) => `${line}\n`).join(""), fsMagic: resctrlSuperMagic },
              at,
            ),
          ]),
    ],
    assign: [group, ...(monitor === undefined ? [] : [monitor])].map((path) =>
      step({ op: "child-pid", path: `${path}/tasks`, create: 0 }, at),
    ),
    // With the group its monitors go too.
    cleanup: isOurs ? [remove(group)] : monitor === undefined ? [] : [remove(monitor)],
  };
}

/**
 * Other shares for a container that has a group: what `update` writes to its `schemata`.
 * @throws CodedError `unsupported` when resctrl is not mounted, `wrong-state` when the container has no group
 */
export function compileResctrlUpdate({ linux, facts, id }: Pick<Context, "linux" | "facts" | "id">, change: Resctrl): Step[] {
  const lines = schemataLines(change);
  if (lines.length === 0) return [];
  const at = "/linux/intelRdt";
  const mountPoint = facts.findResctrl();
  if (mountPoint === undefined) throw unsupported(at, "the resctrl file system is not mounted");
  const { closID = "" } = linux.intelRdt ?? {};
  const group = joinPath(mountPoint, closID === "" ? id : closID);
  if (linux.intelRdt === undefined || facts.readSchemata(group) === undefined)
    throw new CodedError("wrong-state", `cannot change ${group}: the container was made without shares of caches (${at})`);
  return [
    step({ op: "write", path: `${group}/schemata`, data: lines.map((line) => `${line}\n`).join(""), fsMagic: resctrlSuperMagic }, at),
  ];
}

/** The lines for `schemata`, in the order that the specification asks for. */
function schemataLines({ l3CacheSchema = "", memBwSchema = "", schemata = [] }: Resctrl): string[] {
  return [...l3CacheSchema.split("\n"), memBwSchema, ...schemata].filter((line) => line.trim() !== "");
}

function checkGroup({ present, lines, group }: { present: string | undefined; lines: readonly string[]; group: string }): void {
  const at = "/linux/intelRdt/closID";
  if (present === undefined) {
    if (lines.length > 0) return;
    throw new CodedError("not-found", `cannot join ${group}: there is no such directory, and no schemata to make it with (${at})`, {
      details: { pointer: at },
    });
  }
  const values = parseSchemata(present.split("\n"));
  for (const [key, value] of parseSchemata(lines)) {
    if (values.get(key) === value) continue;
    throw new CodedError(
      "wrong-state",
      `cannot join ${group}: its schemata have ${values.get(key) ?? "nothing"} for ${key}, not ${value} (${at})`,
      {
        details: { pointer: at },
      },
    );
  }
}

/** Lines such as "L3:0=7f0;1=1f" as a map from "L3:0" to "7f0", without blanks and leading zeros. */
export function parseSchemata(lines: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of lines) {
    const [resource = "", rest = ""] = line.trim().split(":", 2);
    for (const pair of rest.split(";")) {
      const [domain = "", value = ""] = pair.trim().split("=", 2);
      if (domain !== "")
        values.set(
          `${resource.trim()}:${domain.trim()}`,
          value
            .trim()
            .toLowerCase()
            .replace(/^0+(?=.)/, ""),
        );
    }
  }
  return values;
}
