/** Entries as somebody without privileges can make them, in a user namespace where there is one user. */
import type { TarHeader } from "../tar/header.ts";

/**
 * The entry with the one owner that there is, without attributes that need privileges; a device becomes an empty file, so that its name is there.
 *
 * The same is what `umoci unpack --rootless` makes.
 */
export function withoutPrivileges(header: TarHeader): TarHeader {
  const kind = header.kind === "character" || header.kind === "block" ? "file" : header.kind;
  return {
    ...header,
    kind,
    uid: 0,
    gid: 0,
    major: 0,
    minor: 0,
    // KERNEL: user.* is allowed on files and directories only; all others take capabilities over the whole machine.
    xattrs: kind === "file" || kind === "directory" ? header.xattrs.filter(({ name }) => name.startsWith("user.")) : [],
  };
}
