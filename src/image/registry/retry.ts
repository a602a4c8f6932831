/** Whether and when a request is sent again; pure. */

/** How often a request is sent at most. */
export const maxAttempts = 5;

const firstDelayMs = 250;
const longestDelayMs = 15_000;
/** A server that wants a longer pause than this gets an error instead of patience. */
const longestRetryAfterMs = 90_000;

/** True for answers that may be another one the next time. SPEC: checklist U9: 429 and the temporary ones of RFC 9110. */
export function isTransient(status: number): boolean {
  return status === 408 || status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
}

/** What a pause depends on. */
export interface Attempt {
  /** How many attempts there were: 1 after the first. */
  readonly attempts: number;
  /** The Retry-After of the answer, if it has one. */
  readonly retryAfter?: string | undefined;
  readonly nowMs: number;
  /** From 0 up to 1: what keeps a thousand clients from coming back together. */
  readonly random: number;
}

/** How long to wait before the next attempt, in ms; undefined when there should be none. */
export function retryDelayMs({ attempts, retryAfter, nowMs, random }: Attempt): number | undefined {
  if (attempts >= maxAttempts) return undefined;
  const wanted = retryAfter === undefined ? undefined : parseRetryAfter(retryAfter, nowMs);
  if (wanted !== undefined && wanted > longestRetryAfterMs) return undefined;
  const ceiling = Math.min(firstDelayMs * 2 ** attempts, longestDelayMs);
  // Half of it is certain, half is chance: never at once, never in step.
  return Math.max(wanted ?? 0, ceiling / 2 + (ceiling / 2) * random);
}

/** Retry-After in ms from now: seconds, or a date. Undefined for anything else. @see RFC 9110 section 10.2.3 */
export function parseRetryAfter(text: string, nowMs: number): number | undefined {
  if (/^[0-9]{1,9}$/.test(text.trim())) return Number(text) * 1000;
  const date = /^[A-Z][a-z]{2},/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
