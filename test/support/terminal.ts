/** A terminal for tests: runs a command in a new one and types into it, by a small Python script, as Bun has no such thing. */
import { patient } from "./slowness.ts";

const helper = new URL("terminal.py", import.meta.url).pathname;

/** What to do once a text has come out: type, change the size (rows, columns), or send a signal to the command. */
export type Act = readonly [after: string, kind: "send" | "resize" | "kill", value: string | number | readonly number[]];

/** What came of a command in a terminal. */
export interface Driven {
  readonly text: string;
  readonly code: number;
  /** Whether the terminal's settings are as they were before. */
  readonly restored: boolean;
}

/** Runs `command` in a terminal of 24 rows and 80 columns to its end. @throws Error with the script's complaint when that does not come */
export async function drive(acts: readonly Act[], command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Driven> {
  const child = Bun.spawn(["python3", helper, "drive", JSON.stringify(acts), ...command], {
    stdout: "pipe",
    stderr: "pipe",
    timeout: patient(180_000),
    env: { ...process.env, ...env },
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if (out === "") throw new Error(err);
  return JSON.parse(out) as Driven;
}
