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

const linkLocal = ["169.254.0.0/16", "0.0.0.0/8"];
const privateRanges = ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", ...linkLocal];

/**
 * How far an address reaches: `machine` for those that only this machine or its network card's neighbours can mean (where clouds keep their
 * secrets), `site` for private ones, `world` for all others and for names, of which nobody knows before they are looked up.
 *
 * @param hostname of a URL object, which has one spelling for each address
 */
export function reachOf(hostname: string): "machine" | "site" | "world" {
  const name = bare(hostname).replace(/\.$/, "");
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(name);
  const address = mapped === null ? name : dotted(Number.parseInt(`${mapped[1]}`, 16), Number.parseInt(`${mapped[2]}`, 16));
  if (isLoopback(address) || address === "::" || /^fe[89ab]/.test(address) || linkLocal.some((range) => isInRange(address, range)))
    return "machine";
  const isPrivate = privateRanges.some((range) => isInRange(address, range)) || /^f[cd][0-9a-f]{2}:/.test(address);
  return isPrivate ? "site" : "world";
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
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
