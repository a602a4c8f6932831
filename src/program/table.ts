/**
 * The op table: the only place where an op exists.
 *
 * `scripts/generate.ts` makes from it the TypeScript union and encoder (`ops.gen.ts`), the C structs
 * and decoder (`executor/ops.gen.h`) and `docs/program-format.md`; a house test regenerates and compares.
 *
 * An op is primitive (about one system call, or one fixed race-free sequence), absolute (no cursor; the
 * working root set by `root` or `enter-root` is the only context) and blind (it never looks at its neighbours).
 * Numbers are never reused: a removed op leaves a gap and raises `formatVersion`.
 */

/** Bumped whenever bytes change meaning; executor and encoder of different versions refuse each other. */
export const formatVersion = 1;

/**
 * What a field holds on the wire, and its type in TypeScript:
 * - `u32`, `i64`, `u64`: integers, little endian; 64-bit ones are safe integers in TypeScript.
 * - `limit`: 64 unsigned bits as `bigint` (resource limits use all of them).
 * - `text`: UTF-8 from a JSON document, no NUL inside.
 * - `name`: a byte string (one char per byte, see base/byte-string.ts), for file names, which need not be UTF-8.
 * - `texts`, `names`: lists of these. - `bytes`: raw bytes.
 */
export type FieldKind = "u32" | "u64" | "i64" | "limit" | "text" | "name" | "texts" | "names" | "bytes";

/** One op: its stable number, its fields in wire order and what it does, in one sentence. */
export interface OpDefinition {
  readonly name: string;
  readonly code: number;
  readonly fields: Readonly<Record<string, FieldKind>>;
  readonly does: string;
}

