import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expand, normalForm, Normalizer, otherNames, type CallWords } from "./request.ts";

const long = "3f".repeat(32);
const other = "a0".repeat(32);
const uuid = "550e8400-e29b-41d4-a716-446655440000";
const words: CallWords = {
  verb: "create",
  switches: "",
  isTold: false,
  root: "/run/gantry",
  preservedFds: "",
  pidFile: `/run/c/${long}/pid`,
  consoleSocket: "",
  bundle: `/run/c/${long}`,
};

test("two containers that differ in made-up names only have one form", () => {
  const config = (id: string, layer: string, net: string): string =>
    JSON.stringify({
      made: `2026-11-24T09:1${id.length % 7}:22.56915${net.charAt(0)}Z`,
      hostname: id.slice(0, 12),
      root: { path: `/layers/${layer}/merged` },
      net: `/run/netns/cni-${net}`,
      id,
    });
  const pathsOf = (id: string): Partial<CallWords> => ({ pidFile: `/run/c/${id}/pid`, bundle: `/run/c/${id}` });
  const one = normalForm(words, long, config(long, other, uuid));
  const two = normalForm({ ...words, ...pathsOf(other) }, other, config(other, long, uuid.replace("5", "6")));
  expect(one?.names).toEqual([long, long.slice(0, 12), "2026-11-24T09:11:22.569155Z", other, uuid]);
  expect(two?.form).toBe(one?.form);
  expect(expand(one?.form ?? "", one?.names ?? [])).toBe(
    [`${long}create`, "", "", "/run/gantry", "", `/run/c/${long}/pid`, "", `/run/c/${long}`, config(long, other, uuid)].join("\0"),
  );
});

test.each([
  ["a number", '{"limit":"x","n":123456789012}'],
  ["outside of strings", `{"a":${"1".repeat(32)}}`],
  ["digits alone", `{"a":"${"1".repeat(64)}"}`],
  ["longer runs", `{"a":"${long}0"}`],
  ["what an escape ends", `{"a":"\\u${long}"}`],
  ["other UUID-like texts", '{"a":"550e8400-e29b-41d4-a716-4466554400001"}'],
  ["another id's first digits", '{"a":"a0a0a0a0a0a0"}'],
])("%s is no name", (_, config) => {
  expect(normalForm(words, long, config)?.names).toEqual([long, long.slice(0, 12)]);
});

test("equal names are one name, different names are two", () => {
  const two = `["${long}","${other}"]`;
  const same = `["${long}","${long}"]`;
  expect(normalForm(words, "c1", two)?.form).not.toBe(normalForm(words, "c1", same)?.form ?? "");
});

test("what stands for a name cannot be in a request", () => {
  expect(normalForm(words, "c1", '"\u0001"')).toBeUndefined();
});

test("other names differ in every letter and digit and have the same shape", () => {
  const names = ["web_1.Az", "", long, uuid];
  const others = otherNames(names);
  for (const [number, name] of names.entries()) {
    expect(others[number]).toHaveLength(name.length);
    for (let at = 0; at < name.length; at++) if (name[at] !== "-") expect(others[number]?.[at]).not.toBe(name.charAt(at));
  }
  expect(others[3]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-/);
});

const compiler = Bun.which("cc");
const scratch = mkdtempSync(join(tmpdir(), "gantry-normal-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe.skipIf(compiler === null)(`the executor's normal form${compiler === null ? " (skipped: there is no C compiler)" : ""}`, () => {
  const root = join(import.meta.dir, "../../..");
  const program = join(scratch, "normal");

  /** `samples` as the executor sees them: the id, the text, and the form; undefined where it has none. */
  function formsOf(samples: readonly (readonly [id: string, text: string])[]): (string | undefined)[] {
    const input = samples.flatMap(([id, text]) => [sized(id), sized(text)]);
    const { stdout, exitCode, stderr } = Bun.spawnSync([program], { stdin: Buffer.concat(input) });
    if (exitCode !== 0) throw new Error(`exit ${exitCode}: ${stderr.toString()}`);
    const forms: (string | undefined)[] = [];
    for (let at = 0; at < stdout.length;) {
      const size = stdout.readInt32LE(at);
      forms.push(size < 0 ? undefined : stdout.toString("latin1", at + 4, at + 4 + size));
      at += 4 + Math.max(0, size);
    }
    return forms;
  }

  function sized(text: string): Buffer {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(text.length);
    return Buffer.concat([size, Buffer.from(text, "latin1")]);
  }

  test("is ours, byte for byte, for any text", () => {
    const options = ["-std=gnu17", "-g", "-fsanitize=address,undefined", "-DGANTRY_HOSTED", `-I${root}/executor`];
    const sources = [`${root}/test/support/normal-form.c`, `${root}/executor/normal.c`];
    const built = Bun.spawnSync(["cc", ...options, "-o", program, ...sources]);
    expect(built.stderr.toString()).toBe("");
    const digit = fc.constantFrom("0", "1", "5", "9", "a", "b", "e", "f");
    const hex = fc.string({ unit: digit, minLength: 1, maxLength: 70 });
    const sized64 = fc.string({ unit: digit, minLength: 64, maxLength: 64 });
    const piece = fc.oneof(
      hex,
      sized64,
      fc.constantFrom(long, other, uuid, long.slice(0, 12), "c1", '"', "\\", '\\"', "\\u", "\\u00e9", "-", "/", "\u0001", "{", "é", ":"),
      fc.uuid(),
      fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
      fc.constantFrom(
        "2026-11-24T09:11:22.56915221Z",
        "2026-11-24T09:11:22+01:00",
        "2026-11-24T09:11:22.1234567890Z",
        "2026-11-24T",
        "Z",
        ".5",
      ),
    );
    const sample = fc.tuple(fc.oneof(fc.constantFrom("c1", long, uuid, "web-1"), sized64), fc.array(piece, { maxLength: 40 }));
    const samples = fc.sample(sample, 3000).map(([id, pieces]) => [id, pieces.join("")] as const);
    const ours = samples.map(([id, text]) => {
      const normalizer = new Normalizer(id);
      normalizer.text(text, true);
      normalizer.word(text);
      return normalizer.take()?.form;
    });
    expect(formsOf(samples)).toEqual(ours);
    expect(ours.filter((form) => form === undefined).length).toBeLessThan(samples.length);
  });
});
