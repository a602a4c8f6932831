/** Rules about parts of the host that a container is given: `linux.netDevices` and `linux.intelRdt`. */
import type { RuntimeConfig } from "../runtime-config.ts";
import { pointerTo } from "../shape.ts";
import { problemIf, type Check, type Problem } from "./problem.ts";

export const hostPartChecks: readonly Check[] = [
  { name: "network devices go with a network namespace and have names that the kernel takes", find: findInterfaceProblems },
  { name: "intelRdt names one directory, and its schemata are single lines", find: findResctrlProblems },
];

function findInterfaceProblems({ linux }: RuntimeConfig): Problem[] {
  const entries = Object.entries(linux?.netDevices ?? {});
  if (entries.length === 0) return [];
  const hasNetwork = (linux?.namespaces ?? []).some(({ type }) => type === "network");
  const problems: Problem[] = [
    ...problemIf(!hasNetwork, "/linux/netDevices", "there is no network namespace in /linux/namespaces to move them to"),
  ];
  const taken = new Set<string>();
  for (const [name, { name: newName = "" }] of entries) {
    const at = pointerTo("/linux/netDevices", name);
    const final = newName === "" ? name : newName;
    if (!isInterfaceName(name) || name.includes("%")) problems.push({ at, says: "it is no name of a network interface" });
    else if (!isInterfaceName(final) || !/^[^%]*(%d)?[^%]*$/.test(final)) {
      problems.push({ at: `${at}/name`, says: `"${final.slice(0, 80)}" is no name of a network interface` });
    }
    if (taken.has(final)) problems.push({ at, says: `two interfaces would be ${final}` });
    if (!final.includes("%d")) taken.add(final);
  }
  return problems;
}

/** KERNEL: net/core/dev.c, dev_valid_name(), and IFNAMSIZ. */
function isInterfaceName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && Buffer.byteLength(name) < 16 && !/[/:\s]/.test(name);
}

function findResctrlProblems({ linux }: RuntimeConfig): Problem[] {
  const { closID = "", schemata = [], memBwSchema = "" } = linux?.intelRdt ?? {};
  const at = "/linux/intelRdt";
  // SECURITY: it becomes a directory of the resctrl file system; "/" is the word for the topmost.
  const isPath = closID !== "/" && (closID.includes("/") || closID === "." || closID === ".." || closID.includes("\n"));
  // l3CacheSchema only SHOULD be one line: older configs put those of other resources into it.
  const lines = [["memBwSchema", memBwSchema], ...schemata.map((line, index) => [`schemata/${index}`, line] as const)] as const;
  return [
    ...problemIf(isPath || Buffer.byteLength(closID) > 255, `${at}/closID`, `"${closID.slice(0, 80)}" is no name of a directory`),
    ...problemIf(memBwSchema !== "" && !memBwSchema.startsWith("MB:"), `${at}/memBwSchema`, `it does not start with "MB:"`),
    ...lines.flatMap(([key, line]) => problemIf(line.includes("\n"), `${at}/${key}`, "it has more than one line")),
  ];
}
