import { expect, test } from "bun:test";
import { parseNumberList } from "./number-list.ts";

test("a list holds numbers and ranges, in any order and more than once", () => {
  expect(parseNumberList("0-3,7", 8)).toEqual([0, 1, 2, 3, 7]);
  expect(parseNumberList("7,1-2,2,1", 8)).toEqual([1, 2, 7]);
  expect(parseNumberList(" 1, 3 ", 8)).toEqual([1, 3]);
});

test("an empty text is the empty list", () => {
  expect(parseNumberList("", 8)).toEqual([]);
});

test("what is no list, or reaches the limit, is refused", () => {
  for (const text of ["a", "1-", "-1", "3-1", "1,,2", "8", "0-8", "1;2", "0x1", "99999999999999999999"]) {
    expect(parseNumberList(text, 8)).toBeUndefined();
  }
});
