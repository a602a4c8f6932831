/** Gzip and zstd streams that end in any number of zero bytes, made without compressing them one by one. */
import { createHash } from "node:crypto";
import { constants, crc32, deflateRawSync } from "node:zlib";

/** A compressed stream and the digest of what it holds. */
export interface CompressedZeros {
  readonly bytes: Buffer;
  readonly contentDigest: string;
}

const stepBytes = 1 << 20;

/**
 * A gzip stream (one member) of `head` and then `zeroBytes` zeros, which must be a multiple of 1 MiB.
 *
 * Every mebibyte is the same fully flushed deflate block, so that 9 GiB take seconds.
 */
export function gzipWithZeros(head: Uint8Array, zeroBytes: number): CompressedZeros {
  const steps = zeroBytes / stepBytes;
  const zeros = Buffer.alloc(stepBytes);
  const flushed = (content: Uint8Array): Buffer => deflateRawSync(content, { level: 9, finishFlush: constants.Z_FULL_FLUSH });
  const block = flushed(zeros);
  const hash = createHash("sha256").update(head);
  let checksum = crc32(head);
  for (let step = 0; step < steps; step += 1) {
    hash.update(zeros);
    checksum = crc32(zeros, checksum);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE((head.length + zeroBytes) % 2 ** 32, 4);
  const header = Buffer.from("1f8b08000000000002ff", "hex");
  const blocks = Array.from({ length: steps }, () => block);
  const bytes = Buffer.concat([header, flushed(head), ...blocks, deflateRawSync(Buffer.alloc(0)), trailer]);
  return { bytes, contentDigest: `sha256:${hash.digest("hex")}` };
}

/** A zstd frame of `head` and then `zeroBytes` zeros: run-length blocks of 128 KiB, four bytes each (RFC 8878, 3.1.1.2). */
export function zstdWithZeros(head: Uint8Array, zeroBytes: number): CompressedZeros {
  const runBytes = 1 << 17;
  const hash = createHash("sha256").update(head);
  const zeros = Buffer.alloc(runBytes);
  const blocks: Buffer[] = [];
  const put = (type: number, size: number, last: boolean): Buffer => {
    const header = Buffer.alloc(3);
    header.writeUIntLE((size << 3) | (type << 1) | (last ? 1 : 0), 0, 3);
    return header;
  };
  blocks.push(put(0, head.length, zeroBytes === 0), Buffer.from(head));
  for (let done = 0; done < zeroBytes; done += runBytes) {
    const size = Math.min(runBytes, zeroBytes - done);
    blocks.push(put(1, size, done + size === zeroBytes), Buffer.alloc(1));
    hash.update(zeros.subarray(0, size));
  }
  // Magic number, no flags (no content size, no checksum), window descriptor 2^17.
  const bytes = Buffer.concat([Buffer.from("28b52ffd0038", "hex"), ...blocks]);
  return { bytes, contentDigest: `sha256:${hash.digest("hex")}` };
}
