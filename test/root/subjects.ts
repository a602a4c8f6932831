/** The runtimes that tests of behaviour are run with: Gantry and the peers that are installed, or the one that RUNTIME names. */
import { installed } from "../support/images/commands.ts";
import { runtimePath, runtimeTested, unableHere } from "./gantry-harness.ts";

/** A runtime to be asked. */
export interface Subject {
  readonly name: string;
  /** The first word of what it says of its version: `gantry-runtime`, `runc`, `crun`. */
  readonly kind: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly version: string;
  /** Whether its version is before this one; every version is before one that is not there. */
  readonly isBefore: (version: string | undefined) => boolean;
}

function subject(path: string, name = path, environment: Readonly<Record<string, string>> = {}): Subject {
  const [first = "", , told = ""] = Bun.spawnSync([path, "--version"]).stdout.toString().split(/\s+/);
  const version = /^[\d.]+/.exec(told)?.[0] ?? "";
  const numbers = (text: string): number[] => text.split(".").map((part) => Number.parseInt(part, 10) || 0);
  const isBefore = (other: string | undefined): boolean => {
    if (other === undefined) return true;
    const [ours, theirs] = [numbers(version), numbers(other)];
    const at = theirs.findIndex((number, index) => number !== ours[index]);
    return at !== -1 && (ours[at] ?? 0) < (theirs[at] ?? 0);
  };
  return { name, kind: first, version, command: [path], environment, isBefore };
}

function allSubjects(): Subject[] {
  if (unableHere !== undefined) return [];
  const without = { GANTRY_NO_FRONT: "1" };
  if (runtimeTested !== undefined) return [subject(runtimeTested)];
  return [
    subject(runtimePath, "gantry-runtime"),
    subject(runtimePath, "gantry-runtime without front", without),
    ...["runc", "crun"].filter((name) => installed(name)).map((name) => subject(name)),
  ];
}

export const subjects: readonly Subject[] = allSubjects();
