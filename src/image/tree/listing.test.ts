import { expect, test } from "bun:test";
import { isAsListed, readEntry, recordHeadBytes, type ListedEntry } from "./listing.ts";

/** A record of a regular file, as `struct listed` has it (executor/survey.h). */
function fileWith({ device = 1, inode = 2, size = 3, changed = 4 }): ListedEntry {
  const bytes = Buffer.alloc(recordHeadBytes);
  bytes.writeUInt32LE(recordHeadBytes, 0);
  bytes.writeUInt32LE(0o100644, 8);
  bytes.writeUInt32LE(device, 36);
  bytes.writeBigUInt64LE(BigInt(size), 40);
  bytes.writeBigUInt64LE(BigInt(inode), 48);
  bytes.writeBigInt64LE(BigInt(changed), 64);
  return readEntry(bytes, 0);
}

test("a file is as listed by inode, size and time of change, whatever number its file system has got by now", () => {
  expect(isAsListed(fileWith({}), fileWith({}))).toBe(true);
  expect(isAsListed(fileWith({ device: 9 }), fileWith({}))).toBe(true);
  expect(isAsListed(fileWith({ inode: 9 }), fileWith({}))).toBe(false);
  expect(isAsListed(fileWith({ size: 9 }), fileWith({}))).toBe(false);
  expect(isAsListed(fileWith({ changed: 9 }), fileWith({}))).toBe(false);
});
