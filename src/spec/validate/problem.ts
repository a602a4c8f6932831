/** What a check finds, and the form of a check. */
import type { RuntimeConfig } from "../runtime-config.ts";

/** One thing that is wrong with a document. */
export interface Problem {
  /** JSON Pointer of the value that is wrong, or of where it is missing. */
  readonly at: string;
  /** One clause that completes "cannot use AT: …". */
  readonly says: string;
}

/** A named rule between the properties of a config.json. */
export interface Check {
  /** Names the rule, for tests and documents. */
  readonly name: string;
  /** All places where `config` breaks the rule. */
  readonly find: (config: RuntimeConfig) => readonly Problem[];
}

/** A list of the one problem, or none: for checks that look at one place. */
export function problemIf(condition: boolean, at: string, says: string): readonly Problem[] {
  return condition ? [{ at, says }] : [];
}

/** Indexes of the elements of `keys` that occurred before. */
export function repeatedIndexes(keys: readonly string[]): number[] {
  const seen = new Set<string>();
  const repeated: number[] = [];
  for (const [index, key] of keys.entries()) {
    if (seen.has(key)) repeated.push(index);
    seen.add(key);
  }
  return repeated;
}
