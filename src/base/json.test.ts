import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { encodeJson, findJsonFault, parseJson, parseJsonKeepingDigits, type JsonLimits, type JsonValue } from "./json.ts";

const parse = (text: string | Uint8Array, limits: JsonLimits = { maxBytes: 1 << 20 }) =>
  parseJson(typeof text === "string" ? Buffer.from(text) : text, "manifest x", limits);

test("parseJson() gives what JSON.parse gives", () => {
  expect(parse(' {"a": [1, -2.5e3, true, null, "é\\u00e9\\n"], "b": {}} ')).toEqual({ a: [1, -2500, true, null, "éé\n"], b: {} });
});

test("J1 parseJson() refuses a name that occurs twice, also when one is spelled with escapes", () => {
  expect(() => parse('{"layers":[{"size":1,"size":2}]}')).toThrow(
    'cannot read manifest x: the name "size" occurs twice at character 21 (/layers/0/size)',
  );
  expect(() => parse('{"a":1,"\\u0061":2}')).toThrow('the name "a" occurs twice');
  expect(parse('{"a":{"a":1},"b":{"a":1}}')).toEqual({ a: { a: 1 }, b: { a: 1 } });
});

test("parseJson() refuses documents beyond the limits", () => {
  expect(() => parse("[1]", { maxBytes: 2 })).toThrow("cannot read manifest x: it has 3 bytes, more than 2");
  expect(() => parse(`${"[".repeat(65)}${"]".repeat(65)}`)).toThrow("it is more than 64 levels deep");
  expect(() => parse("[".repeat(1_000_000))).toThrow("it is more than 64 levels deep");
  expect(parse(`${"[".repeat(64)}${"]".repeat(64)}`)).toBeArray();
});

test("parseJson() refuses bytes that are not UTF-8 and a byte order mark", () => {
  expect(() => parse(Uint8Array.of(0x22, 0xff, 0x22))).toThrow("it is not UTF-8");
  expect(() => parse(Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d))).toThrow("a value is malformed at character 0");
});

test("parseJson() says where a text stops being JSON", () => {
  expect(() => parse("")).toThrow("the text ends early at character 0 (top level)");
  expect(() => parse('{"a":[1,}')).toThrow("a value is malformed at character 8 (/a/1)");
  expect(() => parse('{"a" 1}')).toThrow("a colon is missing at character 5 (/a)");
  expect(() => parse('{"a":1]')).toThrow("a comma is missing");
  expect(() => parse('{"a":01}')).toThrow("a comma is missing");
  expect(() => parse("{} x")).toThrow("something follows the document");
  expect(() => parse('"\n"')).toThrow("a string is malformed");
  expect(() => parse('["\\x"]')).toThrow("a string is malformed");
});

test("parseJson() keeps __proto__ as a plain name", () => {
  const value = parse('{"__proto__":{"polluted":true}}') as Record<string, unknown>;
  expect(Object.keys(value)).toEqual(["__proto__"]);
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

test("parseJson() reads strings of megabytes, escapes and all", () => {
  const text = `"${'\\"x'.repeat(1 << 20)}"`;
  expect((parse(text, { maxBytes: 8 << 20 }) as string).length).toBe(2 << 20);
});

test("parseJson() takes exactly what findJsonFault() finds no fault in, however the text is written", () => {
  const layout = fc.constantFrom<string | number | undefined>(undefined, 1, 2, 3, "\t");
  const goText = (text: string): string => text.replaceAll("&", "\\u0026").replaceAll("<", "\\u003c").replaceAll(">", "\\u003e");
  const names = fc.constantFrom("a", "b", "&", "\\", "\\u0026", "1", "__proto__", "<é>");
  const member = fc.tuple(names, fc.oneof(fc.integer(), fc.double({ noNaN: true }), names, fc.constant(null)));
  const twins = fc
    .array(member, { maxLength: 4 })
    .map((members) => `{${members.map((each) => each.map((one) => JSON.stringify(one)).join(":")).join(",")}}`);
  const plain = fc.tuple(fc.jsonValue({ maxDepth: 4 }), layout).map(([value, indent]) => JSON.stringify(value, undefined, indent));
  const texts = fc
    .tuple(fc.oneof(twins, plain), fc.boolean(), fc.constantFrom("", "\n", "\n\n"))
    .map(([text, isGo, end]) => (isGo ? goText(text) : text) + end);
  fc.assert(
    fc.property(texts, (text) => {
      const fault = findJsonFault(text, 3);
      const read = (): JsonValue => parse(text, { maxBytes: 1 << 20, maxDepth: 3 });
      if (fault === undefined) expect(read()).toEqual(JSON.parse(text) as JsonValue);
      else expect(read).toThrow(fault.fact);
    }),
    { numRuns: 5000 },
  );
});

test("findJsonFault() accepts exactly what JSON.parse accepts, duplicate names apart", () => {
  const mutated = fc.tuple(
    fc.json(),
    fc.nat(),
    fc.constantFrom("", ",", ":", '"', "{", "}", "[", "]", "\\", "0", "-", "e", ".", " ", "\n", "t", "\u0001"),
    fc.nat(2),
  );
  fc.assert(
    fc.property(mutated, ([json, position, insert, remove]) => {
      const at = position % (json.length + 1);
      const text = json.slice(0, at) + insert + json.slice(at + remove);
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      const fault = findJsonFault(text, 1000);
      if (fault?.fact.endsWith("occurs twice") !== true) expect(fault === undefined).toBe(isJson);
    }),
    { numRuns: 5000 },
  );
});

test("parseJson() reads what encodeJson() writes", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) =>
      expect(parse(encodeJson(value), { maxBytes: 1 << 24 })).toEqual(JSON.parse(JSON.stringify(value)) as JsonValue),
    ),
  );
});

test("parseJsonKeepingDigits() gives integers that a number cannot hold as their digits, and leaves strings alone", () => {
  const text = '{"a":18446744073709551615,"b":-9223372036854775808,"c":9007199254740991,"d":"x\\"12345678901234567890","e":[1e300,1.5]}';
  expect(parseJsonKeepingDigits(text)).toEqual({
    a: "18446744073709551615",
    b: "-9223372036854775808",
    c: 9007199254740991,
    d: 'x"12345678901234567890',
    e: [1e300, 1.5],
  });
});
