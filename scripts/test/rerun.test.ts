import { expect, test } from "bun:test";
import { readJunitFiles } from "./counts.ts";
import { type EndedTests, filesToRunAgain, holdsAlone } from "./rerun.ts";

const file = (name: string, failed: number): string =>
  `  <testsuite name="${name}" file="${name}" tests="2" assertions="0" failures="${failed}" skipped="0" time="1">
    <testsuite name="group" file="${name}" tests="1" failures="${failed}" skipped="0">
      <testcase name="one &amp; &quot;two&quot;">${failed > 0 ? '<failure type="Error" message="a &lt; b&#10;more" />' : ""}</testcase>
    </testsuite>
    <testcase name="(unnamed)" />
  </testsuite>`;

function ended(failures: readonly number[], change: Partial<EndedTests> = {}): EndedTests {
  const files = readJunitFiles(`<testsuites>\n${failures.map((failed, index) => file(`f${index}`, failed)).join("\n")}\n</testsuites>`);
  const failed = failures.reduce((sum, count) => sum + count, 0);
  const counts = { passed: 2 * failures.length - failed, failed, skipped: 0 };
  return { exitCode: failed > 0 ? 1 : 0, timedOut: false, output: "", counts, files, ...change };
}

const again = (first: EndedTests, expected = first.files.map((one) => one.file)): string[] =>
  filesToRunAgain(first, expected).map((one) => one.file);

test("readJunitFiles() reads the files with their own counts, tests without hooks, and what failed first", () => {
  expect(ended([1, 0]).files).toEqual([
    { file: "f0", counts: { passed: 1, failed: 1, skipped: 0 }, tests: 1, firstFailure: 'one & "two": a < b' },
    { file: "f1", counts: { passed: 2, failed: 0, skipped: 0 }, tests: 1, firstFailure: "" },
  ]);
  expect(readJunitFiles("")).toEqual([]);
});

test("filesToRunAgain() names the files with failing tests", () => {
  expect(again(ended([1, 0, 2]))).toEqual(["f0", "f2"]);
});

test("filesToRunAgain() is empty when more than tests failed, and when too much did", () => {
  expect(again(ended([1], { timedOut: true }))).toEqual([]);
  for (const exitCode of [0, 2, 132, 137, 139]) expect(again(ended([1], { exitCode }))).toEqual([]);
  expect(again(ended([1], { output: "x\n# Unhandled error between tests\n" }))).toEqual([]);
  expect(again(ended([1], { output: " 1 pass\n 1 fail\n 1 error\n" }))).toEqual([]);
  expect(again(ended([1]), ["f0", "not-loaded"])).toEqual([]);
  expect(again(ended([1]), [])).toEqual([]);
  expect(again(ended([1], { counts: { passed: 0, failed: 3, skipped: 0 } }))).toEqual([]);
  expect(again(ended([1, 1, 1, 1, 1]))).toEqual([]);
});

test("holdsAlone() wants every test of the file to have passed", () => {
  const [before] = ended([1]).files;
  if (before === undefined) throw new Error("no file");
  expect(holdsAlone(before, ended([0]))).toBe(true);
  expect(holdsAlone(before, ended([1]))).toBe(false);
  expect(holdsAlone(before, ended([0], { exitCode: 1 }))).toBe(false);
  expect(holdsAlone(before, ended([0], { counts: { passed: 0, failed: 0, skipped: 0 } }))).toBe(false);
  expect(holdsAlone(before, ended([0], { counts: { passed: 1, failed: 0, skipped: 1 } }))).toBe(false);
});
