/** Namespaces and synchronisation. */
import { child, inNamespaces, main, type OpDefinition } from "./op.ts";

export const namespaceOps: readonly OpDefinition[] = [
  { name: "unshare", code: 30, in: inNamespaces, fields: { flags: "u64" }, does: "unshare() with CLONE_* `flags`." },
  {
    name: "setns",
    code: 31,
    in: inNamespaces,
    fields: { path: "text", flags: "u64" },
    does: "Joins the namespace at `path`, which must be of the kind that the CLONE_* `flags` name.",
  },
  { name: "await-parent", code: 32, in: child, fields: {}, does: "Waits for `release-child`; ends silently when the parent is gone." },
  {
    name: "await-start",
    code: 33,
    in: child,
    fields: { path: "text" },
    does: "Tells the parent that all is ready, then waits until somebody writes a byte to the fifo `path`, which `open-start` opened before the pivot, or opens and closes it.",
  },
  {
    name: "map-ids",
    code: 166,
    in: main,
    fields: { program: "text", ids: "texts" },
    does: "Runs the host's `program` (newuidmap, newgidmap) with the child's pid and `ids` as its arguments, for at most 30 s; its failure is a wait status, as with `hook`.",
  },
  {
    name: "move-interface",
    code: 126,
    in: main,
    fields: { name: "text", namespace: "text", newName: "text" },
    does: "Moves the network interface `name` of this network namespace into the one at `namespace`, or the child's when that is empty, as `newName` (`%d` in it stands for the first free number), then gives it its permanent global addresses back and brings it up.",
  },
];
