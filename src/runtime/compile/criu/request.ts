/**
 * Requests to criu, as the protocol buffers that `criu swrk` reads from its socket.
 *
 * Only what we say is here: numbers, texts and messages in messages, each under the number that criu's images/rpc.proto gives it.
 * @see protobuf.dev/programming-guides/encoding
 */

/** What criu is to do. */
export type CriuRequestType = "dump" | "pre-dump" | "restore";

/** criu_req_type. */
const requestTypes: Readonly<Record<CriuRequestType, number>> = { dump: 1, restore: 2, "pre-dump": 4 };

/** criu_cg_mode. */
const cgroupModes = { ignore: 0, soft: 3, full: 4, strict: 5 } as const;

/** criu_network_lock_method. */
const networkLocks = { iptables: 1, nftables: 2, skip: 3 } as const;

/** How criu treats cgroups. */
export type CgroupMode = keyof typeof cgroupModes;

/** How criu holds TCP connections. */
export type NetworkLock = keyof typeof networkLocks;

/** Field number and encoding of each option (criu_opts). */
const optionFields = {
  imagesDirectoryFd: [1, "number"],
  pid: [2, "number"],
  leaveRunning: [3, "number"],
  externalUnixSockets: [4, "number"],
  tcpEstablished: [5, "number"],
  evasiveDevices: [6, "number"],
  shellJob: [7, "number"],
  fileLocks: [8, "number"],
  logLevel: [9, "number"],
  logFile: [10, "text"],
  pageServer: [11, "message"],
  notifyScripts: [12, "number"],
  root: [13, "text"],
  parentImage: [14, "text"],
  trackMemory: [15, "number"],
  autoDedup: [16, "number"],
  workDirectoryFd: [17, "number"],
  linkRemap: [18, "number"],
  manageCgroups: [24, "number"],
  cgroupRoots: [25, "messages"],
  restoreSibling: [26, "number"],
  inheritedFds: [27, "messages"],
  cgroupMode: [34, "number"],
  external: [37, "texts"],
  emptyNamespaces: [38, "number"],
  joinedNamespaces: [39, "messages"],
  freezeCgroup: [44, "text"],
  tcpSkipInFlight: [46, "number"],
  lazyPages: [48, "number"],
  orphanPtsMaster: [50, "number"],
  configFile: [51, "text"],
  tcpClose: [52, "number"],
  lsmProfile: [53, "text"],
  lsmMountContext: [63, "text"],
  networkLock: [64, "number"],
} as const;

/** The fields of a message within, by their numbers in order from 1: an absent one is undefined. */
type InnerMessage = readonly (string | number | undefined)[];

type ValueOf<Kind> = Kind extends "number"
  ? number
  : Kind extends "text"
    ? string
    : Kind extends "texts"
      ? readonly string[]
      : Kind extends "message"
        ? InnerMessage
        : readonly InnerMessage[];

/** Options of a request; those that are absent are criu's defaults. */
export type CriuOptions = { readonly [Name in keyof typeof optionFields]?: ValueOf<(typeof optionFields)[Name][1]> };

/** Encodes a request. */
export function encodeCriuRequest(type: CriuRequestType, options: CriuOptions): Uint8Array {
  const body = Object.entries(options).flatMap(([name, value]) => {
    const [field, kind] = optionFields[name as keyof CriuOptions];
    if (kind === "texts" || kind === "messages") return (value as readonly (string | InnerMessage)[]).flatMap((one) => encode(field, one));
    return encode(field, value as string | number | InnerMessage);
  });
  return Uint8Array.from([...encode(1, requestTypes[type]), ...lengthDelimited(2, body)]);
}

/** The number of a way to treat cgroups. */
export function cgroupModeNumber(mode: CgroupMode): number {
  return cgroupModes[mode];
}

/** The number of a way to hold connections. */
export function networkLockNumber(lock: NetworkLock): number {
  return networkLocks[lock];
}

function encode(field: number, value: string | number | InnerMessage): number[] {
  if (typeof value === "number") return [...varint(field * 8), ...varint(value)];
  if (typeof value === "string") return lengthDelimited(field, [...Buffer.from(value)]);
  return lengthDelimited(
    field,
    value.flatMap((inner, index) => (inner === undefined ? [] : encode(index + 1, inner))),
  );
}

function lengthDelimited(field: number, bytes: readonly number[]): number[] {
  return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];
}

/** Seven bits a byte, the lowest first. Nothing that we say is negative. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return [...bytes, value];
}
