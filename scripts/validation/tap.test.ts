import { expect, test } from "bun:test";
import { countPoints, isPass, reasonsIn } from "./tap.ts";

test("countPoints() counts points that passed, failed and were skipped, and nothing between them", () => {
  const text = [
    "TAP version 13",
    "ok 1 - a",
    "not ok 2 - b",
    "  ---",
    '  {"error": "ok 3"}',
    "ok 3 # SKIP no such thing",
    "okay",
    "1..3",
  ].join("\n");
  expect(countPoints(text)).toEqual({ ok: 1, failed: 1, skipped: 1 });
});

test.each([
  [0, "ok 1 - a\n", true],
  [1, "ok 1 - a\n", false],
  [0, "ok 1 - a\nnot ok 2 - b\n", false],
  [0, "", true],
  [0, '  {\n    "error": "exit status 1"\n  }\n', false],
  [0, 'ok 1 - an error was wanted\n    "error": "exit status 1"\n', true],
])("isPass() of exit code %d and %j is %p", (code, text, expected) => {
  expect(isPass(code, countPoints(text), text)).toBe(expected);
});

test("reasonsIn() keeps the first lines that tell why", () => {
  expect(reasonsIn('ok 1 - no error\nnot ok 2 - b\n  "error": "x"\nnot ok 3\n', 2)).toEqual(["not ok 2 - b", '"error": "x"']);
});
