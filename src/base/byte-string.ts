/**
 * Byte strings: file names and paths as the kernel and tar have them, bytes without an encoding.
 *
 * One char (0-255) stands for one byte, so that such names work as map keys and with string methods
 * and lose nothing when they are not UTF-8.
 */
import { replaceControls } from "./control-characters.ts";

/** A string in which every char is one byte. Only the functions of this file make them. */
export type ByteString = string & { readonly __brand: "ByteString" };

/** The bytes `bytes[start..end)` as a byte string. */
export function byteStringFromBytes(bytes: Uint8Array, start = 0, end: number = bytes.length): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1") as ByteString;
}

/** The UTF-8 bytes of `text` as a byte string. */
export function byteStringFromText(text: string): ByteString {
  return Buffer.from(text, "utf8").toString("latin1") as ByteString;
}

/** Longer names are shown without their middle. */
const maxDisplayedChars = 256;

/** `name` for people, at most 256 characters of it: decoded as UTF-8, bytes that are not UTF-8 and control characters shown as `\xNN`. */
export function displayByteString(name: ByteString): string {
  const text = Buffer.from(name, "latin1").toString("utf8");
  const printable = text.includes("\uFFFD") ? (name as string).replace(/[\x80-\xff]/g, hexEscape) : text;
  const shown = replaceControls(printable);
  return shown.length <= maxDisplayedChars ? shown : `${shown.slice(0, 160)}…${shown.slice(-80)}`;
}

function hexEscape(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
