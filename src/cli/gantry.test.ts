import { expect, test } from "bun:test";
import type { CliContext } from "./context.ts";
import { runGantry } from "./gantry.ts";

async function gantry(...words: string[]): Promise<{ code: number; out: string; err: string; root: string | undefined }> {
  const result = { code: 0, out: "", err: "", root: undefined as string | undefined };
  const listImages = (): Promise<never> =>
    Promise.reject(Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC", syscall: "write" }));
  result.code = await runGantry(words, {
    version: "9",
    output: { write: (text) => void (result.out += text), writeError: (text) => void (result.err += text), interactive: false },
    makeContext: (root) => {
      result.root = root;
      return { engine: () => ({ listImages }) } as unknown as CliContext;
    },
  });
  return result;
}

test("help has a letter where the command has no other use for it", async () => {
  expect(await gantry("-h")).toMatchObject({ code: 0, out: expect.stringContaining("Commands:") as unknown });
  expect((await gantry("images", "-h")).out).toContain("  -h, --help      print help");
  const run = await gantry("run", "--help");
  expect(run.out).toContain("  -h, --hostname NAME");
  expect(run.out).toContain("      --help      print help");
});

test("the version is told by option and by word", async () => {
  for (const words of [["--version"], ["-V"], ["version"]]) expect(await gantry(...words)).toMatchObject({ code: 0, out: "gantry 9\n" });
});

test("an empty root is refused: it would be the current directory", async () => {
  expect(await gantry("--root", "", "images")).toMatchObject({
    code: 2,
    err: expect.stringContaining("option --root is empty") as unknown,
  });
  expect(await gantry("images", "--root=/x")).toMatchObject({ root: "/x" });
});

test("an error of the system is a sentence with what helps", async () => {
  expect(await gantry("images")).toMatchObject({
    code: 1,
    err: "gantry: cannot write: no space left on device (ENOSPC); gantry prune frees what nothing needs\n",
  });
});
