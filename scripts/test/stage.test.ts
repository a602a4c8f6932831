import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
