/** Tests that other runtimes are asked as well (RUNTIME=PATH), some of which are known to do otherwise. */
import { test } from "bun:test";
import { type Subject, subjects } from "./subjects.ts";

/** What some versions of a peer do otherwise. */
export interface PeerDifference {
  /** `runc` or `crun`. */
  readonly peer: string;
  /** The first version that does otherwise; every one when it is left out. */
  readonly since?: string;
  /** The first version that does as the tests say again; none when there is no such version yet. */
  readonly until?: string;
  /** Whether it depends on who is faster. */
  readonly isRace?: boolean;
  /** What it does instead, and the section of the specification that says otherwise. */
  readonly why: string;
}

/** What a peer does otherwise in the tests whose names match. */
export interface KnownDifference extends PeerDifference {
  readonly name: RegExp;
}

/** A test, and one for each row, whose values stand for "%s" in its name. */
export interface KnownTests {
  readonly one: (name: string, act: () => Promise<void>) => void;
  readonly each: <const Row extends readonly unknown[]>(
    rows: readonly Row[],
  ) => (name: string, act: (...values: { -readonly [K in keyof Row]: Row[K] }) => Promise<void>) => void;
}

/** The versions that the differences were found with: others may have them or not. */
const measured = ["runc 1.1.5", "runc 1.2.9", "runc 1.5.1", "crun 1.8.1", "crun 1.28"];

/** Whether this runtime is of the peer and the versions of a difference. */
export function concerns(difference: PeerDifference, { kind, isBefore }: Subject): boolean {
  const { peer, since, until } = difference;
  return kind === peer && isBefore(until) && (since === undefined || !isBefore(since));
}

/** Whether a difference that concerns this runtime must be there, or the list is out of date. */
export function isMeasured({ kind, version }: Subject): boolean {
  return measured.includes(`${kind} ${version}`);
}

/** Tests with these differences. Each must be there, or the list is out of date and the test fails; `kind` says in the name what it is. */
export function knownTests(known: readonly KnownDifference[], kind: string): KnownTests {
  const [asked] = subjects;
  const one: KnownTests["one"] = (name, act) => {
    const difference = known.find((each) => asked !== undefined && concerns(each, asked) && each.name.test(name));
    if (asked === undefined || difference === undefined) {
      test(name, act);
      return;
    }
    test(`${name} (${kind}: ${difference.peer} ${difference.why})`, async () => {
      const isThere = await act().then(
        () => false,
        () => true,
      );
      if (!isThere && difference.isRace !== true && isMeasured(asked))
        throw new Error(`${asked.name} does as the others: take the difference off`);
    });
  };
  const each: KnownTests["each"] = (rows) => (name, act) => {
    for (const row of rows) {
      const values = row.map((value) => (typeof value === "string" ? value : (JSON.stringify(value) ?? "")));
      one(
        name.replaceAll("%s", () => values.shift() ?? ""),
        () => act(...row),
      );
    }
  };
  return { one, each };
}
