/** Changes of a config as docker's `commit --change` spells them: instructions of a Dockerfile. */
import { CodedError } from "#base/errors.ts";
import type { JsonObject } from "#base/json.ts";
import type { ConfigEdit } from "./mutate.ts";

/**
 * The edit that the instruction `text` asks for: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR.
 *
 * @throws CodedError `invalid-argument`
 */
export function parseInstruction(text: string): ConfigEdit {
  const [, word = "", rest = ""] = /^\s*([A-Za-z]+)\s*([\s\S]*?)\s*$/.exec(text) ?? [];
  const fault = (fact: string): CodedError => new CodedError("invalid-argument", `cannot use the change ${JSON.stringify(text)}: ${fact}`);
  const parse = instructions[word.toUpperCase()];
  if (parse === undefined) throw fault(`${JSON.stringify(word)} is not one of ${Object.keys(instructions).join(", ")}`);
  if (rest === "") throw fault("it says nothing");
  const edit = parse(rest);
  if (typeof edit === "string") throw fault(edit);
  return edit;
}

/** Several edits as one; what comes later holds. */
export function joinEdits(edits: readonly ConfigEdit[]): ConfigEdit {
  return edits.reduce<ConfigEdit>((all, edit) => {
    const lists = Object.fromEntries(
      (["env", "unsetEnv", "removeLabels", "exposedPorts", "volumes", "onBuild"] as const)
        .filter((key) => all[key] !== undefined || edit[key] !== undefined)
        .map((key) => [key, [...(all[key] ?? []), ...(edit[key] ?? [])]]),
    );
    const labels = all.labels === undefined && edit.labels === undefined ? {} : { labels: { ...all.labels, ...edit.labels } };
    return { ...all, ...edit, ...lists, ...labels };
  }, {});
}

/** What each instruction does with the text after it; a text is what is wrong. */
const instructions: Readonly<Record<string, (rest: string) => ConfigEdit | string>> = {
  CMD: (rest) => ({ Cmd: commandOf(rest) }),
  ENTRYPOINT: (rest) => ({ Entrypoint: commandOf(rest) }),
  ENV: (rest) => withPairs(rest, (pairs) => ({ env: pairs.map(([name, value]) => `${name}=${value}`) })),
  EXPOSE: (rest) => {
    const ports = rest.split(/\s+/).map((port) => (port.includes("/") ? port : `${port}/tcp`));
    const wrong = ports.find((port) => !/^[0-9]{1,5}(?:-[0-9]{1,5})?\/(?:tcp|udp|sctp)$/.test(port));
    return wrong === undefined ? { exposedPorts: ports } : `${JSON.stringify(wrong)} is no port`;
  },
  HEALTHCHECK: (rest) => healthcheckOf(rest),
  LABEL: (rest) => withPairs(rest, (pairs) => ({ labels: Object.fromEntries(pairs) })),
  ONBUILD: (rest) => ({ onBuild: [rest] }),
  STOPSIGNAL: (rest) => ({ StopSignal: rest }),
  USER: (rest) => ({ User: rest }),
  VOLUME: (rest) => {
    const paths = listOf(rest) ?? rest.split(/\s+/);
    return paths.every((path) => path.startsWith("/")) ? { volumes: paths } : "a volume's path is absolute";
  },
  WORKDIR: (rest) => (rest.startsWith("/") ? { WorkingDir: rest } : "the working directory's path is absolute"),
};

/** A JSON list of texts; undefined for anything else. */
function listOf(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((word) => typeof word === "string") ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The exec form as it is; the shell form by a shell. */
function commandOf(rest: string): string[] {
  return listOf(rest) ?? ["/bin/sh", "-c", rest];
}

function withPairs(rest: string, make: (pairs: (readonly [string, string])[]) => ConfigEdit): ConfigEdit | string {
  const words = splitWords(rest);
  if (words === undefined) return "a quotation is not closed";
  const [first = "", ...others] = words;
  // The old form: `ENV NAME the whole rest`.
  if (!first.includes("="))
    return others.length === 0
      ? `${JSON.stringify(first)} has no value`
      : make([[first, rest.slice(rest.indexOf(first) + first.length).trim()]]);
  const wrong = words.find((word) => word.indexOf("=") < 1);
  if (wrong !== undefined) return `${JSON.stringify(wrong)} is not NAME=VALUE`;
  return make(words.map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)] as const));
}

/** Words with quotation marks and backslashes as a Dockerfile has them; undefined when a quotation is not closed. */
function splitWords(text: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? "";
    if (char === "\\" && quote !== "'" && at + 1 < text.length) word = (word ?? "") + (text[++at] ?? "");
    else if (quote !== "") {
      if (char === quote) quote = "";
      else word = (word ?? "") + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= "";
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + char;
  }
  if (word !== undefined) words.push(word);
  return quote === "" ? words : undefined;
}

const probeTimes: Readonly<Record<string, string>> = {
  interval: "Interval",
  timeout: "Timeout",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
};

function healthcheckOf(rest: string): ConfigEdit | string {
  if (rest.toUpperCase() === "NONE") return { Healthcheck: { Test: ["NONE"] } };
  const probe: Record<string, JsonObject[string]> = {};
  let left = rest;
  for (let match = option.exec(left); match !== null; match = option.exec(left)) {
    const [whole, name = "", value = ""] = match;
    const key = probeTimes[name];
    if (key === undefined && name !== "retries") return `it has no option --${name}`;
    const number = key === undefined ? Number(value) : nanosOf(value);
    if (number === undefined || !Number.isSafeInteger(number)) return `${JSON.stringify(value)} is no value for --${name}`;
    probe[key ?? "Retries"] = number;
    left = left.slice(whole.length);
  }
  const [, command = ""] = /^CMD\s+([\s\S]+)$/i.exec(left) ?? [];
  if (command === "") return "it is neither NONE nor CMD and a command";
  const words = listOf(command);
  return { Healthcheck: { Test: words === undefined ? ["CMD-SHELL", command] : ["CMD", ...words], ...probe } };
}

const option = /^--([a-z-]+)=(\S+)\s+/;
const unitNanos: Readonly<Record<string, number>> = { ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** "1m30s" in nanoseconds. */
function nanosOf(text: string): number | undefined {
  if (!/^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+$/.test(text)) return undefined;
  return [...text.matchAll(/([0-9.]+)(ms|s|m|h)/g)].reduce((sum, [, value, unit]) => sum + Number(value) * (unitNanos[unit ?? ""] ?? 0), 0);
}
