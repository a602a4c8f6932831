/** Holding a container still while its files are read. */
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { pathExists, readTextIfThere, writeSetting } from "#sys/small-files.ts";
import type { Container } from "./record.ts";

const [patienceMs, stepMs] = [10_000, 2];

/** Runs `work` while no process of the container runs; one that is not running is left as it is. @throws CodedError `unsupported`, `deadline-exceeded` */
export async function whilePaused<T>({ record, state }: Container, work: () => Promise<T>): Promise<T> {
  if (state.status !== "running") return await work();
  const freezer = findFreezer(record.cgroups);
  if (freezer === undefined)
    throw new CodedError(
      "unsupported",
      `cannot pause container ${record.name}: it has no cgroup with a freezer (--pause=false reads it as it runs)`,
    );
  try {
    if (!(await change(freezer, "pause")))
      throw new CodedError(
        "deadline-exceeded",
        `cannot pause container ${record.name}: its processes were not all frozen after ${patienceMs} ms`,
      );
    return await work();
  } finally {
    // Half frozen is worse than not at all.
    await change(freezer, "resume");
  }
}

interface Freezer {
  readonly file: string;
  /** What is written to pause and to resume. */
  readonly words: readonly [pause: string, resume: string];
  /** Where it says that it is done, and how. */
  readonly answer: string;
  readonly answers: readonly [paused: string, running: string];
}

function findFreezer(cgroups: readonly string[]): Freezer | undefined {
  for (const path of cgroups) {
    const [v1, v2] = [join(path, "freezer.state"), join(path, "cgroup.freeze")];
    if (pathExists(v1)) return { file: v1, words: ["FROZEN", "THAWED"], answer: v1, answers: ["FROZEN", "THAWED"] };
    if (pathExists(v2)) return { file: v2, words: ["1", "0"], answer: join(path, "cgroup.events"), answers: ["frozen 1", "frozen 0"] };
  }
  return undefined;
}

/** True once it is so. A container that has ended meanwhile is as still as can be. */
async function change(freezer: Freezer, verb: "pause" | "resume"): Promise<boolean> {
  const index = verb === "pause" ? 0 : 1;
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += stepMs) {
    if (!pathExists(freezer.file)) return true;
    // KERNEL: v1's freezer may stay at FREEZING when a process forks meanwhile, until it is asked again.
    writeSetting(freezer.file, freezer.words[index]);
    if ((readTextIfThere(freezer.answer) ?? freezer.answers[index]).includes(freezer.answers[index])) return true;
    await sleep(stepMs);
  }
  return false;
}
