import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runStage, type Stage } from "./stage.ts";

const lastLine = (script: string): Stage => ({
  name: "sample",
  suite: "fast",
  counting: "last-line",
  command: ["sh", "-c", script],
  limitMs: 20_000,
});

async function runBunTest(text: string): Promise<Awaited<ReturnType<typeof runStage>>> {
  const folder = mkdtempSync(join(tmpdir(), "gantry-stage-"));
  writeFileSync(join(folder, "sample.test.ts"), `import { expect, test } from "bun:test";\n${text}\n`);
  try {
    return await runStage({
      name: "sample",
      suite: "fast",
      counting: "bun",
      command: ["bun", "test", join(folder, "sample.test.ts")],
      limitMs: 20_000,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("runStage() counts the tests of bun by outcome", async () => {
  const { counts } = await runBunTest('test("a", () => {}); test.skip("b", () => {}); test("c", () => { expect(1).toBe(2); });');
  expect(counts).toEqual({ passed: 1, failed: 1, skipped: 1 });
});

test("runStage() fails a test file that does not load", async () => {
  const { counts, output } = await runBunTest('throw new Error("no way in");');
  expect(counts.failed).toBeGreaterThan(0);
  expect(output).toContain("no way in");
});

test("runStage() fails a suite that ran nothing", async () => {
  const { counts, output } = await runStage(lastLine("echo 0 passed, 0 failed"));
  expect(counts.failed).toBe(1);
  expect(output).toContain("ran no tests");
});

test("runStage() fails a suite that skipped everything unless that is right here", async () => {
  const stage = lastLine("echo 0 passed, 0 failed, 4 skipped");
  expect((await runStage(stage)).counts.failed).toBe(1);
  expect(await runStage({ ...stage, maySkipAll: "needs root" })).toMatchObject({
    counts: { failed: 0, skipped: 4 },
    skipReasons: ["needs root"],
  });
});

test("runStage() fails a suite that crashed after its totals", async () => {
  expect((await runStage(lastLine("echo 2 passed, 0 failed; exit 3"))).counts).toEqual({ passed: 2, failed: 1, skipped: 0 });
});

test("runStage() ends a stage that takes too long and calls it failed", async () => {
  const { counts, output } = await runStage({ ...lastLine("echo 1 passed, 0 failed; exec sleep 60"), limitMs: 300 });
  expect(counts.failed).toBe(1);
  expect(output).toContain("ended after 0.3 s");
});

test("runStage() fails when the command does not exist", async () => {
  expect((await runStage({ ...lastLine(""), command: ["/nowhere/tool"] })).counts.failed).toBe(1);
});

test("runStage() does not wait for a process that was left behind with the output open", async () => {
  const { counts, durationMs } = await runStage(lastLine("sleep 30 & echo 1 passed, 0 failed"));
  expect(counts).toEqual({ passed: 1, failed: 0, skipped: 0 });
  expect(durationMs).toBeLessThan(15_000);
});

/** A stage of bun tests in a folder of its own, whose failed files are run again alone. Its tests find the folder in `here`. */
async function runAgain(texts: Readonly<Record<string, string>>): Promise<Awaited<ReturnType<typeof runStage>>> {
  const folder = mkdtempSync(join(tmpdir(), "gantry-stage-"));
  const files = Object.keys(texts).map((name) => join(folder, name));
  const head = `import { beforeAll, expect, test } from "bun:test";\nimport { existsSync, writeFileSync } from "node:fs";\nconst here = "${folder}";`;
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), `${head}\n${text}\n`);
  try {
    const alone = ["bun", "test"];
    const command = [...alone, ...files];
    return await runStage({ name: "sample", suite: "slow", counting: "bun", command, limitMs: 60_000, alone, files });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const steady = 'test("steady", () => {});';
/** Fails the first time. */
const unsteady =
  'const flag = here + "/flag"; test("unsteady", () => { const second = existsSync(flag); writeFileSync(flag, ""); expect(second).toBe(true); });';

test("runStage() counts a file that passes when it is run alone as passed, and tells it", async () => {
  const { counts, unsteady: told } = await runAgain({ "a.test.ts": `${steady}\n${unsteady}`, "b.test.ts": steady });
  expect(counts).toEqual({ passed: 3, failed: 0, skipped: 0 });
  expect(told).toHaveLength(1);
  expect(told[0]).toMatch(/\/a\.test\.ts \(passed when run alone; first failure: unsteady: expect\(received\)/);
});

test("runStage() takes a hook that failed once for what it is", async () => {
  const text = `const flag = here + "/flag"; beforeAll(() => { const second = existsSync(flag); writeFileSync(flag, ""); if (!second) throw new Error("no daemon"); }); ${steady} test("other", () => {});`;
  const { counts, unsteady: told } = await runAgain({ "a.test.ts": text });
  expect([counts, told.length]).toEqual([{ passed: 2, failed: 0, skipped: 0 }, 1]);
});

test("runStage() fails what fails twice", async () => {
  const {
    counts,
    unsteady: told,
    output,
  } = await runAgain({ "a.test.ts": 'test("bad", () => expect(1).toBe(2));', "b.test.ts": unsteady });
  expect(counts).toEqual({ passed: 1, failed: 1, skipped: 0 });
  expect(told).toHaveLength(1);
  expect(output).toContain("a.test.ts failed alone, too");
});

test.each([
  ["does not load", 'import { nothing } from "./missing.ts"; test("x", () => nothing());'],
  ["throws beside its tests", `${steady}\nthrow new Error("no way on");`],
  ["is no program", "test("],
])("runStage() runs nothing again when a file %s", async (_, text) => {
  const { counts, unsteady: told } = await runAgain({ "a.test.ts": unsteady, "b.test.ts": text });
  expect([counts.failed > 0, told]).toEqual([true, []]);
});

test("runStage() runs nothing again when the stage crashed", async () => {
  const { counts, unsteady: told } = await runAgain({
    "a.test.ts": `${unsteady}\ntest("end", () => process.kill(process.pid, "SIGSEGV"));`,
  });
  expect([counts.failed > 0, told]).toEqual([true, []]);
});

test("runStage() does not take a file for passed that skips alone what it ran before", async () => {
  const text = `const flag = here + "/flag"; const second = existsSync(flag); writeFileSync(flag, ""); test.skipIf(second)("x", () => expect(1).toBe(2)); ${steady}`;
  expect((await runAgain({ "a.test.ts": text })).counts.failed).toBe(1);
});

test("runStage() ends what a stage that takes too long has started", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-stage-"));
  const pid = join(folder, "pid");
  await runStage({ ...lastLine(`sleep 100 & echo $! >${pid}; wait`), limitMs: 500 });
  const isThere = (): boolean => existsSync(`/proc/${readFileSync(pid, "utf8").trim()}/exe`);
  for (let tries = 0; tries < 500 && isThere(); tries++) await Bun.sleep(10);
  expect(isThere()).toBe(false);
  rmSync(folder, { recursive: true });
});
