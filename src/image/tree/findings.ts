/**
 * What is found when trees are compared: for each name its directory, where its record lies and what is to be thought of it, 13 bytes in all.
 * A changeset may have a million of them.
 */
import type { ByteString } from "#base/byte-string.ts";
import { joinPath } from "./change.ts";
import { readEntry, readName, type ListedEntry } from "./listing.ts";

/** `same` and `doubtful` are names that are looked at further. */
export type Verdict = "same" | "doubtful" | "added" | "modified" | "deleted";

const verdicts: readonly Verdict[] = ["same", "doubtful", "added", "modified", "deleted"];

/** The findings from `start` to `end` are of names in one directory. */
export interface FoundDirectory {
  readonly path: ByteString;
  readonly start: number;
  end: number;
}

/** Where records lie: of what is deleted, in `before`. */
interface Records {
  readonly before: Buffer;
  readonly after: Buffer;
}

/** A name of a file that has, or had, others. */
export interface SharedName {
  readonly index: number;
  /** Which file it is, and which one it was. */
  readonly identity: string;
  readonly identityBefore: string | undefined;
}

/** A list that grows. */
export class Findings {
  readonly #directories: (FoundDirectory & Records)[] = [];
  readonly #shared: SharedName[] = [];
  #length = 0;
  #verdict = new Uint8Array(firstLength);
  #directory = new Uint32Array(firstLength);
  /** A listing may be longer than 32 bits can say. */
  #at = new Float64Array(firstLength);

  get length(): number {
    return this.#length;
  }

  /** In the order in which they were found. */
  get directories(): readonly FoundDirectory[] {
    return this.#directories;
  }

  /** Names of files with several names, in the order in which they were found. */
  get sharedNames(): readonly SharedName[] {
    return this.#shared;
  }

  /** What is added from now on lies in the directory `path`, and its records in `records`. */
  enter(path: ByteString, records: Records): void {
    if (this.#directories.at(-1)?.start === this.#length) this.#directories.pop();
    this.#directories.push({ path, ...records, start: this.#length, end: this.#length });
  }

  /** Adds a name that is now `after`, whose record is at `at`, and was `before`. */
  add(verdict: Exclude<Verdict, "deleted">, at: number, { before, after }: { before?: ListedEntry | undefined; after: ListedEntry }): void {
    const { kind, links } = after;
    if (kind !== "directory" && (links > 1 || (before?.links ?? 1) > 1))
      this.#shared.push({ index: this.#length, identity: after.identity, identityBefore: before?.identity });
    this.#put(verdict, at);
  }

  /** Adds a name that is gone. */
  addDeleted(at: number): void {
    this.#put("deleted", at);
  }

  #put(verdict: Verdict, at: number): void {
    const index = this.#length;
    if (index === this.#verdict.length) this.#grow();
    const directory = this.#directories.at(-1) as FoundDirectory;
    this.#length = directory.end = index + 1;
    this.#verdict[index] = verdicts.indexOf(verdict);
    this.#directory[index] = this.#directories.length - 1;
    this.#at[index] = at;
  }

  verdict(index: number): Verdict {
    return verdicts[this.#verdict[index] ?? 0] as Verdict;
  }

  decide(index: number, verdict: Verdict): void {
    this.#verdict[index] = verdicts.indexOf(verdict);
  }

  /** What is there now; of what is deleted, what was there. */
  entry(index: number): ListedEntry {
    const { before, after } = this.#directoryOf(index);
    return readEntry(this.verdict(index) === "deleted" ? before : after, this.#at[index] ?? 0);
  }

  name(index: number): ByteString {
    const { before, after } = this.#directoryOf(index);
    return readName(this.verdict(index) === "deleted" ? before : after, this.#at[index] ?? 0);
  }

  path(index: number): ByteString {
    return joinPath(this.#directoryOf(index).path, this.name(index));
  }

  #directoryOf(index: number): FoundDirectory & Records {
    return this.#directories[this.#directory[index] ?? 0] as FoundDirectory & Records;
  }

  #grow(): void {
    const length = 2 * this.#length;
    const [verdict, directory, at] = [this.#verdict, this.#directory, this.#at];
    (this.#verdict = new Uint8Array(length)).set(verdict);
    (this.#directory = new Uint32Array(length)).set(directory);
    (this.#at = new Float64Array(length)).set(at);
  }
}

const firstLength = 64;
