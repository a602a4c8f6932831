/** Passwords from the terminal. */
import { CodedError } from "#base/errors.ts";
import { writeStandard } from "#sys/standard-streams.ts";

/** Asks on the terminal and reads one line that is not shown. @throws CodedError `unavailable` */
export async function readSecret(prompt: string): Promise<string> {
  const { ReadStream } = await import("node:tty");
  const input = new ReadStream(0);
  writeStandard(2, prompt);
  input.setRawMode(true);
  let line = "";
  try {
    for await (const chunk of input) {
      for (const char of String(chunk)) {
        if (char === "\r" || char === "\n") return line;
        if (char === "\u0003" || char === "\u0004") throw new CodedError("canceled", "cannot log in: nothing was typed");
        line = char === "\u007f" || char === "\b" ? line.slice(0, -1) : line + char;
      }
    }
    return line;
  } finally {
    input.setRawMode(false);
    input.destroy();
    writeStandard(2, "\n");
  }
}
