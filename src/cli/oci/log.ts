/** Errors and warnings of `gantry-runtime`: on standard error for people, in the log file for the program that called. */
import { type ParsedArguments, valueOf } from "../command.ts";
import { printable } from "../output.ts";
import type { RuntimeProgram } from "./context.ts";

/** How grave a line is. */
type Level = "error" | "warning";

/** Writes one line to where the options before the verb say; `always`: to standard error whatever level that is for. */
export type Log = (level: Level, message: string, always?: boolean) => void;

/** The log that the options ask for. @throws what opening the log file throws: a caller that reads it must not wait in vain */
export function openLog(global: ParsedArguments, program: RuntimeProgram): Log {
  const path = valueOf(global, "log");
  const isJson = valueOf(global, "log-format") === "json";
  const threshold = global.switches.has("debug") ? "debug" : (valueOf(global, "log-level") ?? "error");
  if (path !== undefined && path !== "") program.appendLog(path, "");
  return (level, message, always = false) => {
    const line = formatLine(level, message, { time: new Date(program.now()).toISOString(), isJson });
    const isFile = path !== undefined && path !== "";
    if (isFile) program.appendLog(path, line);
    // Callers show what is on standard error to users, who can do nothing about a warning; the log file has it.
    if (level === "warning" && threshold === "error" && !always) return;
    program.writeError(isJson && !isFile ? line : `gantry-runtime: ${level === "warning" ? "warning: " : ""}${printable(message)}\n`);
  };
}

/** One line as runc's callers read it: containerd takes the last one whose `level` is "error" and shows its `msg`. */
export function formatLine(level: Level, message: string, { time, isJson }: { readonly time: string; readonly isJson: boolean }): string {
  return isJson
    ? `${JSON.stringify({ level, msg: message, time })}\n`
    : `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(message)}\n`;
}
