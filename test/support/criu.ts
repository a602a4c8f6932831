/** Whether criu can be used here. It says so itself: one that is older than the kernel often cannot work on it. */
import { execute, unable } from "../root/gantry-harness.ts";
import { installed } from "./images/commands.ts";

/** Why tests of checkpoints cannot run here; undefined when they can. */
export async function whyNoCriu(): Promise<string | undefined> {
  if (unable !== undefined) return unable;
  if (!installed("criu")) return "criu is not installed";
  const { code, stdout, stderr } = await execute(["criu", "check"]);
  const complaint = `${stdout}${stderr}`.split("\n").find((line) => line.includes("Error"));
  return code === 0 ? undefined : `criu cannot work on this kernel: ${complaint ?? `criu check ends with ${code}`}`;
}

/** Why earlier looks at memory cannot be built on; undefined when they can. KERNEL: CONFIG_MEM_SOFT_DIRTY tells which pages changed. */
export async function whyNoTracking(): Promise<string | undefined> {
  const { code } = await execute(["criu", "check", "--feature", "mem_dirty_track"]);
  return code === 0 ? undefined : "this kernel does not track writes to memory";
}
