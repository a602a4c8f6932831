/** The network of this machine: fetch() of the runtime, and programs that keep passwords. */
import { CodedError } from "#base/errors.ts";
import { nowMs, sleepMs } from "./clock.ts";

/** A request for fetch(), with the extensions that only Bun has. */
export interface NetworkRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal: AbortSignal;
  readonly proxy: string | false;
  readonly tls?: object;
}

/**
 * fetch() as the runtime has it. Node's knows neither proxies nor certificates of a request's own: it is told so, and nothing is sent.
 *
 * @throws CodedError `unsupported`
 */
export const networkFetch = (url: string, request: NetworkRequest): Promise<Response> => {
  const isBun = process.versions["bun"] !== undefined;
  if (!isBun && request.tls !== undefined)
    throw new CodedError(
      "unsupported",
      `cannot reach ${new URL(url).host}: Node's fetch takes no certificates; name them in NODE_EXTRA_CA_CERTS`,
    );
  if (!isBun && request.proxy !== false)
    throw new CodedError("unsupported", `cannot reach ${new URL(url).host} through the proxy ${request.proxy}: Node's fetch knows none`);
  return fetch(url, request as RequestInit);
};

/** Real time. */
export const machineClock = {
  now: nowMs,
  sleep: sleepMs,
  after: (ms: number, late: () => void): (() => void) => {
    const timer = setTimeout(late, ms);
    // A limit on waiting is no reason to stay alive.
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Who asks, as far as it decides whose files are read: the environment's paths and proxies, and the user. */
export function networkUser(): { readonly environment: Readonly<Record<string, string | undefined>>; readonly userId: number } {
  return { environment: process.env, userId: process.getuid?.() ?? 0 };
}

/** A number from 0 up to 1, without 1. Not for secrets. */
export function chance(): number {
  return Math.random();
}

/** What a program left. */
export interface ProgramEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Most output of a program that is kept. */
const maxOutputBytes = 1 << 20;

/** Runs `name`, found on the PATH, with `input` on its standard input. @throws CodedError `not-found` when there is no such program */
export async function runProgram(name: string, words: readonly string[], input: string): Promise<ProgramEnd> {
  // Loaded on use: most commands never need it, and it takes Bun 10 ms.
  const { spawn } = await import("node:child_process");
  return await new Promise((resolve, reject) => {
    const child = spawn(name, words, { stdio: "pipe" });
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8").on("data", (text: string) => {
        if (output[stream].length < maxOutputBytes) output[stream] += text;
      });
    }
    child.on("error", (cause) => reject(new CodedError("not-found", `cannot run ${name}: ${cause.message}`, { cause })));
    child.on("close", (code) => resolve({ code: code ?? 255, ...output }));
    // A program that does not read what it is told has its own words for that.
    child.stdin.on("error", () => undefined).end(input);
  });
}
