/** Questions about the files of this machine: the only way in which the compiler learns of them, so that its questions can be written down. */
import { readdirSync, readFileSync, statSync } from "node:fs";

/** What may be asked. Answers do not change anything, and no question fails. */
export interface Machine {
  /** The bytes of a file as latin1; undefined when there is none or it cannot be read. */
  readonly read: (path: string) => string | undefined;
  /** Whether the path is a directory (links followed); undefined when nothing is there. */
  readonly isDirectory: (path: string) => boolean | undefined;
  /** Names of directories in a directory, at most `limit` of them in any order; none when it cannot be read. */
  readonly listDirectories: (path: string, limit: number) => string[];
}

/** This machine. */
export const machine: Machine = {
  read: (path) => {
    try {
      return readFileSync(path, "latin1");
    } catch {
      // Whatever the reason, the file gives no fact.
      return undefined;
    }
  },
  isDirectory: (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory(),
  listDirectories: (path, limit) => {
    try {
      const entries = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
      return entries.slice(0, limit).map(({ name }) => name);
    } catch {
      // What cannot be read tells nothing.
      return [];
    }
  },
};
