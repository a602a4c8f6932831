/** The rules of config.json: a list of named checks, and the function that runs it. */
import { CodedError } from "#base/errors.ts";
import type { RuntimeConfig } from "../runtime-config.ts";
import { hostPartChecks } from "./host-parts.ts";
import { identifierChecks } from "./identity.ts";
import { linuxChecks } from "./linux.ts";
import { mountChecks } from "./mounts.ts";
import type { Check, Problem } from "./problem.ts";
import { processChecks } from "./process.ts";
import { resourceChecks } from "./resources.ts";
import { schedulingChecks } from "./scheduling.ts";
import { seccompChecks } from "./seccomp.ts";

/** Every rule, in the order in which problems are reported. */
export const configChecks: readonly Check[] = [
  ...identifierChecks,
  ...mountChecks,
  ...processChecks,
  ...schedulingChecks,
  ...linuxChecks,
  ...hostPartChecks,
  ...resourceChecks,
  ...seccompChecks,
];

/** Everything that is wrong with `config`; empty when it may be compiled. */
export function findConfigProblems(config: RuntimeConfig): Problem[] {
  return configChecks.flatMap((check) => check.find(config));
}

/** Refuses a config that breaks a rule. @throws CodedError `invalid-spec` with the first problem and the number of others. */
export function requireValidConfig(config: RuntimeConfig): void {
  const problems = findConfigProblems(config);
  const [first] = problems;
  if (first === undefined) return;
  const others = problems.length - 1;
  const more = others === 0 ? "" : ` (and ${others} more problem${others === 1 ? "" : "s"})`;
  throw new CodedError("invalid-spec", `cannot use ${first.at}: ${first.says}${more}`, {
    details: { pointer: first.at, problems: problems.length },
  });
}
