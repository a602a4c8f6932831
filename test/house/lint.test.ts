/** Each lint rule that we count on finds a planted fault: a gate that cannot fail is worse than none. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "./tree.ts";

const lines = (count: number, line: string): string => `${line}\n`.repeat(count);

/** Rule, file and a fault in it. */
const faults: ReadonlyArray<readonly [rule: string, file: string, text: string]> = [
  ["typescript(no-floating-promises)", "src/base/a1.ts", "export function f(p: Promise<void>): void {\n  p;\n}\n"],
  ["typescript(no-misused-promises)", "src/base/a2.ts", "export function f(p: Promise<boolean>): number {\n  return p ? 1 : 2;\n}\n"],
  ["typescript(await-thenable)", "src/base/a3.ts", "export async function f(n: number): Promise<number> {\n  return await n;\n}\n"],
  [
    "typescript(switch-exhaustiveness-check)",
    "src/base/a4.ts",
    'export function f(k: "a" | "b"): number {\n  switch (k) {\n    case "a":\n      return 1;\n  }\n  return 2;\n}\n',
  ],
  ["typescript(only-throw-error)", "src/base/a5.ts", 'export function f(): never {\n  throw "text";\n}\n'],
  ["typescript(no-unsafe-member-access)", "src/base/a6.ts", "export const x: unknown = JSON.parse('{}').field;\n"],
  ["typescript(no-unsafe-return)", "src/base/a7.ts", "export function f(): string {\n  return JSON.parse('1');\n}\n"],
  ["typescript(no-explicit-any)", "src/base/a8.ts", "export type X = any;\n"],
  ["typescript(no-non-null-assertion)", "src/base/a9.ts", "export const first = (list: number[]): number => list[0]!;\n"],
  ["typescript(consistent-type-imports)", "src/base/b1.ts", 'import { Stats } from "node:fs";\nexport type S = Stats;\n'],
  ["import(no-cycle)", "src/base/c1.ts", 'import { b } from "#base/c2.ts";\nexport const a = (): number => b();\n'],
  ["import(no-cycle)", "src/base/c2.ts", 'import { a } from "./c1.ts";\nexport const b = (): number => a();\n'],
  ["import(no-default-export)", "src/base/d1.ts", "export default 1;\n"],
  ["oxc(no-barrel-file)", "src/base/d2.ts", 'export * from "./a1.ts";\nexport * from "./a2.ts";\n'],
  ["eslint(max-lines)", "src/base/e1.ts", `export {};\n${lines(401, "void 0;")}`],
  ["eslint(max-lines-per-function)", "src/base/e2.ts", `export function f(): void {\n${lines(60, "  void 0;")}}\n`],
  ["eslint(max-params)", "src/base/e3.ts", "export const f = (a: number, b: number, c: number, d: number): number => a + b + c + d;\n"],
  ["eslint(no-console)", "src/base/e4.ts", 'console.log("x");\nexport {};\n'],
  ["eslint(no-restricted-imports)", "src/base/e5.ts", 'import { Database } from "bun:sqlite";\nexport const x = Database;\n'],
  ["eslint(eqeqeq)", "src/base/e6.ts", "export const same = (a: unknown, b: unknown): boolean => a == b;\n"],
];

let findings: Array<{ code: string; filename: string }> = [];
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gantry-lint-"));
  for (const file of [".oxlintrc.json", "tsconfig.json", "package.json"]) cpSync(join(root, file), join(folder, file));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const innocent = ["src/cli/ok.ts", "scripts/ok.ts"].map((file) => ["", file, 'console.log("x");\nexport const ok = 1;\n'] as const);
  for (const [, file, text] of [...faults, ...innocent]) {
    mkdirSync(join(folder, dirname(file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  const { stdout } = Bun.spawnSync([join(root, "node_modules/.bin/oxlint"), "--format=json"], { cwd: folder });
  findings = (JSON.parse(stdout.toString()) as { diagnostics: typeof findings }).diagnostics;
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test.each(faults)("%s finds the fault in %s", (rule, file) => {
  expect(findings.filter((one) => one.filename === file).map((one) => one.code)).toContain(rule);
});

test("the CLI and scripts may print", () => {
  expect(findings.filter((one) => one.filename.endsWith("/ok.ts"))).toEqual([]);
});
