/** Counters of block devices, in the words of v1 whatever the version. */

/** One counter of one device. */
export interface BlockCounter {
  readonly major?: bigint;
  readonly minor?: bigint;
  readonly op?: string;
  readonly value?: bigint;
}

/** Keys of the result by file of v1. Several schedulers count; the first that has files is taken, as runc does. */
const v1Groups: readonly (readonly (readonly [key: string, file: string])[])[] = [
  [
    ["ioServiceBytesRecursive", "blkio.bfq.io_service_bytes_recursive"],
    ["ioServicedRecursive", "blkio.bfq.io_serviced_recursive"],
  ],
  [
    ["sectorsRecursive", "blkio.sectors_recursive"],
    ["ioServiceBytesRecursive", "blkio.io_service_bytes_recursive"],
    ["ioServicedRecursive", "blkio.io_serviced_recursive"],
    ["ioQueueRecursive", "blkio.io_queued_recursive"],
    ["ioServiceTimeRecursive", "blkio.io_service_time_recursive"],
    ["ioWaitTimeRecursive", "blkio.io_wait_time_recursive"],
    ["ioMergedRecursive", "blkio.io_merged_recursive"],
    ["ioTimeRecursive", "blkio.time_recursive"],
  ],
  [
    ["ioServiceBytesRecursive", "blkio.throttle.io_service_bytes_recursive"],
    ["ioServicedRecursive", "blkio.throttle.io_serviced_recursive"],
  ],
];

const unifiedOps: Readonly<Record<string, readonly [key: string, op: string]>> = {
  rbytes: ["ioServiceBytesRecursive", "Read"],
  wbytes: ["ioServiceBytesRecursive", "Write"],
  rios: ["ioServicedRecursive", "Read"],
  wios: ["ioServicedRecursive", "Write"],
};

/** Reads the counters; a list that is empty is left out. */
export function readBlockCounters(
  read: (controller: string, file: string) => string | undefined,
  isUnified: boolean,
): Record<string, BlockCounter[]> {
  if (isUnified) return parseUnified(read("io", "io.stat") ?? "");
  for (const group of v1Groups) {
    // A scheduler that no device uses has files too, with nothing but a total.
    const found = group
      .map(([key, file]) => [key, parseV1(read("blkio", file) ?? "")] as const)
      .filter(([, counters]) => counters.length > 0);
    if (found.length > 0) return Object.fromEntries(found);
  }
  return {};
}

/** Lines such as "8:0 Read 1282048" or "8:0 1282048"; totals over all devices are skipped. */
function parseV1(text: string): BlockCounter[] {
  return text.split("\n").flatMap((line) => {
    const match = /^(\d+):(\d+) (?:([A-Za-z]+) )?(\d+)$/.exec(line);
    if (match === null) return [];
    const [, major = "0", minor = "0", op = "", value = "0"] = match;
    return [counter({ major: BigInt(major), minor: BigInt(minor), op, value: BigInt(value) })];
  });
}

/** Lines such as "8:0 rbytes=90112 wbytes=0 rios=5 wios=0". */
function parseUnified(text: string): Record<string, BlockCounter[]> {
  const found: Record<string, BlockCounter[]> = {};
  for (const line of text.split("\n")) {
    const [device = "", ...pairs] = line.split(" ");
    const numbers = /^(\d+):(\d+)$/.exec(device);
    if (numbers === null) continue;
    for (const pair of pairs) {
      const [name = "", value = ""] = pair.split("=");
      const place = unifiedOps[name];
      if (place === undefined || !/^\d+$/.test(value)) continue;
      const [key, op] = place;
      (found[key] ??= []).push(counter({ major: BigInt(numbers[1] ?? 0), minor: BigInt(numbers[2] ?? 0), op, value: BigInt(value) }));
    }
  }
  return found;
}

function counter({ major, minor, op, value }: Required<BlockCounter>): BlockCounter {
  return {
    ...(major === 0n ? {} : { major }),
    ...(minor === 0n ? {} : { minor }),
    ...(op === "" ? {} : { op }),
    ...(value === 0n ? {} : { value }),
  };
}
