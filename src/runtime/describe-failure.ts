/** Failures in words: what the executor reports as an op index and errno becomes a sentence that names the object. */
import { CodedError, type ErrorCode, type ErrorDetails } from "#base/errors.ts";
import { stepsInOrder, type Program } from "#program/encode.ts";
import { codeOfErrno, describeErrno, errnoName } from "#program/failure.ts";
import type { Op } from "#program/ops.gen.ts";
import { phrase } from "./phrase.ts";

const locked = "the mount is locked: a user namespace cannot take back what its owner set";

/** SECURITY: see `attach` in the executor (CVE-2019-16884). */
const underProc = "nothing may be mounted on a proc file system but the few files that programs are known to emulate";

/** Reasons where errno alone misleads: op, errno name, and what is so. `applies` looks at the op's fields. */
const hints: readonly {
  readonly op: Op["op"];
  readonly errno: string;
  readonly applies?: (op: Op) => boolean;
  readonly says: string;
}[] = [
  { op: "seccomp", errno: "EINVAL", says: "the kernel has no system call filters, or not these flags or actions" },
  { op: "seccomp", errno: "EACCES", says: "without noNewPrivileges a filter needs CAP_SYS_ADMIN" },
  { op: "seccomp-listener", errno: "EINVAL", says: "the kernel has no listeners for system calls, or not these flags or actions" },
  { op: "seccomp-listener", errno: "EACCES", says: "without noNewPrivileges a filter needs CAP_SYS_ADMIN" },
  { op: "seccomp-listener", errno: "EBUSY", says: "the process has a filter with a listener already" },
  { op: "open-listener", errno: "ECONNREFUSED", says: "nobody listens there" },
  { op: "clone", errno: "ENOSPC", says: "the limit of nested or of all namespaces is reached (user.max_*_namespaces)" },
  { op: "clone", errno: "EPERM", says: "new namespaces need root or a user namespace, and user namespaces may be switched off here" },
  { op: "clone", errno: "EAGAIN", says: "a limit on the number of processes is reached" },
  { op: "clone", errno: "EOPNOTSUPP", says: "the cgroup is in a threaded subtree, where no process may be" },
  { op: "clone", errno: "EBUSY", says: "the cgroup hands controllers down, so it can hold no processes" },
  { op: "make-cgroup", errno: "EACCES", says: "this part of the tree is not delegated to us" },
  { op: "make-cgroup", errno: "EAGAIN", says: "a cgroup above allows no more below it (cgroup.max.descendants)" },
  { op: "make-cpuset", errno: "EACCES", says: "this part of the tree is not delegated to us" },
  { op: "systemd-call", errno: "ENOENT", says: "systemd does not listen there" },
  { op: "systemd-call", errno: "ECONNREFUSED", says: "systemd does not listen there" },
  { op: "systemd-call", errno: "EEXIST", says: "a unit of that name exists" },
  { op: "systemd-call", errno: "EINVAL", says: "systemd does not take a property, or its value" },
  { op: "systemd-call", errno: "EROFS", says: "systemd does not know a property, or does not let it be changed" },
  { op: "systemd-call", errno: "EREMOTEIO", says: "systemd refused (see its log)" },
  { op: "systemd-call", errno: "ECANCELED", says: "systemd's job did not succeed (see its log)" },
  { op: "systemd-call", errno: "EACCES", says: "systemd does not let us" },
  { op: "setns", errno: "EINVAL", says: "the file is a namespace of another kind, or the one we are in" },
  { op: "child-pid", errno: "ENOSPC", says: "the cgroup has no CPUs or memory nodes, or no realtime budget" },
  { op: "child-pid", errno: "EBUSY", says: "cgroups below it have controllers, so it can hold no processes" },
  {
    op: "child-file",
    errno: "EACCES",
    applies: (op) => op.op === "child-file" && op.file === "oom_score_adj",
    says: "lowering it needs CAP_SYS_RESOURCE",
  },
  { op: "scheduler", errno: "EPERM", says: "the policy needs CAP_SYS_NICE on the host, or the cgroup has no realtime budget" },
  { op: "scheduler", errno: "EBUSY", says: "the CPUs have no time left for this deadline" },
  { op: "scheduler", errno: "EINVAL", says: "the kernel does not take these values together" },
  { op: "scheduler", errno: "EOPNOTSUPP", says: "the kernel cannot clamp utilization" },
  { op: "io-priority", errno: "EPERM", says: "IOPRIO_CLASS_RT needs CAP_SYS_NICE or CAP_SYS_ADMIN on the host" },
  { op: "personality", errno: "EINVAL", says: "this kernel has no such execution domain" },
  {
    op: "memory-policy",
    errno: "EINVAL",
    says: "none of the memory nodes is there for the container, or the mode does not take the flags",
  },
  { op: "memory-policy", errno: "ENOSYS", says: "the kernel knows no memory nodes" },
  { op: "cpu-affinity", errno: "EINVAL", says: "none of the CPUs is there for the container" },
  { op: "session-keyring", errno: "EDQUOT", says: "the user has too many keys (kernel.keys.maxkeys)" },
  { op: "session-keyring", errno: "EACCES", says: "another user's keyring has that name" },
  { op: "move-interface", errno: "ENODEV", says: "the host has no such interface" },
  { op: "move-interface", errno: "EEXIST", says: "there is an interface of that name in the network namespace" },
  { op: "move-interface", errno: "EINVAL", says: "the kernel does not let this interface go, or it is in that network namespace already" },
  {
    op: "write",
    errno: "ENOENT",
    applies: (op) => op.op === "write" && op.path === "/proc/self/attr/apparmor/exec",
    says: "the profile is not loaded",
  },
  {
    op: "write",
    errno: "EINVAL",
    applies: (op) => op.op === "write" && op.path.endsWith("/schemata"),
    says: "the kernel does not take the schemata (its info/last_cmd_status says why)",
  },
  { op: "child-file", errno: "EPERM", says: "the ids are not ours to map, or overlap" },
  {
    op: "write",
    errno: "EBUSY",
    applies: (op) => op.op === "write" && op.path.endsWith("/cgroup.subtree_control"),
    says: "the cgroup has processes of its own",
  },
  {
    op: "write",
    errno: "EINVAL",
    applies: (op) => op.op === "write" && op.path.includes("/cgroup"),
    says: "the kernel does not take this value for the limit",
  },
  {
    op: "write",
    errno: "EOPNOTSUPP",
    applies: (op) => op.op === "write" && op.path.endsWith("/cgroup.subtree_control"),
    says: "the cgroup is in a threaded subtree, which has not these controllers",
  },
  {
    op: "write",
    errno: "ENOENT",
    applies: (op) => op.op === "write" && op.path.endsWith("/tasks"),
    says: "there is no such cgroup",
  },
  {
    op: "write",
    errno: "ENOENT",
    applies: (op) => op.op === "write" && op.path.includes("/cgroup"),
    says: "this kernel has no such limit, or the controller is not handed down",
  },
  { op: "write-first", errno: "ENOENT", says: "this kernel has no such limit" },
  { op: "write-first", errno: "EINVAL", says: "the kernel does not take this value for the limit" },
  {
    op: "write",
    errno: "ENOENT",
    applies: (op) => op.op === "write" && op.path.startsWith("/proc/sys/"),
    says: "the kernel has no such parameter, or not in this namespace",
  },
  { op: "write", errno: "EXDEV", says: "the file does not lie on the file system that it should, or something is mounted over it" },
  { op: "rlimit", errno: "EPERM", says: "raising a hard limit needs CAP_SYS_RESOURCE" },
  {
    op: "mount",
    errno: "EPERM",
    says: "the kernel refuses this file system here; in a user namespace it may be that a part of it is hidden on the host",
  },
  { op: "mount", errno: "EXDEV", says: underProc },
  { op: "bind", errno: "EXDEV", says: underProc },
  { op: "attach", errno: "EXDEV", says: underProc },
  { op: "attach", errno: "ELOOP", says: "a symbolic link lies on the way, and this file system is put into plain directories only" },
  { op: "attach", errno: "ENOTDIR", says: "one of source and destination is a directory and the other is not" },
  { op: "open-source", errno: "EINVAL", says: "the mount may not be cloned: it is unbindable, or parts of it are locked" },
  { op: "user-namespace", errno: "ENOSPC", says: "the limit of user namespaces is reached (user.max_user_namespaces)" },
  { op: "user-namespace", errno: "EPERM", says: "the ids are not ours to map, or overlap" },
  { op: "id-map", errno: "EINVAL", says: "the file system cannot map ids on this kernel, or its mount has mapped ids already" },
  { op: "id-map", errno: "EPERM", says: "id maps need privileges over the file system" },
  { op: "new-filesystem", errno: "EPERM", says: "the kernel refuses this file system in this user namespace" },
  { op: "new-filesystem", errno: "EINVAL", says: "the file system refuses an option, or an id in it is not mapped" },
  { op: "new-filesystem", errno: "ENODEV", says: "the kernel has no such file system" },
  { op: "copy-up", errno: "ENOSPC", says: "the tmpfs is too small for what the image has there" },
  { op: "copy-up", errno: "ELOOP", says: "the directory is nested too deep" },
  { op: "require-symlink", errno: "EEXIST", says: "something else is there" },
  { op: "reconfigure", errno: "EINVAL", says: "the file system does not take these options, or not in a mount that is there" },
  { op: "mount", errno: "EINVAL", says: "the file system refuses an option, or an id in it is not mapped" },
  { op: "mount", errno: "ENODEV", says: "the kernel has no such file system" },
  { op: "slot-attributes", errno: "EPERM", says: locked },
  { op: "mount-attributes", errno: "EPERM", says: locked },
  { op: "pivot-root", errno: "EINVAL", says: "the root is not a mount, its parent is shared, or it is the initramfs (then noPivot helps)" },
  { op: "mask", errno: "ENODEV", says: "the container's /dev/null is not the null device" },
  { op: "make-node", errno: "EPERM", says: "devices cannot be made in a user namespace, or CAP_MKNOD is missing" },
  { op: "make-node", errno: "EEXIST", says: "something else is there" },
  { op: "uid", errno: "EINVAL", says: "the id is not mapped in the user namespace" },
  { op: "gid", errno: "EINVAL", says: "the id is not mapped in the user namespace" },
  { op: "uid", errno: "EAGAIN", says: "the user has too many processes" },
  { op: "device-filter", errno: "EINVAL", says: "the kernel does not take the filter" },
  { op: "terminal", errno: "ENODEV", says: "there is no devpts at /dev/pts" },
  { op: "terminal", errno: "ENOENT", says: "there is no devpts at /dev/pts" },
  { op: "terminal", errno: "EXDEV", says: "something is mounted over /dev/pts/ptmx" },
  { op: "terminal", errno: "ELOOP", says: "/dev/console is a symbolic link" },
  { op: "terminal", errno: "EEXIST", says: "/dev/console is neither a file nor a device" },
  { op: "terminal", errno: "ENOSPC", says: "the kernel has no pseudo terminal left (/proc/sys/kernel/pty)" },
  { op: "pass-descriptors", errno: "EBADF", says: "the caller has not opened all of them" },
  { op: "open-console", errno: "ECONNREFUSED", says: "nobody listens there" },
  { op: "send-pidfd", errno: "ECONNREFUSED", says: "nobody listens there" },
  { op: "await-criu", errno: "ECONNRESET", says: "criu ended without an answer" },
  { op: "await-criu", errno: "EPROTO", says: "criu failed" },
  { op: "exec", errno: "ENOEXEC", says: "it is no program for this machine, and a script needs a line that starts with #!" },
];

