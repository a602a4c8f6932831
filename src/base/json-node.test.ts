import { expect, test } from "bun:test";
import { CodedError } from "./errors.ts";
import { parseJsonNode, readStringRecord, readStrings } from "./json-node.ts";

const node = (value: unknown) => parseJsonNode(Buffer.from(JSON.stringify(value)), "manifest m", { maxBytes: 1 << 20 });

test("errors name the document, the place and the value", () => {
  const layers = node({ layers: [{}, { size: "12" }] })
    .get("layers")
    .items();
  expect(() => layers[1]?.get("size").size()).toThrow('cannot read manifest m: /layers/1/size: it is "12", not a non-negative integer');
  expect(() => layers[0]?.get("size").size()).toThrow("cannot read manifest m: /layers/0/size: it is missing");
  expect(() => node([]).get("x")).toThrow("cannot read manifest m: it is an array, not an object");
  expect(() => node({ "a/b~": 1 }).get("a/b~").string()).toThrow("/a~1b~0: it is 1, not a string");
});

test("errors carry the pointer for programs", () => {
  try {
    node({ a: { b: 1 } })
      .get("a")
      .get("b")
      .string();
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(CodedError);
    expect((error as CodedError).details["pointer"]).toBe("/a/b");
  }
});

test("a long value is cut in the error", () => {
  expect(() =>
    node({ a: "x".repeat(1000) })
      .get("a")
      .size(),
  ).toThrow(/it is "x{59}…, not/);
});

test("null is absent where a field is optional, and wrong where it is not", () => {
  expect(node({ a: null }).get("a").optional(readStrings)).toBeUndefined();
  expect(node({}).get("a").optional(readStrings)).toBeUndefined();
  expect(() => readStrings(node({ a: [null] }).get("a"))).toThrow("/a/0: it is null, not a string");
});

test("inherited names are not fields", () => {
  expect(node({}).get("constructor").value).toBeUndefined();
  expect(node({}).get("__proto__").value).toBeUndefined();
});

test("numbers that are not exact are refused", () => {
  for (const text of ["-1", "1.5", "9007199254740993", "1e300", "1e999"]) {
    const place = parseJsonNode(Buffer.from(`{"size":${text}}`), "d", { maxBytes: 100 }).get("size");
    expect(() => place.size()).toThrow("not a non-negative integer");
  }
  expect(node({ n: -3 }).get("n").integer()).toBe(-3);
});

test("NUL in a string is refused", () => {
  expect(() => node({ a: "x\0y" }).get("a").string()).toThrow("/a: it holds a NUL character");
});

test("records keep every name", () => {
  const parsed = parseJsonNode(Buffer.from('{"labels":{"__proto__":"x","b":""}}'), "d", { maxBytes: 100 });
  expect(Object.entries(readStringRecord(parsed.get("labels")))).toEqual([
    ["__proto__", "x"],
    ["b", ""],
  ]);
});
