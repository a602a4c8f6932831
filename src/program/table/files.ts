/** Cgroups and plain files; paths go through the working root when there is one. */
import { anywhere, type OpDefinition } from "./op.ts";

export const fileOps: readonly OpDefinition[] = [
  {
    name: "make-cgroup",
    code: 20,
    in: anywhere,
    fields: { path: "text" },
    does: "Makes the cgroup directory `path` and its missing parents, which get the sticky bit as a mark; one that exists is kept.",
  },
  {
    name: "remove-cgroup",
    code: 21,
    in: anywhere,
    fields: { path: "text" },
    does: "Removes the cgroup `path` and the cgroups below it, deepest first, waiting up to 2 s for dying processes; a missing one is success.",
  },
  {
    name: "write",
    code: 22,
    in: anywhere,
    fields: { path: "text", data: "text", fsMagic: "u64" },
    does: "Opens the existing file `path` without following a final symbolic link and writes `data` in one write(); with `fsMagic` not 0 the file must lie on that file system, and one of the host's /proc is reached through no other mount (CVE-2025-52881).",
  },
  {
    name: "copy-file",
    code: 23,
    in: anywhere,
    fields: { source: "text", target: "text" },
    does: "Copies up to 1 MiB of the regular file `source` (through the working root when there is one; opened without blocking) to the host path `target`, atomically; a missing source, one that is no regular file or one of over 1 MiB is left.",
  },
  {
    name: "device-filter",
    code: 24,
    in: anywhere,
    fields: { path: "text", program: "bytes" },
    does: "Loads the eBPF device `program` and attaches it to the cgroup v2 directory `path`.",
  },
  {
    name: "remove-directory",
    code: 127,
    in: anywhere,
    fields: { path: "text" },
    does: "rmdir() of `path`; a missing one is success.",
  },
  {
    name: "label-directory",
    code: 128,
    in: anywhere,
    fields: { path: "text", label: "text" },
    does: "Gives the directory `path` the SELinux `label` (security.selinux).",
  },
];
