/** Reading trees: what is there and what is in it, written to descriptor 1. Paths are beneath the working root of `root`. */
import { anywhere, type OpDefinition } from "./op.ts";

export const surveyOps: readonly OpDefinition[] = [
  {
    name: "list-tree",
    code: 175,
    in: anywhere,
    fields: { path: "name" },
    does: "Writes a record of the directory `path`, of each of its entries, and so on for each directory in it (not across mounts), to descriptor 1. EAGAIN when a directory changes meanwhile.",
  },
  {
    name: "list-entry",
    code: 176,
    in: anywhere,
    fields: { path: "name" },
    does: "Writes a record of `path`, or one that says that nothing is there, to descriptor 1. No link is followed.",
  },
  {
    name: "send-file",
    code: 177,
    in: anywhere,
    fields: { path: "name" },
    does: "Writes a record of the regular file `path`, its data without holes in pieces of offset (8), length (4), 0 (4) and the bytes, an empty piece, and a record of the file after that, to descriptor 1. EAGAIN when it is no regular file or loses data meanwhile.",
  },
  {
    name: "compare-files",
    code: 178,
    in: anywhere,
    fields: { left: "name", right: "name" },
    does: "Writes a record to descriptor 1 whose status is 0 when the regular files `left` and `right` hold the same bytes and 1 when they do not.",
  },
];
