/** What the documents list is what the code has. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { filesBelow, root, textOf } from "./tree.ts";

/** The strings of the union `name` in `text`. */
function unionOf(text: string, name: string): string[] {
  const body = new RegExp(`type ${name} =([^;]*);`).exec(text)?.[1] ?? "";
  return [...body.matchAll(/"([^"]+)"/g)].map(([, member = ""]) => member).toSorted();
}

/** The names in the first column of the tables of a document: "| `name` | ...". */
function tabledNames(text: string): string[] {
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name = ""]) => name).toSorted();
}

test("docs/errors.md explains every error code, and no other", () => {
  const codes = unionOf(textOf("src/base/errors.ts"), "ErrorCode");
  expect(codes.length).toBeGreaterThan(5);
  expect(tabledNames(textOf("docs/errors.md"))).toEqual(codes);
});

test("docs/spec-conformance.md lists every difference of a peer that the cases of behaviour know, and no other", () => {
  const pattern = /peer: "(\w+)",(?:\s*until: "([\d.]+)",)?(?:\s*isRace: true,)?\s*why:\s*"([^"]*)"/g;
  const known = filesBelow("test/root/behaviour", [".ts"]).flatMap((file) =>
    [...textOf(file).matchAll(pattern)].map(([, peer, until, why]) => `| ${peer} | ${until ?? "no version"} | ${why} |`),
  );
  const listed = [...textOf("docs/spec-conformance.md").matchAll(/^\| (?:runc|crun) \| .*\|$/gm)].map(([line]) => line);
  expect(known.length).toBeGreaterThan(5);
  expect(listed).toEqual([...new Set(known)].toSorted());
});

test("links between documents lead to files that exist", () => {
  const broken = filesBelow(".", [".md"]).flatMap((document) =>
    [...textOf(document).matchAll(/\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !existsSync(join(root, dirname(document), target)))
      .map((target) => `${document} links to ${target}`),
  );
  expect(broken).toEqual([]);
});

test("ARCHITECTURE.md can be read in one sitting", () => {
  expect(textOf("ARCHITECTURE.md").split("\n").length).toBeLessThanOrEqual(301);
});

test("the scripts that documents name exist", () => {
  const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Record<string, string> };
  const named = filesBelow(".", [".md"]).flatMap((document) =>
    [...textOf(document).matchAll(/npm run ([a-z][a-z:-]*)/g)].map(([, script = ""]) => script),
  );
  expect(named.filter((script) => !(script in scripts))).toEqual([]);
});

test("the executables print the version of package.json", () => {
  const { version } = JSON.parse(textOf("package.json")) as { version: string };
  expect(textOf("src/bin/main.ts")).toContain(`const version = "${version}";`);
});

test("the tests that docs/spec-conformance.md names are there", () => {
  const [, section = ""] = textOf("docs/spec-conformance.md").split("## The image specification");
  const [body = ""] = section.split("\n## ");
  const rows = [...body.matchAll(/^\| [A-Z][0-9, A-Z]* \| .* \| (.*) \| `([^`]+)` \|$/gm)];
  expect(rows.length).toBeGreaterThan(50);
  const missing = rows.filter(([, name = "", file = ""]) => !existsSync(join(root, file)) || !textOf(file).includes(name));
  expect(missing.map(([row]) => row)).toEqual([]);
});
