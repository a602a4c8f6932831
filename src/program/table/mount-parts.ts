/**
 * Mounts in parts. A slot (0-255) keeps a mount that lies nowhere yet, or a user namespace, from one op to another;
 * a child inherits the slots of its parent, which forgets them with the clone.
 */
import { anywhere, type OpDefinition } from "./op.ts";

export const mountPartOps: readonly OpDefinition[] = [
  {
    name: "open-source",
    code: 130,
    in: anywhere,
    fields: { slot: "u32", path: "text", recursive: "u32", propagation: "u64" },
    does: "Keeps in `slot` a clone of the mount at the host path `path` (open_tree), with those below if `recursive`; then sets its propagation (MS_*, 0 leaves it).",
  },
  {
    name: "user-namespace",
    code: 131,
    in: anywhere,
    fields: { slot: "u32", uidMap: "text", gidMap: "text" },
    does: "Keeps in `slot` a new user namespace with these maps; a process that makes it ends with the op.",
  },
  {
    name: "open-user-namespace",
    code: 132,
    in: anywhere,
    fields: { slot: "u32", path: "text" },
    does: "Keeps in `slot` the user namespace at the host path `path`.",
  },
  {
    name: "id-map",
    code: 133,
    in: anywhere,
    fields: { slot: "u32", namespace: "u32", recursive: "u32" },
    does: "Maps the ids of the mount in `slot`, and of those below it if `recursive`, by the user namespace in the slot `namespace` (MOUNT_ATTR_IDMAP, 5.12).",
  },
  {
    name: "attach",
    code: 134,
    in: anywhere,
    fields: { slot: "u32", target: "text", flags: "u32" },
    does: "Moves the mount in `slot` to `target` and empties the slot. Flags: 1 the target may lie on a proc file system, 2 no symbolic link may lie on the way (CVE-2019-19921).",
  },
  {
    name: "new-filesystem",
    code: 135,
    in: anywhere,
    fields: { slot: "u32", fstype: "text", source: "text", options: "texts", attributes: "u64", otherwise: "text" },
    does: "Keeps in `slot` a new file system, made as by `mount`. Where the kernel refuses it (EPERM) and `otherwise` is not empty: a clone of that host path and the mounts below, all with `attributes`.",
  },
  {
    name: "slot-attributes",
    code: 165,
    in: anywhere,
    fields: { slot: "u32", set: "u64", clear: "u64", recursive: "u32" },
    does: "Sets and clears MOUNT_ATTR_* of the mount in `slot`, and of those below it if `recursive`, before anybody can see it or swap its place.",
  },
  {
    name: "copy-up",
    code: 136,
    in: anywhere,
    fields: { slot: "u32", path: "text", itself: "u32" },
    does: "Copies what is in the directory `path` into the mount in `slot`: owners, modes, extended attributes, links and times; not what is mounted below. With `itself` the directory's own attributes too.",
  },
  {
    name: "copy-mode",
    code: 137,
    in: anywhere,
    fields: { slot: "u32", path: "text" },
    does: "Gives the root of the mount in `slot` the mode of the directory `path`; a missing one is left.",
  },
  {
    name: "reconfigure",
    code: 138,
    in: anywhere,
    fields: { target: "text", options: "texts" },
    does: "Changes the file system at `target` (fspick, one fsconfig per `options` entry, as with `mount`).",
  },
];
