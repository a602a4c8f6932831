import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { complete, completionScript, type CompletedProgram } from "./completion.ts";

const program: CompletedProgram = {
  commands: [
    {
      name: "run",
      summary: "",
      operands: "IMAGE",
      minOperands: 1,
      maxOperands: 1,
      completes: "images",
      options: [{ name: "format", value: "KIND", choices: ["json", "table"], help: "" }],
    },
  ],
  globalOptions: [],
  sources: { images: () => Promise.resolve(["app:1", "app:2", "other:1"]), containers: () => Promise.resolve([]) },
};

test("values are completed behind a space and behind an equals sign", async () => {
  expect(await complete(["run", "--format", "j"], program)).toEqual(["json"]);
  expect(await complete(["run", "--format=j"], program)).toEqual(["--format=json"]);
  expect(await complete(["run", "app:"], program)).toEqual(["app:1", "app:2"]);
});

/** What bash would offer at the end of `line`, whose words it sees as `words`, when the program answers `candidates`. */
function offered(line: string, words: readonly string[], candidates: readonly string[]): { asked: string; offers: string[] } {
  const script = `
    program() { printf '%s|' "\${@:2}" >&2; printf '%s\\n' ${candidates.join(" ")}; }
    ${completionScript("bash", "gantry").replace("2>/dev/null", "")}
    COMP_LINE="$1" COMP_POINT=\${#1} COMP_WORDS=(program "\${@:2}")
    _gantry
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["-c", script, "bash", line, ...words], { encoding: "utf8" });
  return { asked: stderr, offers: stdout.trimEnd().split("\n") };
}

test("bash gets only what is behind the colon or equals sign, at which it ends words", () => {
  expect(offered("gantry run app:", ["run", "app", ":", ""], ["app:1", "app:2"])).toEqual({ asked: "run|app:|", offers: ["1", "2"] });
  expect(offered("gantry run --format=j", ["run", "--format", "=", "j"], ["--format=json"])).toEqual({
    asked: "run|--format=j|",
    offers: ["json"],
  });
  expect(offered("gantry run ", ["run", ""], ["app:1"])).toEqual({ asked: "run||", offers: ["app:1"] });
});
