/** Holding and letting go a container's processes by the freezer of its cgroup. */
import { dirname } from "node:path";
import { CodedError } from "#base/errors.ts";
import { readTextIfThere, writeSetting } from "#sys/small-files.ts";
import type { FoundState } from "./state.ts";

const [patienceMs, stepMs] = [10_000, 2];

/** Freezes or thaws the container and waits until all of it is. @throws CodedError `wrong-state`, `unsupported`, `deadline-exceeded` */
export async function changeFreezer(found: FoundState, verb: "pause" | "resume", sleep: (ms: number) => Promise<unknown>): Promise<void> {
  const { state, stored } = found;
  const fail = (code: "wrong-state" | "unsupported" | "deadline-exceeded", why: string): CodedError =>
    new CodedError(code, `cannot ${verb} container ${JSON.stringify(state.id)}: ${why}`);
  if (state.status === "stopped") throw fail("wrong-state", "container not running");
  if (verb === "resume" && state.status !== "paused") throw fail("wrong-state", `container not paused: it is ${state.status}`);
  if (verb === "pause" && state.status === "paused") throw fail("wrong-state", "it is paused");
  if (verb === "pause" && state.status === "creating") throw fail("wrong-state", "it is being created");
  if (stored.freezer === undefined) throw fail("unsupported", "it has no cgroup with a freezer");
  const setting = settingOf(stored.freezer, verb);
  for (let waitedMs = 0; ; waitedMs += stepMs) {
    // KERNEL: v1's freezer may stay at FREEZING when a process forks meanwhile, until it is asked again.
    writeSetting(stored.freezer, setting.value);
    if ((readTextIfThere(setting.answer) ?? setting.expected).includes(setting.expected)) return;
    if (waitedMs >= patienceMs) break;
    await sleep(stepMs);
  }
  // Half frozen is worse than not at all.
  if (verb === "pause") writeSetting(stored.freezer, settingOf(stored.freezer, "resume").value);
  throw fail("deadline-exceeded", `its processes were not all ${verb === "pause" ? "frozen" : "thawed"} after ${patienceMs} ms`);
}

/** What to write to the freezer's file, and where it says that it is done. */
function settingOf(freezer: string, verb: "pause" | "resume"): { value: string; answer: string; expected: string } {
  if (freezer.endsWith("/freezer.state")) {
    const value = verb === "pause" ? "FROZEN" : "THAWED";
    return { value, answer: freezer, expected: value };
  }
  const value = verb === "pause" ? "1" : "0";
  return { value, answer: `${dirname(freezer)}/cgroup.events`, expected: `frozen ${value}` };
}
