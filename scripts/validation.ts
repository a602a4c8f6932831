/**
 * Runs a built `validation` suite of opencontainers/runtime-tools against runtimes and prints a table.
 *
 *     npm run test:validation -- --suite=DIR [--runtime=PATH[,PATH...]] [--only=FILE[,FILE...]] [--limit=SECONDS] [--write] [--verbose]
 *
 * DIR is a checkout of the suite in which `make runtimetest validation-executables` has been run (Go 1.21 or newer). `--write` puts the
 * table into docs/spec-conformance.md. Ends with 1 when Gantry fails a file that scripts/validation/explanations.ts does not explain.
 */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { runFile, type Suite, type Verdict } from "./validation/run-file.ts";
import { prepareRuntime, type TestedRuntime } from "./validation/runtime.ts";
import { formatTable, unexplained, withTable, type Column } from "./validation/table.ts";

const project = new URL("..", import.meta.url).pathname;
const document = join(project, "docs", "spec-conformance.md");

const { values } = parseArgs({
  options: {
    suite: { type: "string" },
    runtime: { type: "string", default: join(project, "dist", "gantry-runtime") },
    only: { type: "string" },
    limit: { type: "string", default: "90" },
    write: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});

function filesOf(directory: string): string[] {
  if (!existsSync(join(directory, "runtimetest")))
    fail(`${directory} has no built suite: run \`make runtimetest validation-executables\` there`);
  const wanted = values.only?.split(",");
  const files = readdirSync(join(directory, "validation")).filter((name) => existsSync(join(directory, "validation", name, `${name}.t`)));
  const chosen = files.toSorted().filter((name) => wanted === undefined || wanted.includes(name));
  if (chosen.length === 0) fail(`${directory} has no such files`);
  return chosen;
}

function fail(why: string): never {
  console.error(`validation: ${why}`);
  process.exit(2);
}

function report(runtime: TestedRuntime, verdict: Verdict): void {
  const { ok, failed, skipped } = verdict.points;
  const again = verdict.attempts > 1 ? `, attempt ${verdict.attempts}` : "";
  const mark = verdict.passed ? "pass" : "FAIL";
  console.log(
    `${mark} ${runtime.title} ${verdict.file}: ${ok} ok, ${failed} not ok, ${skipped} skipped${again} (${(verdict.durationMs / 1000).toFixed(1)} s)`,
  );
  if (!values.verbose) return;
  for (const reason of verdict.reasons) console.log(`       ${reason}`);
  for (const thing of verdict.left) console.log(`       left behind: ${thing}`);
}

async function runColumn(suite: Suite, runtime: TestedRuntime, files: readonly string[]): Promise<Column> {
  const verdicts: Verdict[] = [];
  // One after the other: some files use cgroups whose names are always the same.
  for (const file of files) {
    const verdict = await runFile(suite, runtime, file);
    report(runtime, verdict);
    verdicts.push(verdict);
  }
  const note = runtime.lowersVersion ? " (ociVersion lowered to 1.0.0)" : "";
  return { title: `${runtime.title}${note}`, isGantry: runtime.isGantry, verdicts };
}

if (process.getuid?.() !== 0) fail("containers are made: run it as root");
if (values.suite === undefined) fail("--suite=DIR is missing: a checkout of opencontainers/runtime-tools with its tests built");
const directory = resolve(values.suite);
const files = filesOf(directory);
const scratch = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "gantry-validation-"));
// Root of a user namespace is nobody's owner here, and peers reach the bundle as that.
chmodSync(scratch, 0o755);
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));
const suite: Suite = { directory, limitMs: Number(values.limit) * 1000, scratch };
const columns: Column[] = [];
for (const [index, path] of values.runtime.split(",").entries())
  columns.push(await runColumn(suite, prepareRuntime(resolve(path), join(scratch, `runtime-${index}`)), files));

const table = formatTable(columns);
console.log(`\n${table}\n`);
if (values.write) writeFileSync(document, withTable(readFileSync(document, "utf8"), table));
const faults = unexplained(columns);
if (faults.length > 0) console.log(`Gantry fails without an explanation: ${faults.join(", ")}`);
process.exit(faults.length > 0 ? 1 : 0);
