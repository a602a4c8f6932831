/** Ops in words: one phrase for each, in the imperative, as people say it. Total over the op union, so a new op needs one. */
import { displayByteString } from "#base/byte-string.ts";
import { replaceControls } from "#base/control-characters.ts";
import type { Op } from "#program/ops.gen.ts";
import { nameOfRlimit } from "#spec/rlimit.ts";
import { executionDomains, ioClasses, memoryFlags, memoryModes, nameOf, schedulingFlags, schedulingPolicies } from "#spec/scheduling.ts";
import { capabilityNames, cloneFlags, mountAttributes as attr, propagationFlags as ms } from "./compile/kernel.ts";
import { childSlot } from "./compile/mount-parts.ts";

type Phrases = { readonly [K in Op["op"]]: (op: Extract<Op, { readonly op: K }>) => string };

const infinity = 2n ** 64n - 1n;

const phrases: Phrases = {
  exit: ({ code }) => `end with exit code ${code}`,
  lock: ({ path, exclusive }) => `lock ${path}${exclusive === 0 ? " (shared)" : ""}`,
  "lock-descriptor": ({ fd, exclusive }) => `lock the file of ${stdioName(fd)} for the caller${exclusive === 0 ? " (shared)" : ""}`,
  unlock: () => "release the lock",
  "null-stdio": ({ fd }) => `replace ${stdioName(fd)} by /dev/null`,
  "relay-stdio": ({ fd }) => `relay ${stdioName(fd)}`,
  clone: ({ flags }) => (flags === 0 ? "clone a child" : `clone a child into new namespaces: ${namespaceNames(flags)}`),
  "child-pid": ({ path, create }) => `write the child's pid to ${create === 0 ? path : `the new file ${path}`}`,
  "child-file": ({ file, data }) => `write ${quoted(data)} to /proc/CHILD/${file}`,
  "record-child": ({ path }) => `record the child in ${path}`,
  "release-child": () => "let the child go on",
  "await-exec": () => "wait until the child runs its program",
  "await-ready": () => "wait until the child is ready",
  supervise: () => "pass on output and signals until the child ends",
  "record-exit": ({ path }) => `record how the child ended in ${path}`,
  cleanup: () => "clean up",
  report: ({ value }) => `report ${value} to the caller`,
  setsid: () => "start a new session for the monitor",
  "make-cgroup": ({ path }) => `make the cgroup ${path}`,
  "make-cpuset": ({ path }) => `make the cgroup ${path} with its parent's CPUs and memory nodes`,
  "remove-cgroup": ({ path }) => `remove the cgroup ${path}`,
  write: ({ path, data }) => `write ${quoted(data)} to ${path}`,
  "copy-file": ({ source, target }) => `copy ${source} to ${target}`,
  "device-filter": ({ path, program }) => `load a device filter of ${program.length / 8} instructions for ${path}`,
  claim: ({ path }) => `make the new directory ${path}`,
  "on-failure": ({ cleanup }) => (cleanup === 0 ? "leave everything as it is if something fails" : "clean up if something fails"),
  "open-process": ({ record }) => `find the process that ${record} names`,
  start: () => "start the container and wait until its program runs",
  signal: ({ number }) => (number === 0xffffffff ? "send the signal asked for" : `send signal ${number}`),
  "await-end": ({ milliseconds }) => `wait up to ${milliseconds} ms for the end of the process`,
  "require-ended": ({ force }) => (force === 0 ? "require that the process has ended" : "kill the process if it lives"),
  reach: () => "tell the parent that this point is reached",
  "await-child": () => "wait until the child has come so far",
  "check-executable": ({ candidates }) => `check that ${candidates.join(" or ")} can be executed`,
  join: ({ flags }) => `join the container's namespaces: ${namespaceNames(flags)}`,
  hook: ({ path, args }) => `run the hook ${path}${args.length > 1 ? ` with ${args.slice(1).map(shellWord).join(" ")}` : ""}`,
  "hook-output": ({ fd, path }) => `append the ${stdioName(fd)} of hooks to ${path}`,
  "print-state": ({ directory }) => `print the state of the container in ${directory}`,
  "create-file": ({ path, data }) => `write the file ${path} of ${data.length} bytes`,
  "send-pidfd": ({ path }) => `send a pidfd of the process to ${path}`,
  "remove-file": ({ path }) => `remove the file ${path}`,
  unshare: ({ flags }) => `enter new namespaces: ${namespaceNames(flags)}`,
  setns: ({ path, flags }) => `join the ${namespaceNames(flags)} namespace ${path}`,
  "await-parent": () => "wait for the parent",
  "await-start": () => "wait for `start`",
  propagation: ({ path, flags }) => `make ${path} ${propagationName(flags)}`,
  root: ({ path }) => `take ${path} as the root of all paths below`,
  mount: ({ fstype, target, options, attributes }) =>
    `mount ${fstype} at ${target}${parenthesized([...attributeNames(attributes), ...options])}`,
  bind: ({ source, target, recursive }) => `bind ${source} at ${target}${recursive === 0 ? "" : " (with the mounts below)"}`,
  "mount-data": ({ fstype, target, data }) => `mount ${fstype} at ${target}${parenthesized([data])}`,
  "mount-attributes": ({ target, set, clear, propagation, recursive }) => {
    const words = [...changedNames(set, clear), ...(propagation === 0 ? [] : [propagationName(propagation)])];
    return `change the mount ${target}${recursive === 0 ? "" : " and those below"}${parenthesized(words)}`;
  },
  unmount: ({ target }) => `unmount ${target}`,
  "ensure-directory": ({ path, mode }) => `ensure the directory ${path} (mode ${octal(mode)})`,
  "ensure-file": ({ path }) => `ensure the file ${path}`,
  "make-node": ({ path, mode, major, minor, uid, gid }) =>
    `make ${nodeName(mode, major, minor)} at ${path} (mode ${octal(mode & 0o7777)}${owner(uid, gid)})`,
  "require-symlink": ({ path, target }) => `link ${path} to ${target}`,
  "make-symlink": ({ path, target }) => `link ${path} to ${target}`,
  mask: ({ path }) => `hide ${path}`,
  "read-only": ({ path }) => `make ${path} read-only`,
  "pivot-root": () => "make the root the only tree that is visible",
  "move-root": () => "move the root over / and enter it",
  "change-root": () => "make the working root the root directory",
  "rootfs-attributes": ({ set }) => `change the mount of /${parenthesized(attributeNames(set))}`,
  "open-source": ({ slot, path, recursive }) => `open ${path}${recursive === 0 ? "" : " (with the mounts below)"} as ${mountName(slot)}`,
  "user-namespace": ({ slot, uidMap, gidMap }) => `make the user namespace ${slot} (users ${quoted(uidMap)}, groups ${quoted(gidMap)})`,
  "open-user-namespace": ({ slot, path }) => `open the user namespace ${path} as ${slot}`,
  "id-map": ({ slot, namespace, recursive }) =>
    `map the ids of ${mountName(slot)}${recursive === 0 ? "" : " and those below"} by the user namespace ${namespace}`,
  "slot-attributes": ({ slot, set, clear, recursive }) =>
    `change ${mountName(slot)}${recursive === 0 ? "" : " and those below"}${parenthesized(changedNames(set, clear))}`,
  "map-ids": ({ program, ids }) => `map ids with ${program} (${quoted(ids.join(" "))})`,
  attach: ({ slot, target }) => `put ${mountName(slot)} at ${target}`,
  "new-filesystem": ({ slot, fstype, options, attributes, otherwise }) =>
    `make ${fstype}${otherwise === "" ? "" : ` (or, where that is refused, open ${otherwise})`} as ${mountName(slot)}${parenthesized([...attributeNames(attributes), ...options])}`,
  "copy-up": ({ slot, path }) => `copy what is in ${path} into ${mountName(slot)}`,
  "copy-mode": ({ slot, path }) => `give ${mountName(slot)} the mode of ${path}`,
  reconfigure: ({ target, options }) => `change the file system at ${target}${parenthesized(options)}`,
  hostname: ({ name }) => `set the host name ${quoted(name)}`,
  domainname: ({ name }) => `set the domain name ${quoted(name)}`,
  "new-session": () => "start a new session",
  rlimit: ({ resource, soft, hard }) =>
    `limit ${nameOfRlimit(resource)} to ${limitWord(soft)}${soft === hard ? "" : ` (hard ${limitWord(hard)})`}`,
  groups: ({ gids }) =>
    gids.length === 0 ? "leave all supplementary groups" : `take the supplementary groups ${groupIds(gids).join(", ")}`,
  gid: ({ gid }) => `become group ${gid}`,
  uid: ({ uid }) => `become user ${uid}`,
  "keep-capabilities": () => "keep capabilities over the change of user",
  bounding: ({ keep }) => `limit capabilities for ever to ${capabilityList(keep)}`,
  capabilities: ({ effective, permitted, inheritable }) =>
    effective === permitted && permitted === inheritable
      ? `take the capabilities ${capabilityList(permitted)}`
      : `take the capabilities ${capabilityList(permitted)}; effective ${capabilityList(effective)}; inheritable ${capabilityList(inheritable)}`,
  ambient: ({ mask }) => `pass on the capabilities ${capabilityList(mask)}`,
  "no-new-privileges": () => "give up gaining privileges by exec",
  umask: ({ mask }) => `set the umask ${octal(mask)}`,
  "working-directory": ({ path }) => `change to the directory ${path}`,
  "oom-score": ({ value }) => `set the OOM score adjustment ${value}`,
  seccomp: ({ filter }) => `keep a system call filter of ${filter.length / 8} instructions, to load with the program`,
  "seccomp-listener": ({ filter }) =>
    `keep a system call filter of ${filter.length / 8} instructions, to load with the program, and hand over its listener`,
  "open-listener": ({ path }) => `connect to the listener for system calls at ${path}`,
  exec: ({ argv }) => `run ${argv.map(shellWord).join(" ")}`,
  "open-start": ({ path }) => `open the fifo ${path}`,
  "link-up": ({ name }) => `bring the network interface ${name} up`,
  "open-console": ({ path }) => `connect to the console socket ${path}`,
  terminal: ({ width, height, console }) =>
    `open a terminal${width === 0 || height === 0 ? "" : ` of ${width} columns and ${height} rows`}${console === 0 ? "" : ", /dev/console too"}`,
  "own-stdio": ({ uid }) => `give stdin, stdout and stderr to user ${uid}`,
  "keep-descriptor": ({ path, fd }) => `open ${path} as descriptor ${fd}`,
  "pass-channel": ({ fd }) => `make a channel to the parent as descriptor ${fd}`,
  "request-criu": ({ request }) => `send criu a request of ${request.length} bytes`,
  "await-criu": ({ notice }) => (notice === "" ? "wait until criu has done it" : `wait until criu comes to "${notice}"`),
  "end-criu": ({ adopt }) => (adopt === 0 ? "wait for the end of criu" : "take over the process that criu has restored"),
  "pass-descriptors": ({ count }) => `pass on descriptor${count === 1 ? " 3" : `s 3 to ${2 + count}`}`,
  scheduler: ({ policy, flags, nice, priority, runtime, deadline, period }) =>
    `schedule as ${nameOf(schedulingPolicies, policy)}${parenthesized([
      ...(nice === 0 ? [] : [`nice ${nice}`]),
      ...(priority === 0 ? [] : [`priority ${priority}`]),
      ...(deadline === 0n ? [] : [`${runtime} ns until ${deadline} ns of every ${period === 0n ? deadline : period} ns`]),
      ...bitNames(schedulingFlags, flags),
    ])}`,
  "io-priority": ({ value }) => `read and write as ${nameOf(ioClasses, value >> 13)} (level ${value & 0x1fff})`,
  personality: ({ value }) => `be a process of the domain ${nameOf(executionDomains, value)}`,
  "memory-policy": ({ mode, nodes }) =>
    `take memory by ${nameOf(memoryModes, mode & 0xff)}${parenthesized([
      ...(nodes.length === 0 ? [] : [`nodes ${bitNumbers(nodes).join(",")}`]),
      ...bitNames(memoryFlags, mode),
    ])}`,
  "cpu-affinity": ({ cpus }) => `run on the CPUs ${bitNumbers(cpus).join(",")}`,
  "session-keyring": ({ name }) => `join the session keyring ${name}`,
  "move-interface": ({ name, namespace, newName }) =>
    `move the network interface ${name} into ${namespace === "" ? "the child's network namespace" : namespace}${newName === name ? "" : ` as ${newName}`}`,
  "remove-directory": ({ path }) => `remove the directory ${path}`,
  "label-directory": ({ path, label }) => `give ${path} the label ${label}`,
  "enter-root": ({ path }) => `enter ${path}`,
  "leave-root": () => "leave the tree entered",
  file: ({ path, size }) => `write the file ${displayByteString(path)} of ${size} bytes`,
  directory: ({ path }) => `make the directory ${displayByteString(path)}`,
  symlink: ({ path, target }) => `link ${displayByteString(path)} to ${displayByteString(target)}`,
  hardlink: ({ path, target }) => `hard-link ${displayByteString(path)} to ${displayByteString(target)}`,
  node: ({ path, mode, major, minor }) => `make ${nodeName(mode, major, minor)} at ${displayByteString(path)}`,
  xattr: ({ path, name }) => `set the attribute ${displayByteString(name)} of ${displayByteString(path)}`,
  "clear-xattrs": ({ path }) => `remove the extended attributes of ${displayByteString(path)}`,
  times: ({ path }) => `set the times of ${displayByteString(path)}`,
  remove: ({ path }) => `remove ${displayByteString(path)}`,
  clear: ({ path, keep }) =>
    `empty ${displayByteString(path)}${keep.length === 0 ? "" : ` but for ${keep.map(displayByteString).join(", ")}`}`,
  parents: ({ path }) => `ensure the directory ${displayByteString(path)}`,
  end: () => "finish",
  "write-first": ({ paths, data }) => paths.map((path, index) => `write ${quoted(data[index] ?? "")} to ${path}`).join(", or "),
  "systemd-call": ({ call }) => `ask systemd: ${describeCall(call)}`,
  "change-owner": ({ path, uid }) => `give ${path} to user ${uid}`,
  "write-and-await": ({ path, data, answer, expected }) => `write ${quoted(data)} to ${path} until ${answer} says ${quoted(expected)}`,
  "signal-cgroup": ({ path, signal }) => `send signal ${signal} to all processes in ${path}`,
  "list-tree": ({ path }) => `list all below ${displayByteString(path)}`,
  "list-entry": ({ path }) => `look at ${displayByteString(path)}`,
  "send-file": ({ path }) => `read the file ${displayByteString(path)}`,
  "compare-files": ({ left, right }) => `compare ${displayByteString(left)} with ${displayByteString(right)}`,
  "remove-empty-cgroup": ({ path }) => `remove the cgroup ${path} if it was made as a parent and is empty`,
  "remove-tree": ({ path }) => `remove ${path} and all below it`,
};

