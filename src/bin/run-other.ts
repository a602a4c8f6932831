/** Other programs that the runtime's commands call: `ps`, `criu`. */
import type { OtherProgramEnd } from "#cli/oci/context.ts";
import { CodedError } from "#base/errors.ts";

/** Callers such as podman leave the environment empty. */
const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function environmentWithPath(): Record<string, string | undefined> & { PATH: string } {
  // The executor's front has set these for this process alone (executor/front.c).
  const { BUN_JSC_useJIT: _, BUN_JSC_useConcurrentGC: __, ...environment } = process.env;
  return { ...environment, PATH: environment["PATH"] ?? usualPath };
}

/** Our environment as a list, for other programs. */
export function listEnvironment(): string[] {
  return Object.entries(environmentWithPath()).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
}

/** The path of the program `name`, found on the PATH. @throws CodedError `not-found` when there is none */
export function findProgram(name: string): string {
  const executable = Bun.which(name, { PATH: environmentWithPath().PATH });
  if (executable === null) throw new CodedError("not-found", `cannot run ${name}: there is no such program on the PATH`);
  return executable;
}

/** Runs the program `words[0]`, found on the PATH, to its end. @throws CodedError `not-found` when there is none */
export async function runOther(words: readonly string[], output: "captured" | "inherited"): Promise<OtherProgramEnd> {
  const [name = ""] = words;
  const target = output === "captured" ? "pipe" : "inherit";
  const child = Bun.spawn([findProgram(name), ...words.slice(1)], { stdio: ["inherit", target, target], env: environmentWithPath() });
  const texts = output === "captured" ? [new Response(child.stdout).text(), new Response(child.stderr).text()] : [];
  const exitCode = await child.exited;
  return { exitCode, output: (await Promise.all(texts)).join("") };
}
