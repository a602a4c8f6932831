import { expect, test } from "bun:test";
import type { Verdict } from "./run-file.ts";
import { formatTable, unexplained, withTable } from "./table.ts";

function verdict(file: string, passed: boolean, attempts = 1): Verdict {
  return { file, passed, points: { ok: 2, failed: passed ? 0 : 1, skipped: 3 }, attempts, reasons: [], left: [], durationMs: 1 };
}

const peer = {
  title: "runc 1",
  isGantry: false,
  verdicts: [verdict("hooks", false), verdict("killsig", true, 2), verdict("state", false)],
};
const ours = { title: "gantry 1", isGantry: true, verdicts: [verdict("hooks", false), verdict("killsig", true), verdict("state", false)] };

test("formatTable() says of each file how each runtime did and why Gantry does not pass", () => {
  const lines = formatTable([ours, peer]).split("\n");
  expect(lines[2]).toMatch(/^\| hooks \| \*\*fail\*\* 2\/1\/3 \| \*\*fail\*\* 2\/1\/3 \| wrong test: /);
  expect(lines[3]).toBe("| killsig | pass 2/0/3 | pass 2/0/3 (attempt 2) |  |");
  expect(lines[4]).toEndWith("| **not explained** |");
  expect(lines[5]).toBe("| **files passed** | 1 of 3 | 1 of 3 |  |");
});

test("unexplained() names what only Gantry has to answer for", () => {
  expect(unexplained([ours, peer])).toEqual(["state"]);
  expect(unexplained([peer])).toEqual([]);
});

test("withTable() replaces what is between the markers only", () => {
  const document = "a\n<!-- validation: begin (npm run test:validation -- --write) -->\nold\n<!-- validation: end -->\nb\n";
  expect(withTable(document, "| new |").replaceAll(/<!--.*?-->/g, "*")).toBe("a\n*\n\n| new |\n\n*\nb\n");
  expect(() => withTable("nothing", "")).toThrow("lacks the lines");
});
