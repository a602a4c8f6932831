import { expect, test } from "bun:test";
import { byteStringFromText, displayByteString } from "./byte-string.ts";
import { printableJson, replaceControls } from "./control-characters.ts";

const hostile = "a\x1b[2J\u009b2J\u202eb\n\u2067c";

test("control characters of all kinds are shown", () => {
  expect(replaceControls(hostile)).toBe(String.raw`a\x1b[2J\x9b2J\u202eb\x0a\u2067c`);
  expect(replaceControls("Grüße, 世界 – “ok”")).toBe("Grüße, 世界 – “ok”");
});

test("names of files show them, too, also those that are UTF-8", () => {
  expect(displayByteString(byteStringFromText(hostile))).toBe(String.raw`a\x1b[2J\x9b2J\u202eb\x0a\u2067c`);
});

test("JSON stays what it says and brings none of them", () => {
  const json = printableJson(JSON.stringify({ [hostile]: hostile }, null, 2));
  expect(JSON.parse(json)).toEqual({ [hostile]: hostile });
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  expect(json).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2067]/);
});
