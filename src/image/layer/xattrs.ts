/** Which extended attributes of a layer's entries are applied, and what they must look like. */
import type { ByteString } from "#base/byte-string.ts";

/**
 * Names that are left out, for different reasons:
 * - overlayfs keeps whiteouts, redirects and opaque marks in its own namespaces. SECURITY: a layer that could set them
 *   would show files from anywhere in the lower directories.
 * - security.selinux is the host policy's label, system.nfs4_acl the remote file system's.
 * umoci 0.4.7 leaves out the same but applies user.overlay.*; containers/storage of podman 4.3.1 leaves out security.selinux only.
 */
export function isIgnoredXattr(name: ByteString): boolean {
  return (
    name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.") || name === "security.selinux" || name === "system.nfs4_acl"
  );
}

/** KERNEL: XATTR_NAME_MAX and XATTR_SIZE_MAX, linux/limits.h. */
const nameLimitBytes = 255;
const valueLimitBytes = 65536;

/** What keeps an attribute from being applied, as a fact; undefined when it can be. */
export function findXattrFault(name: ByteString, value: Uint8Array): string | undefined {
  if (name.length > nameLimitBytes) return `an extended attribute's name has ${name.length} bytes, more than ${nameLimitBytes}`;
  if (value.length > valueLimitBytes) return `its extended attribute ${name} has ${value.length} bytes, more than ${valueLimitBytes}`;
  return undefined;
}
