/** The command line of the built program: help, output for programs, explanations, removal, completion. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { commandNames } from "#cli/registry.ts";
import { installed } from "../support/images/commands.ts";
import { allCgroups, cgroupsSince, execute, gantryPath, hasRunc, makeBundle, runtimePath, unable, Workbench } from "./gantry-harness.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
if (unable !== undefined) console.log(`skipped: ${unable}`);
const bench = unable === undefined ? new Workbench() : (undefined as unknown as Workbench);
const commands = [...commandNames];

/** What `explain --format json` prints, as far as tests read it. */
interface Explained {
  readonly sections: readonly { readonly steps: readonly { readonly op: string; readonly words: string; readonly origin: string }[] }[];
}

/** Every path below `directory` with its size, times and mode: what a command that changes nothing leaves as it is. */
function listing(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => {
      const { size, mtimeMs, mode } = statSync(join(directory, name), { throwIfNoEntry: false }) ?? { size: 0, mtimeMs: 0, mode: 0 };
      return `${name} ${size} ${mtimeMs} ${mode}`;
    })
    .sort();
}

describe.skipIf(unable !== undefined)("gantry", () => {
  beforeAll(() => bench.load());
  afterAll(() => bench.remove());

  test("help of the program and of every command exits with 0 and says how it is used", async () => {
    const all = await bench.gantry("--help");
    expect(all.code).toBe(0);
    const listed = [...all.stdout.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name ?? "");
    expect(listed).toEqual(commands);
    for (const name of commands) {
      const { code, stdout, stderr } = await bench.gantry(name, "--help");
      expect({ name, code, stderr, says: stdout.includes(`Usage: gantry ${name}`) }).toEqual({ name, code: 0, stderr: "", says: true });
    }
    expect((await execute([runtimePath, "--help"])).code).toBe(0);
    expect((await execute([runtimePath, "run", "--help"])).code).toBe(0);
  });

  test("an unknown command is refused with the nearest one", async () => {
    const { code, stderr } = await bench.gantry("imags");
    expect([code === 0, stderr.includes("images")]).toEqual([false, true]);
  });

  test("--format json of every command that has it parses", async () => {
    await bench.gantry("run", "--name", "kept", "tiny", "true");
    const parse = async (...words: string[]): Promise<unknown> => {
      const { code, stdout } = await bench.gantry(...words, "--format", "json");
      expect([words, code]).toEqual([words, 0]);
      return JSON.parse(stdout);
    };
    expect(await parse("images")).toMatchObject([{ name: "tiny:latest", platform: expect.stringContaining("linux/") as unknown }]);
    expect(await parse("ps", "--all")).toMatchObject([{ name: "kept", state: { status: "exited", exitCode: 0 } }]);
    expect(await parse("ps")).toEqual([]);
    expect(await parse("load", bench.layout)).toMatchObject([{ name: "tiny:latest" }]);
    expect(await parse("verify")).toEqual({ clean: true, problems: [] });
    const { code, stdout } = await bench.gantry("explain", "--format", "json", "tiny");
    expect([code, (JSON.parse(stdout) as Explained).sections.length > 1]).toEqual([0, true]);
    await bench.gantry("rm", "kept");
  });

  test("inspect tells of a container and of an image, and of nothing that is not there", async () => {
    await bench.gantry("run", "--name", "seen", "--label", "a=b", "tiny", "sh", "-c", "exit 4");
    expect(await bench.inspect("seen")).toMatchObject({ type: "container", name: "seen", labels: { a: "b" }, state: { exitCode: 4 } });
    expect(await bench.inspect("tiny")).toMatchObject({ type: "image" });
    const missing = await bench.gantry("inspect", "nobody");
    expect([missing.code === 0, missing.stderr.includes("nobody")]).toEqual([false, true]);
    await bench.gantry("rm", "seen");
  });

  test("rmi refuses an image that a container uses, and removes it afterwards", async () => {
    await bench.gantry("run", "--name", "user-of-it", "tiny", "true");
    const refused = await bench.gantry("rmi", "tiny");
    expect([refused.code, refused.stderr.includes("user-of-it")]).toEqual([1, true]);
    expect((await bench.shell("echo still there")).stdout).toBe("still there\n");
    await bench.gantry("rm", "user-of-it");
    expect((await bench.gantry("rmi", "tiny")).code).toBe(0);
    expect([(await bench.gantry("images", "-q")).stdout, readdirSync(join(bench.root, "layers"))]).toEqual(["", []]);
    await bench.load();
  });

  test("completion prints a script for each shell, and candidates", async () => {
    const complete = async (...words: string[]): Promise<string[]> =>
      (await execute([gantryPath, "__complete", ...words], { env: { GANTRY_ROOT: bench.root } })).stdout.split("\n").filter(Boolean);
    for (const shell of ["bash", "zsh", "fish"]) {
      const { code, stdout } = await bench.gantry("completion", shell);
      expect([shell, code, stdout.includes("__complete")]).toEqual([shell, 0, true]);
    }
    expect(await complete("")).toEqual(commands);
    expect(await complete("imag")).toEqual(["images"]);
    expect(await complete("run", "--mem")).toEqual(["--memory"]);
    expect(await complete("run", "--network", "")).toEqual(["none", "host"]);
    await bench.gantry("run", "--name", "candidate", "tiny", "true");
    expect(await complete("rm", "cand")).toEqual(["candidate"]);
    await bench.gantry("rm", "candidate");
  });

  test("completion offers the images of the root that the command line names", async () => {
    const { stdout } = await execute([gantryPath, "__complete", "--root", bench.root, "run", "ti"]);
    expect(stdout).toBe("tiny:latest\n");
  });

  test("bash completes with the script", async () => {
    const { stdout: script } = await bench.gantry("completion", "bash");
    const candidates = async (line: string, words: string): Promise<string> => {
      const call = `COMP_LINE='gantry ${line}' COMP_POINT=${line.length + 7} COMP_WORDS=(${gantryPath} ${words}); _gantry; echo "\${COMPREPLY[@]}"`;
      return (await execute(["bash", "-c", `${script}\n${call}`], { env: { GANTRY_ROOT: bench.root } })).stdout;
    };
    expect(await candidates("run ti", "run ti")).toBe("tiny:latest\n");
    expect(await candidates("run tiny:la", "run tiny : la")).toBe("latest\n");
  });

  describe("explain", () => {
    const options = ["--memory", "32m", "--pids-limit", "9", "--read-only", "-e", "A=b"];

    test("prints the same twice, and changes nothing", async () => {
      await bench.shell("true");
      const [before, cgroups] = [listing(bench.root), allCgroups()];
      const [first, second] = [
        await bench.gantry("explain", ...options, "tiny", "true"),
        await bench.gantry("explain", ...options, "tiny", "true"),
      ];
      expect([first.code, first.stderr, first.stdout === second.stdout]).toEqual([0, "", true]);
      expect(first.stdout.length).toBeGreaterThan(1000);
      expect([listing(bench.root), await cgroupsSince(cgroups)]).toEqual([before, []]);
    });

    test("names for every operation where it comes from", async () => {
      const { stdout } = await bench.gantry("explain", "--format", "json", ...options, "tiny", "true");
      const steps = (JSON.parse(stdout) as Explained).sections.flatMap((section) => section.steps);
      expect(steps.length).toBeGreaterThan(50);
      expect(steps.filter((step) => !/^(\/|default: \S)/.test(step.origin) || step.words === "")).toEqual([]);
      expect(steps.some((step) => step.origin.startsWith("/linux/resources/memory"))).toBe(true);
    });

    test("of an image that is not there fails", async () => {
      const { code, stderr } = await bench.gantry("explain", "no-such-image");
      expect([code === 0, stderr.includes("no-such-image")]).toEqual([false, true]);
    });

    const unableAsUser = hasRunc && installed("setpriv") ? undefined : "runc (for a configuration) or setpriv is not installed";
    if (unableAsUser !== undefined && unable === undefined) console.log(`skipped: explain as another user: ${unableAsUser}`);
    test.skipIf(unableAsUser !== undefined)("of a bundle works for a user without any rights and changes nothing", async () => {
      const bundle = makeBundle(join(bench.directory, "bundle"), () => undefined);
      // The project's directory may be closed to others: the program is shown to them here.
      const program = join(bench.directory, "gantry");
      cpSync(gantryPath, program);
      chmodSync(bench.directory, 0o755);
      const before = listing(bundle);
      const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--inh-caps=-all"];
      const explain = ["explain", bundle];
      const { code, stdout, stderr } = await execute([...asNobody, program, ...explain], { env: { HOME: "/nonexistent" } });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain("/process/args");
      expect(listing(bundle)).toEqual(before);
      expect((await bench.gantry(...explain)).code).toBe(0);
    });
  });
});