/** `op` in words, such as "mount tmpfs at /dev (nosuid, strictatime, mode=755)". One line, printable. */
export function phrase(op: Op): string {
  // The table is total, so the phrase of an op takes that op.
  // SECURITY: a config is foreign text; what it holds must not command the reader's terminal.
  return replaceControls((phrases[op.op] as (op: Op) => string)(op));
}

/** The words of a mask of MOUNT_ATTR_* flags, as mount(8) spells them. */
export function attributeNames(mask: number): string[] {
  const names: string[] = [];
  if ((mask & attr.readOnly) !== 0) names.push("ro");
  if ((mask & attr.noSuid) !== 0) names.push("nosuid");
  if ((mask & attr.noDev) !== 0) names.push("nodev");
  if ((mask & attr.noExec) !== 0) names.push("noexec");
  if ((mask & attr.atimeMask) === attr.noAtime) names.push("noatime");
  if ((mask & attr.atimeMask) === attr.strictAtime) names.push("strictatime");
  if ((mask & attr.noDirAtime) !== 0) names.push("nodiratime");
  if ((mask & attr.noSymFollow) !== 0) names.push("nosymfollow");
  return names;
}

/** The names in a mask of capabilities, "none" or "all". */
export function capabilityList(mask: number): string {
  const names = capabilityNames.filter((_, number) => (BigInt(mask) >> BigInt(number)) % 2n === 1n);
  if (names.length === 0) return "none";
  return names.length === capabilityNames.length ? "all" : names.join(", ");
}

