import { expect, test } from "bun:test";
import { list, object, oneOf, record, text, uint32, uint64 } from "./shape.ts";

const shape = object({ name: text }, { size: uint32, tags: list(text), map: record(uint32), kind: oneOf("a", "b") });

test("a shape keeps what it knows and drops what it does not", () => {
  expect(shape({ name: "x", size: 3, other: 1, kind: "b" }, "")).toEqual({ name: "x", size: 3, kind: "b" });
});

test("null counts as absent", () => {
  expect(shape({ name: "x", size: null, tags: null }, "")).toEqual({ name: "x" });
  expect(() => shape({ name: null }, "")).toThrow("cannot use the document: name is missing");
});

test("errors name the JSON Pointer, what is there and what is wanted", () => {
  expect(() => shape({ name: "x", tags: ["a", 1] }, "")).toThrow("cannot use /tags/1: it is 1, not a string");
  expect(() => shape({ name: "x", map: { "a/b~": -1 } }, "")).toThrow("cannot use /map/a~1b~0: -1 is not from 0 to 4294967295");
  expect(() => shape({ name: "x", kind: "c" }, "")).toThrow('cannot use /kind: it is "c", not one of a, b');
  expect(() => shape([], "/deep")).toThrow("cannot use /deep: it is an array, not an object");
  expect(() => shape({ name: "a\0b" }, "")).toThrow("cannot use /name: it contains a NUL character");
});

test("an entry called __proto__ is an entry like any other", () => {
  const parsed = record(text)(JSON.parse('{"__proto__": "x"}'), "");
  expect(Object.keys(parsed)).toEqual(["__proto__"]);
});

test("uint64 takes 2^64-1, which JSON reads as 2^64", () => {
  expect(uint64(JSON.parse("18446744073709551615"), "")).toBe(2 ** 64);
  expect(() => uint64(1.5, "/x")).toThrow("cannot use /x: it is 1.5, not an integer");
});
