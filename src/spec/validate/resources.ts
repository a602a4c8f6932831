/** Rules about `linux.resources` and `linux.cgroupsPath`. */
import type { RuntimeConfig } from "../runtime-config.ts";
import { pointerTo } from "../shape.ts";
import { problemIf, type Check, type Problem } from "./problem.ts";

export const resourceChecks: readonly Check[] = [
  { name: "device rules have a known type, access and numbers", find: findDeviceRuleProblems },
  {
    name: "memory.swap is not below memory.limit",
    find: ({ linux }) => {
      const { limit, swap } = linux?.resources?.memory ?? {};
      if (limit === undefined || swap === undefined || limit < 0 || swap < 0) return [];
      return problemIf(swap < limit, "/linux/resources/memory/swap", `${swap} is below the memory limit ${limit}, which it includes`);
    },
  },
  {
    name: "memory.swappiness is a percentage",
    find: ({ linux }) => {
      const swappiness = linux?.resources?.memory?.swappiness ?? 0;
      return problemIf(swappiness > 100, "/linux/resources/memory/swappiness", `${swappiness} is above 100`);
    },
  },
  {
    name: "limits are positive, or -1 for none",
    find: ({ linux }) => {
      const { memory = {}, pids = {}, cpu = {} } = linux?.resources ?? {};
      const signed: readonly (readonly [at: string, value: number | undefined])[] = [
        ["memory/limit", memory.limit],
        ["memory/reservation", memory.reservation],
        ["memory/swap", memory.swap],
        ["memory/kernelTCP", memory.kernelTCP],
        ["pids/limit", pids.limit],
        ["cpu/quota", cpu.quota],
      ];
      return signed.flatMap(([at, value]) => problemIf((value ?? 0) < -1, `/linux/resources/${at}`, `${value ?? 0} is negative`));
    },
  },
  {
    name: "cpu.burst is not above a positive cpu.quota",
    find: ({ linux }) => {
      const { quota = 0, burst = 0 } = linux?.resources?.cpu ?? {};
      return problemIf(quota > 0 && burst > quota, "/linux/resources/cpu/burst", `${burst} is above the quota ${quota}`);
    },
  },
  {
    name: "cpus and mems are lists of numbers",
    find: ({ linux }) =>
      (["cpus", "mems"] as const).flatMap((key) => {
        const value = linux?.resources?.cpu?.[key] ?? "";
        const says = `"${value}" is no list such as 0-3,7`;
        return problemIf(value !== "" && !/^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/.test(value), `/linux/resources/cpu/${key}`, says);
      }),
  },
  { name: "page sizes, interfaces and devices have names that files can take", find: findNameProblems },
  { name: "weights of block devices are from 10 to 1000", find: findBlockProblems },
  {
    name: "unified names files of the cgroup",
    find: ({ linux }) =>
      Object.keys(linux?.resources?.unified ?? {}).flatMap((key) =>
        // SECURITY: the key becomes a file name below the cgroup's directory.
        problemIf(
          !/^[a-z0-9_]+(\.[a-zA-Z0-9_]+)+$/.test(key),
          pointerTo("/linux/resources/unified", key),
          "it is no name of a cgroup file",
        ),
      ),
  },
];

/** SECURITY: page sizes become part of a file name, names a part of what is written to one. @see runtime-spec config-linux.md */
function findNameProblems({ linux }: RuntimeConfig): Problem[] {
  const { hugepageLimits = [], network = {}, rdma = {} } = linux?.resources ?? {};
  const sizes = hugepageLimits.map(({ pageSize }) => pageSize);
  return [
    ...sizes.flatMap((size, index) =>
      problemIf(
        !/^[1-9]\d{0,3}[KMG]B$/.test(size),
        `/linux/resources/hugepageLimits/${index}/pageSize`,
        `"${size}" is no size such as 2MB`,
      ),
    ),
    ...(network.priorities ?? []).flatMap(({ name = "" }, index) =>
      problemIf(!/^[^\s/]{1,15}$/.test(name), `/linux/resources/network/priorities/${index}/name`, `"${name}" is no name of an interface`),
    ),
    ...Object.keys(rdma).flatMap((name) =>
      problemIf(!/^[^\s/]{1,64}$/.test(name), pointerTo("/linux/resources/rdma", name), "it is no name of a device"),
    ),
  ];
}

function findBlockProblems({ linux }: RuntimeConfig): Problem[] {
  const blockIO = linux?.resources?.blockIO ?? {};
  const at = "/linux/resources/blockIO";
  const weights: readonly (readonly [at: string, weight: number | undefined])[] = [
    ["weight", blockIO.weight],
    ["leafWeight", blockIO.leafWeight],
    ...(blockIO.weightDevice ?? []).flatMap(({ weight, leafWeight }, index): (readonly [string, number | undefined])[] => [
      [`weightDevice/${index}/weight`, weight],
      [`weightDevice/${index}/leafWeight`, leafWeight],
    ]),
  ];
  const keys = [
    "weightDevice",
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
  ] as const;
  return [
    ...weights.flatMap(([place, weight = 0]) =>
      problemIf(weight !== 0 && (weight < 10 || weight > 1000), `${at}/${place}`, `${weight} is not from 10 to 1000`),
    ),
    ...keys.flatMap((key) =>
      (blockIO[key] ?? []).flatMap(({ major = 0, minor = 0 }, index) =>
        problemIf(major < 0 || minor < 0, `${at}/${key}/${index}`, `${major}:${minor} is no device number`),
      ),
    ),
  ];
}

function findDeviceRuleProblems({ linux }: RuntimeConfig): Problem[] {
  return (linux?.resources?.devices ?? []).flatMap((rule, index) => {
    const at = `/linux/resources/devices/${index}`;
    return [
      ...problemIf(!["", "a", "b", "c"].includes(rule.type ?? ""), `${at}/type`, `"${rule.type ?? ""}" is none of a, b, c`),
      ...problemIf(!/^[rwm]*$/.test(rule.access ?? ""), `${at}/access`, `"${rule.access ?? ""}" is no composition of r, w, m`),
      // -1 is how the Go types write "all".
      ...(["major", "minor"] as const).flatMap((key) =>
        problemIf((rule[key] ?? 0) < -1 || (rule[key] ?? 0) > 0x7fffffff, `${at}/${key}`, `${rule[key] ?? 0} is no device number`),
      ),
    ];
  });
}
