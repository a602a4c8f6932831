/** Regenerates everything that is made from the op table and the commands. `--check` writes nothing and fails when a file differs. */
import { readFileSync, writeFileSync } from "node:fs";
import { globalOptions } from "../src/cli/oci/global-options.ts";
import { loadCommands } from "../src/cli/oci/registry.ts";
import { formatVersion } from "../src/program/format-version.ts";
import { opTable } from "../src/program/table.ts";
import { generateC } from "./generate/c.ts";
import { generateDocument } from "./generate/document.ts";
import { generateRuntimeCli } from "./generate/runtime-cli.ts";
import { generateTypeScript } from "./generate/typescript.ts";

const root = new URL("..", import.meta.url).pathname;
const outputs: Record<string, string> = {
  "src/program/ops.gen.ts": generateTypeScript(opTable),
  "executor/ops.gen.h": generateC(opTable, formatVersion),
  "docs/program-format.md": generateDocument(opTable, formatVersion),
  "docs/runtime-cli.md": generateRuntimeCli(await loadCommands(), globalOptions),
};

const check = process.argv.includes("--check");
for (const [path, text] of Object.entries(outputs)) {
  if (!check) {
    writeFileSync(root + path, text);
  } else if (readFileSync(root + path, "utf8") !== text) {
    console.error(`${path} is out of date: run "npm run generate"`);
    process.exitCode = 1;
  }
}
