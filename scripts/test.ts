/**
 * Runs the test suites: one line per stage with its time, the full output only of what failed, the totals as the last line.
 *
 *     bun scripts/test.ts [fast] [slow] [--only=STAGE,STAGE]
 */
import { loadavg } from "node:os";
import { runStage, type Stage, type StageResult } from "./test/stage.ts";
import { selectStages } from "./test/stages.ts";

function describe(stage: Stage, result: StageResult): string {
  const { passed, failed, skipped } = result.counts;
  const counts = [`${passed} passed`, ...(failed > 0 ? [`${failed} failed`] : []), ...(skipped > 0 ? [`${skipped} skipped`] : [])];
  return `${failed > 0 ? "FAIL" : "ok  "} ${stage.name.padEnd(12)} ${(result.durationMs / 1000).toFixed(1).padStart(6)} s  ${counts.join(", ")}`;
}

async function runAll(stages: readonly Stage[]): Promise<StageResult[]> {
  const results: StageResult[] = [];
  for (const stage of stages) {
    const result = await runStage(stage);
    console.log(describe(stage, result));
    if (result.counts.failed > 0) console.log(`${result.output.trimEnd()}\n`);
    for (const line of result.unsteady) console.log(`       unsteady: ${line}`);
    for (const reason of result.skipReasons) console.log(`       skipped: ${reason}`);
    results.push(result);
  }
  return results;
}

const words = process.argv.slice(2);
const stages = selectStages(words);
if (stages.length === 0) {
  console.error(`test: no stage is called so: ${words.join(" ")}`);
  process.exit(2);
}
if ((loadavg()[0] ?? 0) > 8) console.log("note: this machine is busy, times say little");
const results = await runAll(stages);
const total = (kind: "passed" | "failed" | "skipped"): number => results.reduce((sum, result) => sum + result.counts[kind], 0);
const skipped = total("skipped");
for (const line of results.flatMap(({ unsteady }) => unsteady)) console.log(`unsteady: ${line}`);
console.log(`${total("passed")} passed, ${total("failed")} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
// Not by exitCode: a process that a stage left behind may hold a pipe of ours open, and would be waited for.
process.exit(total("failed") > 0 ? 1 : 0);
