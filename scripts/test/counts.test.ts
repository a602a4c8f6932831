import { expect, test } from "bun:test";
import { countJunit, countLastLine } from "./counts.ts";

test("countJunit() reads the totals of the outermost element and no inner one", () => {
  const xml =
    '<?xml version="1.0"?>\n<testsuites name="bun test" tests="7" assertions="9" failures="2" skipped="1" time="0.1">\n<testsuite tests="3" failures="0" skipped="0">';
  expect(countJunit(xml)).toEqual({ passed: 4, failed: 2, skipped: 1 });
});

test("countJunit() counts nothing when the report is missing, so that the stage fails", () => {
  expect(countJunit("")).toEqual({ passed: 0, failed: 0, skipped: 0 });
});

test("countLastLine() takes the last totals and ignores lines that only look like them", () => {
  expect(countLastLine("1 passed, 1 failed\nsaid: 9 passed, 9 failed\n3 passed, 0 failed, 2 skipped\n")).toEqual({
    passed: 3,
    failed: 0,
    skipped: 2,
  });
  expect(countLastLine("all fine\n")).toEqual({ passed: 0, failed: 0, skipped: 0 });
});