const clearedWords: readonly (readonly [bit: number, word: string])[] = [
  [attr.readOnly, "rw"],
  [attr.noSuid, "suid"],
  [attr.noDev, "dev"],
  [attr.noExec, "exec"],
  [attr.noDirAtime, "diratime"],
  [attr.noSymFollow, "symfollow"],
];

function changedNames(set: number, clear: number): string[] {
  return [...attributeNames(set & ~attr.atimeMask), ...clearedNames(clear), ...atimeName(set, clear)];
}

function clearedNames(mask: number): string[] {
  return clearedWords.filter(([bit]) => (mask & bit) !== 0).map(([, word]) => word);
}

function atimeName(set: number, clear: number): string[] {
  if ((clear & attr.atimeMask) === 0) return [];
  const value = set & attr.atimeMask;
  return [value === attr.noAtime ? "noatime" : value === attr.strictAtime ? "strictatime" : "relatime"];
}

/** The child's slot is filled and emptied by neighbours, so it needs no number. */
function mountName(slot: number): string {
  return slot === childSlot ? "the new mount" : `mount ${slot}`;
}

function namespaceNames(flags: number): string {
  // Not bit arithmetic: CLONE_NEWNET is beyond 2^30, and sums of it are negative in 32 bits.
  return Object.entries(cloneFlags)
    .filter(([, flag]) => Math.floor(flags / flag) % 2 === 1)
    .map(([kind]) => kind)
    .join(", ");
}

