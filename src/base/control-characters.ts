/** Characters that a terminal obeys or that change how their neighbours are read, so text of strangers must not bring them there. */

/**
 * C0, DEL, C1 (a terminal takes U+009B for ESC [), and what orders text by direction (CVE-2021-42574: a name that reads as another one).
 */
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const controls = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** `text` with each of them as what `show` makes of it: by default `\xNN` or `\uNNNN`. */
export function replaceControls(text: string, show: (char: string) => string = escaped): string {
  return text.replace(controls, show);
}

/** JSON that says the same in characters that are none of them, except line feeds between its tokens. */
export function printableJson(json: string): string {
  return replaceControls(json, (char) => (char === "\n" ? char : `\\u${hex(char, 4)}`));
}

function escaped(char: string): string {
  return char <= "\u00ff" ? `\\x${hex(char, 2)}` : `\\u${hex(char, 4)}`;
}

function hex(char: string, digits: number): string {
  return char.charCodeAt(0).toString(16).padStart(digits, "0");
}
