/** Which proxy a request goes through, by the environment, as curl and Go's programs read it. */

/** The part of the environment that is read; names in lower case come first. */
export type ProxyEnvironment = Readonly<Record<string, string | undefined>>;

/** The proxy's URL; false for a direct connection. Loopback addresses are always reached directly. */
export function proxyFor(url: URL, environment: ProxyEnvironment): string | false {
  const name = url.protocol === "https:" ? "https_proxy" : "http_proxy";
  const proxy = read(environment, name) ?? read(environment, "all_proxy");
  if (proxy === undefined || isLoopback(url.hostname) || isExempt(url, read(environment, "no_proxy") ?? "")) return false;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

/** `localhost`, names below it, 127.0.0.0/8 and ::1. */
export function isLoopback(hostname: string): boolean {
  const name = bare(hostname);
  if (name === "localhost" || name.endsWith(".localhost") || name === "::1") return true;
  return isAddress4(name) && name.startsWith("127.");
}

/** NO_PROXY: `*`, host names with all below them, addresses, address ranges (`10.0.0.0/8`), each with a port or without. */
function isExempt(url: URL, list: string): boolean {
  const host = bare(url.hostname);
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => {
      if (entry === "*") return true;
      if (entry.includes("/")) return isInRange(host, entry);
      const [, name = "", wantedPort] = /^(.*?)(?::([0-9]+))?$/.exec(/^[0-9a-f]*:[0-9a-f]*:/i.test(entry) ? `[${entry}]` : entry) ?? [];
      if (wantedPort !== undefined && wantedPort !== port) return false;
      const domain = bare(name).replace(/^\*?\./, "");
      return host === domain || (!isAddress4(host) && host.endsWith(`.${domain}`));
    });
}

function isInRange(host: string, range: string): boolean {
  const [network = "", bits = ""] = range.split("/");
  const length = Number(bits);
  if (!isAddress4(host) || !isAddress4(network) || !/^[0-9]{1,2}$/.test(bits) || length > 32) return false;
  const shift = 2 ** (32 - length);
  return Math.floor(numberOf(host) / shift) === Math.floor(numberOf(network) / shift);
}

function isAddress4(text: string): boolean {
  return /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/.test(text) && text.split(".").every((part) => Number(part) < 256);
}

function numberOf(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "").toLowerCase();
}

function read(environment: ProxyEnvironment, name: string): string | undefined {
  const value = environment[name] ?? environment[name.toUpperCase()];
  return value === "" ? undefined : value;
}
