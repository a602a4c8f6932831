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
  const pattern = /peer: "(\w+)",(?:\s*since: "([\d.]+)",)?(?:\s*until: "([\d.]+)",)?(?:\s*isRace: true,)?\s*why:\s*"([^"]*)"/g;
  const known = filesBelow("test/root/behaviour", [".ts"]).flatMap((file) =>
    [...textOf(file).matchAll(pattern)].map(
      ([, peer, since, until, why]) => `| ${peer} | ${since ?? "always"} | ${until ?? "now"} | ${why} |`,
    ),
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

test("files that documents name in code exist", () => {
  const missing = filesBelow(".", [".md"]).flatMap((document) =>
    [...textOf(document).matchAll(/`((?:src|executor|test|scripts|bench|docs)\/[\w./-]+)`/g)]
      .map(([, file = ""]) => file)
      .filter((file) => !existsSync(join(root, file)))
      .map((file) => `${document} names ${file}`),
  );
  expect(missing).toEqual([]);
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

/** The ids of our checklists of the specifications: how many there are of each letter. */
const checklists = {
  distribution: { N: 2, P: 7, U: 9, T: 1, R: 2, X: 1, K: 1, E: 2, Y: 1, A: 7 },
  image: { D: 10, T: 4, M: 10, I: 6, L: 7, C: 10, R: 13, W: 6, V: 5, A: 2, J: 3 },
} as const;

/** The rows "| ids | what | shown by the test | in |" of one of the tables. */
function rowsOf(document: string, table: string): { ids: string[]; name: string; file: string }[] {
  const [, body = ""] = new RegExp(`<!-- ${table}: begin -->([^]*?)<!-- ${table}: end -->`).exec(document) ?? [];
  return body
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| ids |") && !line.startsWith("| --- "))
    .map((line) => {
      const [, ids = "", name = "", file = ""] = /^\| ([^|]*) \| [^|]* \| (.*) \| `([^`]+)` \|$/.exec(line) ?? [];
      return { ids: ids.split(", "), name: name.replaceAll("\\|", "|"), file };
    });
}

/** What is wrong with the table: ids without a row, rows whose test is not there or does not cite their ids. */
function faultsOfTable(document: string, table: keyof typeof checklists, read: (file: string) => string | undefined): string[] {
  const rows = rowsOf(document, table);
  const known = Object.entries(checklists[table]).flatMap(([letter, count]) =>
    Array.from({ length: count }, (_, index) => `${letter}${index + 1}`),
  );
  const faults = known.filter((id) => !rows.some(({ ids }) => ids.includes(id))).map((id) => `${id} has no row`);
  for (const { ids, name, file } of rows) {
    faults.push(...ids.filter((id) => !known.includes(id)).map((id) => `${JSON.stringify(id)} is none of the checklist`));
    const text = read(file);
    const isTitle = (line: string): boolean => line.includes(name) && !/^\s*(?:\*|\/\/|\/\*)/.test(line);
    const isCited = text
      ?.split("\n")
      .some((line) => name !== "" && isTitle(line) && ids.every((id) => new RegExp(`\\b${id}\\b`).test(line)));
    if (text === undefined) faults.push(`${file} is not there (${ids.join(", ")})`);
    else if (isCited !== true) faults.push(`${file} has no test "${ids.join(" ")} … ${name}"`);
  }
  return faults;
}

const textIfThere = (file: string): string | undefined => (file !== "" && existsSync(join(root, file)) ? textOf(file) : undefined);

test.each(["distribution", "image"] as const)("every id of the %s checklist has a row whose test is there and cites it", (table) => {
  const document = textOf("docs/spec-conformance.md");
  expect(rowsOf(document, table).length).toBeGreaterThan(50);
  expect(faultsOfTable(document, table, textIfThere)).toEqual([]);
});

test("a row that is missing, and one whose test is gone or cites another id, are found", () => {
  const document = "<!-- distribution: begin -->\n| N1 | x | a name | `f` |\n| N2 | x | a name | `g` |\n<!-- distribution: end -->";
  const faults = faultsOfTable(document, "distribution", (file) => (file === "f" ? 'test("N2 a name", …' : undefined));
  expect(faults).toContain("P1 has no row");
  expect(faults).toContain('f has no test "N1 … a name"');
  expect(faults).toContain("g is not there (N2)");
});

test("each published weakness of image tools that docs/security.md lists is named by a test", () => {
  const [, table = ""] = /<!-- image weaknesses: begin -->([^]*?)<!-- image weaknesses: end -->/.exec(textOf("docs/security.md")) ?? [];
  const listed = [...table.matchAll(/(?:CVE-[0-9]{4}-[0-9]+|GHSA-[a-z0-9-]+)/g)].map(([number]) => number);
  const tests = [...filesBelow("test/support/images/hostile", [".ts"]), ...filesBelow("src/image/registry", [".test.ts"])].map((file) =>
    textOf(file),
  );
  expect(listed.length).toBeGreaterThan(40);
  expect(listed.filter((number) => !tests.some((text) => new RegExp(`${number}\\b`).test(text)))).toEqual([]);
});
