/** Names of kernel parameters. */

/**
 * The path components below /proc/sys of a parameter such as "net.ipv4.ip_forward"; `undefined` when `key` is no such name.
 *
 * Either separator may be used; the first one in `key` decides, and the other one then stands for a dot or slash
 * within a component: "net/ipv4/conf/eth0.100/forwarding" and "net.ipv4.conf.eth0/100.forwarding" are the same.
 * @see sysctl(8), sysctl.d(5)
 */
export function parseSysctlKey(key: string): string[] | undefined {
  const separator = /[./]/.exec(key)?.[0];
  if (separator === undefined) return undefined;
  const components = separator === "/" ? key.split("/") : key.split(".").map((part) => part.replaceAll("/", "."));
  // SECURITY: the components become a path; none may lead up or nowhere.
  const isSafe = components.every((part) => /^[A-Za-z0-9_.:@-]+$/.test(part) && part !== "." && part !== "..");
  return isSafe ? components : undefined;
}
