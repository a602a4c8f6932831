/** Rules about `process`. */
import { isNameOfRlimit } from "../rlimit.ts";
import { problemIf, repeatedIndexes, type Check, type Problem } from "./problem.ts";

export const processChecks: readonly Check[] = [
  {
    name: "process.cwd is an absolute path",
    find: ({ process }) =>
      problemIf(process !== undefined && !process.cwd.startsWith("/"), "/process/cwd", `"${process?.cwd ?? ""}" is no absolute path`),
  },
  {
    name: "process.args has at least one entry",
    find: ({ process }) =>
      problemIf(process !== undefined && (process.args ?? []).length === 0, "/process/args", "at least one entry is needed"),
  },
  {
    name: "process.args starts with a name",
    find: ({ process }) => problemIf(process?.args?.[0] === "", "/process/args/0", "it is empty"),
  },
  {
    name: "process.rlimits are known, complete and not repeated",
    find: ({ process }) => {
      const rlimits = process?.rlimits ?? [];
      const problems: Problem[] = [];
      for (const [index, { type, soft, hard }] of rlimits.entries()) {
        if (!isNameOfRlimit(type)) problems.push({ at: `/process/rlimits/${index}/type`, says: `"${type}" is no resource limit of Linux` });
        if (soft > hard) problems.push({ at: `/process/rlimits/${index}/soft`, says: `${soft} is above the hard limit ${hard}` });
      }
      for (const index of repeatedIndexes(rlimits.map(({ type }) => type))) {
        problems.push({ at: `/process/rlimits/${index}/type`, says: `"${rlimits[index]?.type ?? ""}" is given twice` });
      }
      return problems;
    },
  },
  {
    name: "process.oomScoreAdj is from -1000 to 1000",
    find: ({ process }) => {
      const score = process?.oomScoreAdj ?? 0;
      return problemIf(score < -1000 || score > 1000, "/process/oomScoreAdj", `${score} is not from -1000 to 1000`);
    },
  },
  {
    name: "process.user.umask has permission bits only",
    find: ({ process }) =>
      problemIf((process?.user?.umask ?? 0) > 0o777, "/process/user/umask", "it has more than the nine permission bits"),
  },
];
