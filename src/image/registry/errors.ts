/**
 * What a registry answered, as one sentence: what was wanted, who refused it, in which words, and what helps.
 *
 * Everything in an answer is foreign text: it is cut short and nothing in it reaches a terminal as a control character.
 */
import { replaceControls } from "#base/control-characters.ts";
import { CodedError, type ErrorCode } from "#base/errors.ts";
import { parseRetryAfter } from "./retry.ts";

/** Error bodies are not read beyond this. */
export const maxErrorBytes = 64 << 10;

/** What is known about a refused request. */
export interface Refusal {
  /** What could not be done: `get manifest 12 of registry.example/debian`. */
  readonly doing: string;
  /** Host and port that people know the registry by. */
  readonly registry: string;
  readonly status: number;
  readonly header: (name: string) => string | undefined;
  readonly body: Uint8Array;
  readonly nowMs: number;
  /** Whether credentials went along. */
  readonly authenticated: boolean;
}

/** One error of a registry. SPEC: distribution-spec "Error Codes"; the body may be anything all the same. */
export interface RegistryFault {
  readonly code: string;
  readonly message: string;
}

/** The errors in an answer's body; none when it is not of the specified form. */
export function parseFaults(body: Uint8Array): RegistryFault[] {
  let document: unknown;
  try {
    document = JSON.parse(Buffer.from(body.subarray(0, maxErrorBytes)).toString("utf8"));
  } catch {
    return [];
  }
  const errors = field(document, "errors");
  if (!Array.isArray(errors)) return [];
  return errors.slice(0, 10).map((entry: unknown) => ({ code: textOf(field(entry, "code")), message: textOf(field(entry, "message")) }));
}

/** The error for a refused request. */
export function refusedError(refusal: Refusal): CodedError {
  const { status, registry } = refusal;
  const faults = parseFaults(refusal.body);
  const { code, fact } = explain(refusal, faults);
  const said = sayingOf(faults);
  const details: Record<string, string | number> = { status, registry };
  if (faults[0] !== undefined && faults[0].code !== "") details["registryCode"] = faults[0].code;
  return new CodedError(code, `cannot ${refusal.doing}: ${fact}${said === "" ? "" : ` (it says: ${said})`}`, { details });
}

function explain(refusal: Refusal, faults: readonly RegistryFault[]): { code: ErrorCode; fact: string } {
  const { status, registry, authenticated } = refusal;
  switch (status) {
    case 401:
      return {
        code: "permission-denied",
        fact: authenticated
          ? `${registry} does not accept the stored credentials (try: gantry login ${registry})`
          : `${registry} wants to know who you are (try: gantry login ${registry})`,
      };
    case 403:
      return {
        code: "permission-denied",
        fact: `${registry} does not allow it${authenticated ? "" : ` without a login (try: gantry login ${registry})`}`,
      };
    case 404:
      return { code: "not-found", fact: `${registry} does not have it` };
    case 405:
      return { code: "unsupported", fact: `${registry} does not support that` };
    case 413:
      return { code: "exhausted", fact: `${registry} finds it too large` };
    case 429:
      return { code: "unavailable", fact: `the rate limit of ${registry} is reached${limitOf(refusal)}` };
    default:
      if (status >= 500) return { code: "unavailable", fact: `${registry} has trouble of its own (HTTP status ${status})` };
      return {
        code: faults[0]?.code === "UNSUPPORTED" ? "unsupported" : "invalid-argument",
        fact: `${registry} answers HTTP status ${status}`,
      };
  }
}

/** What the usual headers say about a rate limit: `: 100 per 6 hours; try again in 40 s`. */
function limitOf({ header, nowMs }: Refusal): string {
  const [, count, seconds] = /^([0-9]{1,9})(?:;w=([0-9]{1,9}))?$/.exec(header("ratelimit-limit") ?? "") ?? [];
  const limit = count === undefined ? "" : `: ${count} requests${seconds === undefined ? "" : ` in ${durationOf(Number(seconds))}`}`;
  const after = parseRetryAfter(header("retry-after") ?? "", nowMs);
  const again = after === undefined ? "" : `; try again in ${durationOf(Math.ceil(after / 1000))}`;
  return `${limit}${again}`;
}

function durationOf(seconds: number): string {
  if (seconds >= 7200) return `${Math.round(seconds / 3600)} hours`;
  return seconds >= 120 ? `${Math.round(seconds / 60)} minutes` : `${seconds} s`;
}

function sayingOf(faults: readonly RegistryFault[]): string {
  const sayings = faults.map(({ code, message }) => [code, message].filter((part) => part !== "").join(": "));
  return foreignText([...new Set(sayings)].filter((saying) => saying !== "").join("; "));
}

/** Text of a stranger for a sentence: one line, no control characters, at most 300 characters. */
export function foreignText(text: string): string {
  const plain = replaceControls(text, () => " ").trim();
  return plain.length > 300 ? `${plain.slice(0, 300)}…` : plain;
}

/** Failures of connections in words: each JavaScript engine has its own, and some of them blame the reader. */
const connectionFaults: ReadonlyMap<string, string> = new Map([
  ["ConnectionRefused", "connection refused"],
  ["EAI_AGAIN", "its name cannot be looked up now"],
  ["ECONNREFUSED", "connection refused"],
  ["EHOSTUNREACH", "no route to host"],
  ["ENETUNREACH", "network is unreachable"],
  ["ENOTFOUND", "there is no host of that name"],
  ["ETIMEDOUT", "connection timed out"],
]);

/** The sentence for what fetch() threw. Certificates get their own words: trying again does not help there. */
export function unreachableError(doing: string, host: string, cause: unknown): CodedError {
  const { code, message } = rootOf(cause);
  const isCertificate = /CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|ALTNAME/.test(`${code} ${message}`);
  const fact = isCertificate
    ? `the certificate of ${host} is not trusted: ${foreignText(message || code)} (its authority belongs into certs.d, or use --insecure)`
    : `${host} cannot be reached: ${connectionFaults.get(code) ?? foreignText(message || code || "the connection failed")}`;
  // What was wanted may have been no more than that.
  const what = doing === `reach ${host}` ? fact.replace(`${host} cannot be reached: `, "") : fact;
  return new CodedError("unavailable", `cannot ${doing}: ${what}`, {
    details: { reason: isCertificate ? "certificate" : "network" },
    cause,
  });
}

/** Node hides the reason below "fetch failed". */
function rootOf(error: unknown): { code: string; message: string } {
  let current = error;
  for (let depth = 0; depth < 5 && current instanceof Error && current.cause instanceof Error; depth++) current = current.cause;
  const code = textOf(field(current, "code"));
  return { code, message: current instanceof Error ? current.message : String(current) };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.slice(0, 1000) : "";
}