/** What the exit status of a command line should be when the program could not be run. @see POSIX shell, 2.8.2 */
const [notFound, notExecutable] = [127, 126] as const;

/**
 * The error for a failed op of `program`. `details` holds opIndex, errno, op and origin; for an exec also `exitCode`,
 * 127 when the program is not there and 126 when it cannot be run.
 */
export function describeFailure(program: Program, { opIndex, errno }: { readonly opIndex: number; readonly errno: number }): CodedError {
  const step = stepsInOrder(program)[opIndex];
  if (step === undefined)
    return new CodedError("internal", `cannot run the program: op ${opIndex}, which it does not have, failed: ${describeErrno(errno)}`);
  const { op, origin } = step;
  const details: ErrorDetails = { opIndex, errno, op: op.op, origin };
  const where = origin.startsWith("/") ? ` (${origin})` : "";
  // What is found before `start` reads as if it had been found by the exec itself.
  const exec = op.op === "check-executable" ? stepsInOrder(program).find((one) => one.op.op === "exec")?.op : op;
  if (exec?.op === "exec") return describeExecFailure(exec, { errno, where, details });
  const hint = hints.find((entry) => entry.op === op.op && entry.errno === errnoName(errno) && (entry.applies?.(op) ?? true));
  const because = hint === undefined ? describeErrno(errno) : `${describeErrno(errno)}; ${hint.says}`;
  return new CodedError(codeOfErrno(errno), `cannot ${phrase(op)}: ${because}${where}`, { details });
}

/** Engines look for these words to tell exit status 127 from 126 (docker, podman). */
function describeExecFailure(
  op: Extract<Op, { op: "exec" }>,
  { errno, where, details }: { errno: number; where: string; details: ErrorDetails },
): CodedError {
  const name = JSON.stringify(op.argv[0] ?? "");
  const isMissing = ["ENOENT", "ENOTDIR"].includes(errnoName(errno));
  const exitCode = isMissing ? notFound : notExecutable;
  const code: ErrorCode = isMissing ? "not-found" : codeOfErrno(errno);
  const isSearched = op.candidates[0] !== op.argv[0];
  const missing = isSearched ? "executable file not found in $PATH" : describeErrno(errno);
  const hint = hints.find((entry) => entry.op === "exec" && entry.errno === errnoName(errno));
  const because = isMissing ? missing : hint === undefined ? describeErrno(errno) : `${describeErrno(errno)}; ${hint.says}`;
  return new CodedError(code, `cannot run ${name}: ${because}${where}`, { details: { ...details, exitCode } });
}
