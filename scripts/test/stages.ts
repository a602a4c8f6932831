/** The list of stages, cheapest first: a fault is reported by the fastest stage that can see it. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { patient } from "../../test/support/slowness.ts";
import type { Stage } from "./stage.ts";

const root = new URL("../..", import.meta.url).pathname;
const minuteMs = 60_000;
const rootless = process.getuid?.() === 0 ? undefined : "these tests make namespaces, mounts and cgroups as root; run them with sudo";

type Shape = Pick<Stage, "name" | "suite"> & Partial<Pick<Stage, "limitMs" | "maySkipAll">>;

function check(name: string, ...command: string[]): Stage {
  return { name, suite: "fast", counting: "check", command, limitMs: 5 * minuteMs };
}

function bunTest(shape: Shape, ...paths: string[]): Stage {
  const present = paths.filter((path) => existsSync(join(root, path)));
  // Without a path bun would run every test there is; with one that does not exist it runs none, and the stage fails.
  const wanted = present.length > 0 ? present : paths;
  const command = ["bun", "test", "--only-failures", `--timeout=${patient(2 * minuteMs)}`];
  return {
    ...shape,
    limitMs: patient(shape.limitMs ?? 8 * minuteMs),
    counting: "bun",
    command: [...command, ...wanted.map((path) => `./${path}`)],
  };
}

/** Tests that drive other people's programs: a file that fails is run once more, alone. */
function withPeers(shape: Shape, folder: string): Stage {
  const stage = bunTest(shape, folder);
  const names = existsSync(join(root, folder)) ? readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }) : [];
  const files = names.filter((name) => name.endsWith(".test.ts")).map((name) => join(folder, name));
  return { ...stage, alone: stage.command.slice(0, -1), files };
}

function allStages(): Stage[] {
  const needsRoot = rootless === undefined ? {} : { maySkipAll: rootless };
  return [
    check("generated", "bun", "scripts/generate.ts", "--check"),
    check("format", "oxfmt", "--check"),
    check("types", "tsc", "-p", "."),
    check("lint", "oxlint"),
    check("unused", "knip"),
    bunTest({ name: "house", suite: "fast" }, "test/house/"),
    bunTest({ name: "unit", suite: "fast" }, "src/", "scripts/", "test/contract/", "test/golden.test.ts", "test/config-fuzz.test.ts"),
    check("executor", "sh", "scripts/check-executor.sh"),
    withPeers({ name: "root", suite: "fast", limitMs: 12 * minuteMs, ...needsRoot }, "test/root/"),
    withPeers({ name: "acceptance", suite: "slow", limitMs: 12 * minuteMs, ...needsRoot }, "test/acceptance/"),
    withPeers({ name: "interop", suite: "slow", ...needsRoot }, "test/interop/"),
    {
      name: "stress",
      suite: "slow",
      counting: "last-line",
      command: ["bun", "scripts/stress.ts", "--cycles=100", "--seconds=15"],
      limitMs: 3 * minuteMs,
      ...needsRoot,
    },
    { ...check("fuzz-c", "sh", "executor/fuzz.sh", "60"), suite: "slow" },
  ];
}

/** The stages of the suites in `words`, or those that `--only=` names; all fast ones when nothing is asked for. */
export function selectStages(words: readonly string[]): Stage[] {
  const only = words.filter((word) => word.startsWith("--only=")).flatMap((word) => word.slice("--only=".length).split(","));
  const suites = words.filter((word) => !word.startsWith("--"));
  return allStages().filter((stage) =>
    only.length > 0 ? only.includes(stage.name) : suites.length === 0 ? stage.suite === "fast" : suites.includes(stage.suite),
  );
}
