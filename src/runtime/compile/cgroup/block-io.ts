/** `blockIO`, whose files were renamed and moved more often than any other's. */
import type { LinuxResources } from "#spec/runtime-config.ts";
import { unsupported } from "../context.ts";
import { formatNumber, resourcesAt, type Limit } from "./limit.ts";

type BlockIO = NonNullable<LinuxResources["blockIO"]>;

/** The four lists of rates: property, file of v1, key in io.max of v2. */
const throttles = [
  ["throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"],
] as const;

/** KERNEL: weights went with the CFQ scheduler in 5.0; BFQ has files of its own for them, and leaf weights have none. */
export function v1BlockLimits(blockIO: BlockIO): Limit[] {
  const limits: Limit[] = [];
  const add = (at: string, data: string, ...files: readonly string[]): void => {
    limits.push({ controller: "blkio", files: files.map((file) => [file, data]), at: `blockIO/${at}`, mayBeMissing: true });
  };
  if (isAsked(blockIO.weight)) add("weight", formatNumber(blockIO.weight), "blkio.weight", "blkio.bfq.weight");
  if (isAsked(blockIO.leafWeight)) add("leafWeight", formatNumber(blockIO.leafWeight), "blkio.leaf_weight");
  for (const [index, { major, minor, weight, leafWeight }] of (blockIO.weightDevice ?? []).entries()) {
    const device = `${major}:${minor}`;
    if (isAsked(weight)) add(`weightDevice/${index}/weight`, `${device} ${weight}`, "blkio.weight_device", "blkio.bfq.weight_device");
    if (isAsked(leafWeight)) add(`weightDevice/${index}/leafWeight`, `${device} ${leafWeight}`, "blkio.leaf_weight_device");
  }
  for (const [key, file] of throttles) {
    for (const [index, { major, minor, rate = 0 }] of (blockIO[key] ?? []).entries()) {
      add(`${key}/${index}`, `${major}:${minor} ${formatNumber(rate)}`, file);
    }
  }
  return limits;
}

/** BFQ's weights are those of v1; io.weight has another scale. @throws CodedError `unsupported` for leaf weights */
export function v2BlockLimits(blockIO: BlockIO): Limit[] {
  const limits: Limit[] = [];
  const add = (at: string, ...files: readonly (readonly [string, string])[]): void => {
    limits.push({ controller: "io", files, at: `blockIO/${at}`, mayBeMissing: true });
  };
  const refuseLeaf = (at: string): never => {
    throw unsupported(`${resourcesAt}/blockIO/${at}`, "cgroup v2 has no weights of leaves");
  };
  if (isAsked(blockIO.leafWeight)) refuseLeaf("leafWeight");
  if (isAsked(blockIO.weight)) {
    add("weight", ["io.bfq.weight", formatNumber(blockIO.weight)], ["io.weight", formatNumber(ioWeight(blockIO.weight))]);
  }
  for (const [index, { major, minor, weight, leafWeight }] of (blockIO.weightDevice ?? []).entries()) {
    const device = `${major}:${minor}`;
    if (isAsked(leafWeight)) refuseLeaf(`weightDevice/${index}/leafWeight`);
    if (isAsked(weight)) {
      add(`weightDevice/${index}/weight`, ["io.bfq.weight", `${device} ${weight}`], ["io.weight", `${device} ${ioWeight(weight)}`]);
    }
  }
  for (const [key, , word] of throttles) {
    for (const [index, { major, minor, rate = 0 }] of (blockIO[key] ?? []).entries()) {
      // v1 takes 0 for no limit.
      add(`${key}/${index}`, ["io.max", `${major}:${minor} ${word}=${rate === 0 ? "max" : formatNumber(rate)}`]);
    }
  }
  return limits;
}

/** The weight of v2 (1 to 10000) of one of v1 (10 to 1000), linearly. */
export function ioWeight(weight: number): number {
  return Math.floor(1 + ((weight - 10) * 9999) / 990);
}

function isAsked(weight: number | undefined): weight is number {
  return weight !== undefined && weight !== 0;
}
