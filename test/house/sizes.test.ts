/** Nothing grows beyond what one person can read. */
import { expect, test } from "bun:test";
import { filesBelow, filesIfAny, textOf } from "./tree.ts";

const fileLimit = 400;
const testFileLimit = 600;
const functionLimit = 60;
const executorLimit = 6600;
const binFileLimit = 80;

function linesOf(text: string): number {
  return text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
}

/** Functions of a C file in the kernel's style (the body's braces stand in column 0), with their lines from signature to brace. */
function functionsOf(text: string): Array<{ name: string; lines: number }> {
  const lines = text.split("\n");
  const found: Array<{ name: string; lines: number }> = [];
  for (const [start, line] of lines.entries()) {
    if (line !== "{") continue;
    let top = start - 1;
    while (top > 0 && !/^[A-Za-z_].*\(/.test(lines[top] ?? "")) top--;
    const end = lines.indexOf("}", start);
    if (end < 0) continue;
    found.push({ name: /([A-Za-z_]\w*)\s*\(/.exec(lines[top] ?? "")?.[1] ?? "?", lines: end - top + 1 });
  }
  return found;
}

const isGenerated = (path: string): boolean => /\.gen\.(ts|h)$/.test(path);

test("files keep below their limits", () => {
  const code = ["src", "scripts", "test", "executor", "bench"].flatMap((folder) => filesIfAny(folder, [".ts", ".mjs", ".c", ".h", ".sh"]));
  const limitOf = (path: string): number =>
    path.startsWith("src/bin/") ? binFileLimit : path.endsWith(".test.ts") ? testFileLimit : fileLimit;
  const long = code.filter((path) => !isGenerated(path)).map((path) => ({ path, lines: linesOf(textOf(path)), limit: limitOf(path) }));
  expect(long.filter((file) => file.lines > file.limit)).toEqual([]);
});

test("functions of the executor keep below their limit", () => {
  const all = filesBelow("executor", [".c"]).flatMap((path) => functionsOf(textOf(path)).map((one) => ({ path, ...one })));
  expect(all.length).toBeGreaterThan(10);
  expect(all.filter((one) => one.lines > functionLimit)).toEqual([]);
});

test("the executor as a whole stays small enough to be read before it is trusted", () => {
  const shipped = filesBelow("executor", [".c", ".h"]).filter((path) => !isGenerated(path) && !/\/(test|fuzz)[/.-]/.test(path));
  // Comments and blank lines are not counted: they are what makes it readable.
  const codeOf = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\n/gm, "");
  const total = shipped.reduce((sum, path) => sum + linesOf(codeOf(textOf(path))), 0);
  expect(total).toBeLessThanOrEqual(executorLimit);
});

test("a long function is found, wherever its signature breaks", () => {
  const body = "\tx();\n".repeat(60);
  expect(functionsOf(`static int run(int a,\n\t       int b)\n{\n${body}}\n\nint main(void)\n{\n\treturn 0;\n}\n`)).toEqual([
    { name: "run", lines: 64 },
    { name: "main", lines: 4 },
  ]);
});