export const opTable: readonly OpDefinition[] = [
  // ---- host side: before and around the clone -------------------------------------------------
  {
    name: "lock",
    code: 1,
    fields: { path: "text", exclusive: "u32" },
    does: "Opens (creating it, mode 0600) and flocks `path`, shared or exclusive, and keeps the descriptor until `unlock` or exit.",
  },
  { name: "unlock", code: 2, fields: {}, does: "Closes the descriptor that `lock` keeps." },
  { name: "null-stdio", code: 3, fields: { fd: "u32" }, does: "Replaces standard descriptor `fd` (0-2) by /dev/null." },
  {
    name: "relay-stdio",
    code: 4,
    fields: { fd: "u32" },
    does: "Puts a pipe between the executor's standard descriptor `fd` (0-2) and the container's; `supervise` moves the bytes.",
  },
  {
    name: "clone",
    code: 5,
    fields: { section: "u32", flags: "u64", cgroup: "text" },
    does: "clone3() with CLONE_* `flags` and a pidfd, into the cgroup v2 directory `cgroup` unless that is empty (CLONE_INTO_CGROUP, 5.7); the child runs `section` and never returns from it.",
  },
  {
    name: "child-pid",
    code: 6,
    fields: { path: "text", create: "u32" },
    does: "Writes the child's pid, in decimal, to `path`; with `create` the file is made whole beside it and renamed over.",
  },
  {
    name: "child-file",
    code: 7,
    fields: { file: "text", data: "text" },
    does: "Writes `data` in one write() to /proc/CHILD/`file` (uid_map, gid_map, setgroups, timens_offsets).",
  },
  {
    name: "record-child",
    code: 8,
    fields: { path: "text" },
    does: "Copies /proc/CHILD/stat to `path`, atomically: the pid with its start time, which together name a process for ever.",
  },
  { name: "release-child", code: 9, fields: {}, does: "Lets the child pass `await-parent`." },
  {
    name: "await-exec",
    code: 10,
    fields: {},
    does: "Waits until the child's exec succeeded, then reports `started`; a failure in the child becomes this program's failure.",
  },
  {
    name: "await-ready",
    code: 11,
    fields: {},
    does: "Waits until the child reaches `await-start`, then reports `created`; a failure in the child becomes this program's failure.",
  },
  {
    name: "supervise",
    code: 12,
    fields: {},
    does: "Moves relayed stdio and delivers signals asked for on the control socket until the child ends, then keeps its wait status.",
  },
  {
    name: "record-exit",
    code: 13,
    fields: { path: "text" },
    does: "Writes the wait status that `supervise` kept to `path`, atomically: `exited N` or `signaled N`.",
  },
  {
    name: "cleanup",
    code: 14,
    fields: {},
    does: "Runs the cleanup section now (it also runs after any failure); its failures are reported as warnings and stop nothing.",
  },
  { name: "setsid", code: 15, fields: {}, does: "Starts a new session, so that the terminal's signals no longer reach this process." },
  { name: "exit", code: 17, fields: { code: "u32" }, does: "Ends the executor with exit code `code`." },
  { name: "report", code: 16, fields: { value: "u32" }, does: "Sends the report `reached` with `value`; allowed in streams too." },

  // ---- cgroups and plain files; paths go through the working root when there is one -------------
  {
    name: "make-cgroup",
    code: 20,
    fields: { path: "text" },
    does: "Makes the cgroup directory `path` and its missing parents; one that exists is kept.",
  },
  {
    name: "remove-cgroup",
    code: 21,
    fields: { path: "text" },
    does: "Removes the cgroup `path` and the cgroups below it, deepest first, waiting up to 2 s for dying processes; a missing one is success.",
  },
  {
    name: "write",
    code: 22,
    fields: { path: "text", data: "text", fsMagic: "u64" },
    does: "Opens the existing file `path` without following a final symbolic link and writes `data` in one write(); with `fsMagic` not 0 the file must lie on that file system (CVE-2025-52881).",
  },
  {
    name: "copy-file",
    code: 23,
    fields: { source: "text", target: "text" },
    does: "Copies up to 1 MiB of the regular file `source` (through the working root when there is one; opened without blocking) to the host path `target`, atomically; a missing source, one that is no regular file or one of over 1 MiB is left.",
  },
  {
    name: "device-filter",
    code: 24,
    fields: { path: "text", program: "bytes" },
    does: "Loads the eBPF device `program` and attaches it to the cgroup v2 directory `path`.",
  },

  // ---- namespaces and synchronisation ----------------------------------------------------------
  { name: "unshare", code: 30, fields: { flags: "u64" }, does: "unshare() with CLONE_* `flags`." },
  {
    name: "setns",
    code: 31,
    fields: { path: "text", flags: "u64" },
    does: "Joins the namespace at `path`, which must be of the kind that the CLONE_* `flags` name.",
  },
  { name: "await-parent", code: 32, fields: {}, does: "Waits for `release-child`; ends silently when the parent is gone." },
  {
    name: "await-start",
    code: 33,
    fields: { path: "text" },
    does: "Tells the parent that all is ready, then waits until somebody writes a byte to the fifo `path`, which `open-start` opened before the pivot, or opens and closes it.",
  },

  // ---- mounts: before `root`, paths are the host's; after it the kernel keeps them in the container
  {
    name: "propagation",
    code: 40,
    fields: { path: "text", flags: "u64" },
    does: "Sets the mount propagation of `path` (MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE, with MS_REC or not).",
  },
  {
    name: "root",
    code: 41,
    fields: { path: "text" },
    does: "Opens the host directory `path` as the working root: from now on the kernel resolves every target path inside it (openat2, RESOLVE_IN_ROOT).",
  },
  {
    name: "mount",
    code: 42,
    fields: { fstype: "text", source: "text", target: "text", options: "texts", attributes: "u64" },
    does: "Makes a new file system (fsopen, one fsconfig per `options` entry `key` or `key=value`, fsmount with MOUNT_ATTR_* `attributes`) and moves it to `target`.",
  },
  {
    name: "bind",
    code: 43,
    fields: { source: "text", target: "text", recursive: "u32" },
    does: "Clones the mount at the host path `source` (open_tree) and moves the clone to `target`.",
  },
  {
    name: "mount-attributes",
    code: 44,
    fields: { target: "text", set: "u64", clear: "u64", propagation: "u64", recursive: "u32" },
    does: "mount_setattr() on `target`: MOUNT_ATTR_* to set and clear, and a propagation (0 leaves it).",
  },
  { name: "unmount", code: 45, fields: { target: "text", flags: "u32" }, does: "umount2() of `target` with MNT_* `flags`." },
  {
    name: "ensure-directory",
    code: 46,
    fields: { path: "text", mode: "u32" },
    does: "Makes the directory `path` and its missing parents; what exists is kept.",
  },
  {
    name: "ensure-file",
    code: 47,
    fields: { path: "text", mode: "u32" },
    does: "Makes an empty regular file at `path`, with its missing parents, unless something is there.",
  },
  {
    name: "make-node",
    code: 48,
    fields: { path: "text", mode: "u32", major: "u32", minor: "u32", uid: "u32", gid: "u32" },
    does: "Makes the device or fifo `path` (`mode` has the S_IF* kind) and sets its owner and mode; a node of the same kind and number is kept.",
  },
  {
    name: "make-symlink",
    code: 49,
    fields: { path: "text", target: "text" },
    does: "Makes the symbolic link `path`; one with the same target is kept.",
  },
  {
    name: "mask",
    code: 50,
    fields: { path: "text" },
    does: "Hides `path`: a directory under an empty read-only tmpfs, anything else under the container's /dev/null, which must be device 1:3 (CVE-2025-31133); a missing one is left.",
  },
  {
    name: "read-only",
    code: 51,
    fields: { path: "text" },
    does: "Binds `path` over itself, recursively, and makes it read-only, keeping its other attributes; a missing one is left.",
  },
  {
    name: "pivot-root",
    code: 52,
    fields: {},
    does: 'Makes the working root the root of this mount namespace and detaches the old one (pivot_root(".", ".")).',
  },
  {
    name: "move-root",
    code: 53,
    fields: {},
    does: "As `pivot-root` where that cannot work (initramfs): MS_MOVE of the working root over / and chroot.",
  },
  { name: "rootfs-attributes", code: 54, fields: { set: "u64" }, does: "Sets MOUNT_ATTR_* on the mount of / alone." },
  {
    name: "mount-data",
    code: 55,
    fields: { fstype: "text", source: "text", target: "text", flags: "u64", data: "text" },
    does: "mount(2) at the host path `target`, for kernels whose fsconfig cannot say it (overlay before 6.7); only before `root`.",
  },

  // ---- the process ------------------------------------------------------------------------------
  { name: "hostname", code: 60, fields: { name: "text" }, does: "sethostname()." },
  { name: "domainname", code: 61, fields: { name: "text" }, does: "setdomainname()." },
  { name: "new-session", code: 62, fields: {}, does: "setsid() in the container's first process." },
  { name: "rlimit", code: 63, fields: { resource: "u32", soft: "limit", hard: "limit" }, does: "prlimit() of this process." },
  { name: "groups", code: 64, fields: { gids: "bytes" }, does: "setgroups() to `gids` (32-bit little endian each)." },
  { name: "gid", code: 65, fields: { gid: "u32" }, does: "setresgid() to `gid`, all three." },
  { name: "uid", code: 66, fields: { uid: "u32" }, does: "setresuid() to `uid`, all three." },
  { name: "keep-capabilities", code: 67, fields: {}, does: "Keeps permitted capabilities over the next change of uid (PR_SET_KEEPCAPS)." },
  {
    name: "bounding",
    code: 68,
    fields: { keep: "u64" },
    does: "Drops every capability that is not in the mask `keep` from the bounding set.",
  },
  {
    name: "capabilities",
    code: 69,
    fields: { effective: "u64", permitted: "u64", inheritable: "u64" },
    does: "capset() of the three masks.",
  },
  { name: "ambient", code: 70, fields: { mask: "u64" }, does: "Clears the ambient set, then raises each capability in `mask`." },
  { name: "no-new-privileges", code: 71, fields: {}, does: "PR_SET_NO_NEW_PRIVS." },
  { name: "umask", code: 72, fields: { mask: "u32" }, does: "umask()." },
  {
    name: "working-directory",
    code: 73,
    fields: { path: "text" },
    does: "chdir(), then checks that the kernel names the place below the root (CVE-2024-21626).",
  },
  { name: "oom-score", code: 74, fields: { value: "text" }, does: "Writes `value` to /proc/self/oom_score_adj." },
  {
    name: "seccomp",
    code: 75,
    fields: { flags: "u64", filter: "bytes" },
    does: "Loads the BPF `filter` (struct sock_filter array) with SECCOMP_FILTER_FLAG_* `flags`.",
  },
  {
    name: "exec",
    code: 76,
    fields: { candidates: "texts", argv: "texts", env: "texts" },
    does: "Marks every descriptor above 2 close-on-exec, resets signals and executes the first of `candidates` that works; EACCES of any outweighs ENOENT.",
  },
  {
    name: "open-start",
    code: 77,
    fields: { path: "text" },
    does: "Opens the fifo at the host path `path` for reading, for a later `await-start`.",
  },
  {
    name: "link-up",
    code: 78,
    fields: { name: "text" },
    does: "Brings the network interface `name` of this network namespace up (SIOCSIFFLAGS, IFF_UP).",
  },

  // ---- trees: what a layer does to a directory; paths are relative to the root entered ---------
  {
    name: "enter-root",
    code: 80,
    fields: { path: "text" },
    does: "Keeps a descriptor of /, then chroots into the host directory `path` and takes umask 0: no path of a later op can leave it.",
  },
  { name: "leave-root", code: 81, fields: {}, does: "Returns to the / that `enter-root` kept." },
  {
    name: "file",
    code: 82,
    fields: { path: "name", mode: "u32", uid: "u32", gid: "u32", seconds: "i64", nanos: "u32", size: "u64", keepParent: "u32" },
    does: "Replaces whatever is at `path` by a regular file; its data follows as chunks (see below), holes where no chunk is.",
  },
  {
    name: "directory",
    code: 83,
    fields: { path: "name", mode: "u32", uid: "u32", gid: "u32", seconds: "i64", nanos: "u32", keepParent: "u32" },
    does: "Makes the directory `path` or, where one is, gives it these attributes and keeps its content; anything else there is replaced.",
  },
  {
    name: "symlink",
    code: 84,
    fields: { path: "name", target: "name", uid: "u32", gid: "u32", seconds: "i64", nanos: "u32", keepParent: "u32" },
    does: "Replaces whatever is at `path` by a symbolic link.",
  },
  {
    name: "hardlink",
    code: 85,
    fields: { path: "name", target: "name", keepParent: "u32" },
    does: "Replaces whatever is at `path` by a hard link to `target`, which is not followed if it is a symbolic link.",
  },
  {
    name: "node",
    code: 86,
    fields: {
      path: "name",
      mode: "u32",
      major: "u32",
      minor: "u32",
      uid: "u32",
      gid: "u32",
      seconds: "i64",
      nanos: "u32",
      keepParent: "u32",
    },
    does: "Replaces whatever is at `path` by a device or fifo; `mode` has the S_IF* kind.",
  },
  { name: "xattr", code: 87, fields: { path: "name", name: "name", value: "bytes" }, does: "lsetxattr() on `path`." },
  {
    name: "clear-xattrs",
    code: 88,
    fields: { path: "name" },
    does: "Removes every extended attribute of `path` except those of the file system itself (trusted.overlay.*) and security.selinux.",
  },
  {
    name: "times",
    code: 89,
    fields: { path: "name", seconds: "i64", nanos: "u32" },
    does: "Sets the modification (and access) time of `path`, which is not followed.",
  },
  {
    name: "remove",
    code: 90,
    fields: { path: "name", keepParent: "u32" },
    does: "Removes `path` and all below it, never crossing a mount nor following a link; a missing one is success.",
  },
  {
    name: "clear",
    code: 91,
    fields: { path: "name", keep: "names", follow: "u32", keepTimes: "u32" },
    does: "Removes every child of the directory `path` whose name is not in `keep`; a missing directory is success. `path` may be a symbolic link only with `follow`; with `keepTimes` the directory's times stay.",
  },
  {
    name: "parents",
    code: 92,
    fields: { path: "name" },
    does: "Makes the directory `path` and its missing parents, 0755 root, following links as the kernel does; what exists is kept, with its times.",
  },
  { name: "end", code: 93, fields: {}, does: "Ends a streamed program: all before it is done; reports `finished`." },
  {
    name: "remove-tree",
    code: 94,
    fields: { path: "text" },
    does: "Removes the host directory `path` and all below it, never crossing a mount nor following a link; a missing one is success.",
  },
];
