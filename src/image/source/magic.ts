/** What a file is packed with, by its first bytes. */

/** Formats that are told apart; only the first three can be read. */
export type PackedFormat = "none" | "gzip" | "zstd" | "xz" | "bzip2";

const signatures: readonly (readonly [PackedFormat, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
];

/** The format of content that begins with `beginning`; "none" for anything without a known signature. */
export function detectCompression(beginning: Uint8Array): PackedFormat {
  const found = signatures.find(([, bytes]) => bytes.every((byte, index) => beginning[index] === byte));
  if (found !== undefined) return found[0];
  // RFC 8878 section 3.1.2: zstd streams may begin with a skippable frame, 184D2A50 to 184D2A5F little endian.
  const isSkippable = (beginning[0] ?? 0) >> 4 === 5 && beginning[1] === 0x2a && beginning[2] === 0x4d && beginning[3] === 0x18;
  return isSkippable ? "zstd" : "none";
}
