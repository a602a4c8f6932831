/** Limits that older versions of the specification understood otherwise, in the words of today's. */
import type { LinuxResources } from "#spec/runtime-config.ts";

/**
 * Until 1.2 a `pids.limit` of 0 meant that there is none (so runc and crun took it, and podman still writes it for "unlimited");
 * since 1.3 it is a limit of no processes. The version is that of the config that the container was made from.
 * @see runtime-spec config-linux.md#pids
 */
export function limitsOfVersion(resources: LinuxResources, ociVersion: string): LinuxResources {
  if (resources.pids?.limit !== 0 || isSince13(ociVersion)) return resources;
  const { pids: _, ...others } = resources;
  return others;
}

function isSince13(ociVersion: string): boolean {
  const [major = 0, minor = 0] = ociVersion.split(".", 2).map(Number);
  return major > 1 || (major === 1 && minor >= 3);
}
