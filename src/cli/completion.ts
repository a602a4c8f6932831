/** Shell completion: the candidates are computed here, the three shells only ask (`gantry __complete WORD...`). */
import { UsageError } from "./arguments.ts";
import type { CommandShape, OptionSpec } from "./command.ts";

/** What completion may look up; each resolves to names. */
export interface CompletionSources {
  readonly images: () => Promise<readonly string[]>;
  readonly containers: () => Promise<readonly string[]>;
}

/** A program as completion sees it. */
export interface CompletedProgram {
  readonly commands: readonly CommandShape[];
  readonly globalOptions: readonly OptionSpec[];
  readonly sources: CompletionSources;
}

/**
 * Candidates for the last of `words` (the command line without the program's name).
 * An empty list leaves the shell to complete file names.
 */
export async function complete(words: readonly string[], program: CompletedProgram): Promise<readonly string[]> {
  const { commands, globalOptions, sources } = program;
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const command = commands.find((candidate) => before.includes(candidate.name));
  const options = [...globalOptions, ...(command?.options ?? [])];
  const previous = options.find((option) => option.value !== undefined && isOption(before.at(-1), option));
  const candidates = await candidatesFor(current, { previous, command, commands, options, sources });
  return candidates.filter((candidate) => candidate.startsWith(current));
}

interface Place {
  readonly previous: OptionSpec | undefined;
  readonly command: CommandShape | undefined;
  readonly commands: readonly CommandShape[];
  readonly options: readonly OptionSpec[];
  readonly sources: CompletionSources;
}

async function candidatesFor(current: string, place: Place): Promise<readonly string[]> {
  if (place.previous !== undefined) return place.previous.choices ?? [];
  const equals = current.startsWith("--") ? current.indexOf("=") : -1;
  if (equals > 0) {
    const name = current.slice(0, equals);
    const given = place.options.find((option) => option.value !== undefined && isOption(name, option));
    return (given?.choices ?? []).map((choice) => `${name}=${choice}`);
  }
  if (current.startsWith("-")) return place.options.map((option) => `--${option.name}`);
  if (place.command === undefined) return place.commands.map((command) => command.name);
  switch (place.command.completes) {
    case "images":
      return await place.sources.images();
    case "containers":
      return await place.sources.containers();
    case "commands":
      return place.commands.map((command) => command.name);
    default:
      return [];
  }
}

function isOption(word: string | undefined, option: OptionSpec): boolean {
  return word === `--${option.name}` || (option.short !== undefined && word === `-${option.short}`);
}

const shells = ["bash", "zsh", "fish"] as const;

/** What `completion` is called as in both programs. */
export const completionShape = {
  name: "completion",
  summary: "Print the completion script of a shell",
  operands: shells.join("|"),
  minOperands: 1,
  maxOperands: 1,
  options: [],
} as const;

/** The script that a user's shell reads: `source <(gantry completion bash)`. @throws UsageError for another shell */
export function completionScript(wanted: string | undefined, program: string): string {
  const shell = shells.find((one) => one === wanted);
  switch (shell) {
    case "bash":
      // Bash takes a colon and an equals sign for ends of words: they are put together again, and what it has already is not given once more.
      return `_${program}() {
  local line="\${COMP_LINE:0:COMP_POINT}" words current start
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current="\${words[\${#words[@]} - 1]}"
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]}" __complete "\${words[@]:1}" 2>/dev/null))
  start="\${current%"\${current##*[:=]}"}"
  [[ $COMP_WORDBREAKS == *[:=]* ]] && COMPREPLY=("\${COMPREPLY[@]#"$start"}")
}
complete -o default -F _${program} ${program}
`;
    case "zsh":
      return `#compdef ${program}
_${program}() {
  local -a candidates
  candidates=("\${(@f)$(\${words[1]} __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$candidates" ]]; then compadd -a candidates; else _files; fi
}
compdef _${program} ${program}
`;
    case "fish":
      return `complete -c ${program} -a '(${program} __complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`;
    case undefined:
      throw new UsageError(`${JSON.stringify(wanted)} is not one of ${shells.join(", ")}`);
  }
}
