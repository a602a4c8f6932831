/**
 * Runs a command in a virtual machine: Debian 12 with its own kernel (6.1), systemd, cgroup v2 alone, AppArmor, all capabilities.
 *
 *     bun scripts/guest/run.ts [OPTION…] [-- COMMAND…]      without COMMAND: the root suite
 *
 * The project as it lies here, with dist/, is /project in the guest and the working directory. Whatever the guest writes is thrown away.
 * Exit code: the command's own; 125 when there was no guest to run it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Boot, runCommand, runShell } from "./boot.ts";
import { cacheDirectory, GuestError, requireHost } from "./host.ts";
import { buildProjectDisk, ensureImage } from "./image.ts";

const usage = `usage: bun scripts/guest/run.ts [OPTION...] [-- COMMAND...]
  --install           install what is missing on this machine (Debian packages)
  --with=NAME,NAME    further Debian packages in the guest (another image, kept beside the first)
  --rebuild           build the image anew, with the packages of today
  --shell             a shell in the guest, on this terminal; leaving it powers the guest off
  --limit=SECONDS     the guest is ended after this long (default 3600)
  --memory=SIZE       of the guest (default 2G)`;

/** As on the host, with its counts on the last line; limits follow GANTRY_TEST_SLOWNESS. */
const rootSuite = ["bun", "scripts/test.ts", "--only=root"];

function readWords(): { values: Options; command: string[] } {
  // Options come first, so that `--` is not needed: npx and npm take it away.
  const words = process.argv.slice(2);
  const end = words.findIndex((word) => word === "--" || !word.startsWith("--"));
  const options = end === -1 ? words : words.slice(0, end);
  const command = words.slice(options.length).filter((word, index) => index > 0 || word !== "--");
  try {
    const { values } = parseArgs({
      args: options,
      options: {
        install: { type: "boolean", default: false },
        rebuild: { type: "boolean", default: false },
        shell: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
        with: { type: "string", default: "" },
        limit: { type: "string", default: "3600" },
        memory: { type: "string", default: "2G" },
      },
    });
    if (!/^[1-9]\d*$/.test(values.limit)) throw new Error(`--limit takes seconds, not ${values.limit}`);
    if (!/^[1-9]\d*[MG]$/.test(values.memory)) throw new Error(`--memory takes a size such as 2G, not ${values.memory}`);
    return { values, command };
  } catch (error) {
    throw new GuestError(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
  }
}

interface Options {
  readonly install: boolean;
  readonly rebuild: boolean;
  readonly shell: boolean;
  readonly help: boolean;
  readonly with: string;
  readonly limit: string;
  readonly memory: string;
}

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

function scriptOf(options: Options, command: readonly string[]): string {
  const { columns, rows } = process.stdout;
  const size =
    options.shell && process.stdout.isTTY
      ? `stty cols ${columns} rows ${rows}; export TERM=${quote(process.env["TERM"] ?? "vt100")}; `
      : "";
  const words = command.length > 0 ? command : options.shell ? ["bash"] : rootSuite;
  return `${size}exec ${words.map(quote).join(" ")}`;
}

async function main(): Promise<number> {
  const { values, command } = readWords();
  if (values.help) {
    console.log(usage);
    return 0;
  }
  requireHost(values.install || process.env["CI"] === "true");
  const cache = cacheDirectory();
  const extra = values.with.split(",").filter((name) => name !== "");
  const image = ensureImage(cache, { extra, rebuild: values.rebuild });
  const scratch = mkdtempSync(join(cache, "run-"));
  try {
    const boot: Boot = { image, scratch, project: buildProjectDisk(scratch), script: scriptOf(values, command), memory: values.memory };
    if (!values.shell) return await runCommand(boot, Number(values.limit) * 1000);
    await runShell(boot);
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof GuestError)) throw error;
  console.error(`guest: ${error.message}`);
  process.exitCode = 125;
}
