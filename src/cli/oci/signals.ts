/** Signals as callers write them: a number, "TERM" or "SIGTERM", in any case, "RTMIN+3". */
import { constants } from "node:os";
import { UsageError } from "../arguments.ts";

const [firstRealtime, lastSignal] = [34, 64] as const;

/** The number of a signal. @throws UsageError for what is none */
export function parseSignal(word: string): number {
  if (/^\d{1,3}$/.test(word)) {
    const number = Number(word);
    if (number >= 1 && number <= lastSignal) return number;
    throw new UsageError(`${JSON.stringify(word)} is no signal: numbers go from 1 to ${lastSignal}`);
  }
  const name = word.toUpperCase().replace(/^SIG/, "");
  const known = (constants.signals as Readonly<Record<string, number | undefined>>)[`SIG${name}`];
  if (known !== undefined) return known;
  const [, end, sign, offset = "0"] = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name) ?? [];
  const number =
    end === "MIN" && sign !== "-" ? firstRealtime + Number(offset) : end === "MAX" && sign !== "+" ? lastSignal - Number(offset) : 0;
  if (number >= firstRealtime && number <= lastSignal) return number;
  throw new UsageError(`${JSON.stringify(word.slice(0, 40))} is no signal`);
}