function propagationName(flags: number): string {
  const kind = (["shared", "slave", "private", "unbindable"] as const).find((name) => (flags & ms[name]) !== 0) ?? "as it is";
  return (flags & ms.recursive) === 0 ? kind : `${kind}, and the mounts below`;
}

function nodeName(mode: number, major: number, minor: number): string {
  const kind = mode & 0o170000;
  if (kind === 0o010000) return "a fifo";
  return `${kind === 0o060000 ? "block" : "character"} device ${major}:${minor}`;
}

/** The id that chown() leaves as it is. */
const keptOwner = 0xffffffff;

function owner(uid: number, gid: number): string {
  const isKept = uid === keptOwner && gid === keptOwner;
  return (uid === 0 && gid === 0) || isKept ? "" : `, owner ${uid}:${gid}`;
}

function bitNames(table: Readonly<Record<string, number>>, bits: number): string[] {
  return Object.keys(table).filter((name) => (bits & (table[name] ?? 0)) !== 0);
}

function bitNumbers(mask: Uint8Array): number[] {
  return Array.from({ length: mask.length * 8 }, (_, number) => number).filter(
    (number) => ((mask[number >> 3] ?? 0) >> (number & 7)) % 2 === 1,
  );
}

function groupIds(gids: Uint8Array): number[] {
  const view = new DataView(gids.buffer, gids.byteOffset, gids.byteLength);
  return Array.from({ length: gids.length / 4 }, (_, index) => view.getUint32(index * 4, true));
}

function stdioName(fd: number): string {
  return ["stdin", "stdout", "stderr"][fd] ?? `descriptor ${fd}`;
}

function limitWord(value: bigint): string {
  return value === infinity ? "no limit" : value.toString();
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

function parenthesized(words: readonly string[]): string {
  return words.length === 0 ? "" : ` (${words.join(", ")})`;
}

/** The method of a D-Bus message and its first argument, a unit's name: the last member name among the texts of the header. */
function describeCall(call: Uint8Array): string {
  const texts = Buffer.from(call).toString("latin1");
  const member = /(StartTransientUnit|StopUnit|SetUnitProperties|ResetFailedUnit)/.exec(texts)?.[1] ?? "a call";
  const unit = /[A-Za-z0-9:_.\\@-]+\.(?:scope|slice)/.exec(texts)?.[0] ?? "";
  return `${member} ${unit}`.trim();
}

function quoted(text: string): string {
  return JSON.stringify(text.trimEnd());
}

function shellWord(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
