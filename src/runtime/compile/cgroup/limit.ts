/** One value of `linux.resources` on its way to a file of a cgroup. */
import type { Step } from "#program/encode.ts";
import type { HostFacts } from "../../facts.ts";
import { step, unsupported } from "../context.ts";

/** A value to write: the controller and file it belongs to, and where it is asked for below /linux/resources. */
export interface Limit {
  readonly controller: string;
  /** With the controller's name. Of several, the first that the kernel has is written. */
  readonly files: readonly (readonly [file: string, data: string])[];
  /** A JSON Pointer without its first slash, below /linux/resources. */
  readonly at: string;
  /** What may fail: nothing; that there is no such file; anything, since the same is written again, or is no request of the config's. */
  readonly tolerates?: "missing" | "all";
  /** Not every kernel has such a file, so the machine is asked first. */
  readonly mayBeMissing?: boolean;
}

/** What the writes depend on. */
export interface LimitPlace {
  readonly facts: HostFacts;
  /** The container's directory of each controller. */
  readonly directories: ReadonlyMap<string, string>;
  /** Reads a file of the container's cgroup that is to be changed; absent while the cgroup is new. */
  readonly read?: (controller: string, file: string) => string | undefined;
}

export const resourcesAt = "/linux/resources";

/** A limit of one file when `value` is asked for. `file` is without the controller's name. */
export function limit(
  controller: string,
  file: string,
  wish: { readonly at: string; readonly value: number | string | undefined } & Pick<Limit, "tolerates" | "mayBeMissing">,
): Limit[] {
  const { at, value, ...rest } = wish;
  return value === undefined ? [] : [{ controller, files: [[`${controller}.${file}`, formatNumber(value)]], at, ...rest }];
}

/** The writes of limits. @throws CodedError `unsupported` naming the limit that has no controller, or no file, here */
export function limitSteps(limits: readonly Limit[], { facts, directories }: LimitPlace): Step[] {
  return limits.map((one) => {
    const { controller, files, at, tolerates } = one;
    const origin = `${resourcesAt}/${at}`;
    const directory = directories.get(controller) ?? (controller === "cgroup" ? [...directories.values()][0] : undefined);
    if (directory === undefined) throw unsupported(origin, `the ${controller} controller is not available here`);
    if (one.mayBeMissing === true) requireFile(facts, one);
    const [first] = files;
    if (files.length === 1 && first !== undefined && tolerates === undefined) {
      return step({ op: "write", path: `${directory}/${first[0]}`, data: first[1], fsMagic: 0 }, origin);
    }
    const tolerant = tolerates === "all" ? 2 : tolerates === "missing" ? 1 : 0;
    const paths = files.map(([file]) => `${directory}/${file}`);
    return step({ op: "write-first", paths, data: files.map(([, data]) => data), tolerant }, origin);
  });
}

/** Refuses a limit that cgroups of this kernel have no file for; where nobody can tell, the write will. */
function requireFile({ cgroup, cgroupFiles }: HostFacts, { controller, files, at }: Limit): void {
  const mountPoint =
    cgroup.hierarchies.find(({ controllers }) => controllers.includes(controller))?.mountPoint ?? cgroup.unified?.mountPoint ?? "";
  if (!files.every(([file]) => cgroupFiles.has(mountPoint, file) === false)) return;
  throw unsupported(`${resourcesAt}/${at}`, `this kernel has no ${files.map(([file]) => file).join(" or ")}`);
}

/** The Go types cannot tell 0 from absent, and no limit of these can be 0: documents that say 0 mean none. */
export function nonZero(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value;
}

export function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

/** v1's word for no limit, in v2's. */
export function orMax(value: number | undefined): number | string | undefined {
  return value === -1 ? "max" : value;
}

/** Decimal digits, also where a number would print with an exponent. */
export function formatNumber(value: number | string): string {
  return typeof value === "string" ? value : BigInt(value).toString();
}
