/** Attacks by a layer's compression: cut, false, or much larger inside than outside. */
import { gzipSync } from "node:zlib";
import { file } from "../cases/case.ts";
import { mediaTypes, sha256, type LayoutWriter } from "../layout-writer.ts";
import { header, tar } from "../tar-writer.ts";
import { gzipWithZeros, zstdWithZeros, type CompressedZeros } from "../zeros.ts";
import { byLayout, type Attack } from "./attack.ts";

const archive = tar([file("f", "content ".repeat(5000))]);
const gigabyte = 1024 ** 3;
const bomb = "CVE-2017-14992 and its like: a small blob must not become more than the user allows";
const limit = ["--max-layer-size", "64m"];

type Stored = readonly [bytes: Uint8Array, type: keyof typeof mediaTypes, contentDigest: string];

/** An attack by the stored bytes of the one layer, with a digest that fits them. */
function byStored(attack: Omit<Attack, "build">, stored: () => Stored): Attack {
  return byLayout(attack, (writer: LayoutWriter) => {
    const [bytes, type, diffId] = stored();
    writer.tag(writer.image([{ descriptor: writer.blob(bytes, mediaTypes[type]), diffId }]), "hostile");
  });
}

function fileHeader(size: number): Buffer {
  return header({ name: "zeros" }, { seconds: 0, nanos: 0 }, size);
}

function stored(zeros: CompressedZeros, type: keyof typeof mediaTypes): Stored {
  return [zeros.bytes, type, zeros.contentDigest];
}

function changed(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 0xff;
  return copy;
}

const gzipped = gzipSync(archive);
const zstd = (): Buffer => Bun.zstdCompressSync(archive);
const digest = sha256(archive);
const cut = "half of a stream is none";
const whole = "the stream must be what its format says, to its last byte";

export const compressionAttacks: readonly Attack[] = [
  byStored({ name: "gzip-cut", expect: "refuse", why: cut }, () => [gzipped.subarray(0, gzipped.length / 2), "gzip", digest]),
  byStored({ name: "gzip-cut-in-trailer", expect: "refuse", why: cut }, () => [gzipped.subarray(0, -4), "gzip", digest]),
  byStored({ name: "gzip-cut-in-header", expect: "refuse", why: cut }, () => [gzipped.subarray(0, 5), "gzip", digest]),
  byStored({ name: "gzip-checksum-wrong", expect: "refuse", why: whole }, () => [changed(gzipped, -6), "gzip", digest]),
  byStored({ name: "gzip-length-wrong", expect: "refuse", why: whole }, () => [changed(gzipped, -2), "gzip", digest]),
  byStored({ name: "gzip-garbage-after", expect: "refuse", why: whole }, () => [
    Buffer.concat([gzipped, Buffer.from("garbage")]),
    "gzip",
    digest,
  ]),
  byStored(
    { name: "gzip-second-member-hidden", expect: "refuse", why: "two members are one stream, whose digest is not the config's" },
    () => [Buffer.concat([gzipped, gzipSync(tar([file("hidden")]))]), "gzip", digest],
  ),
  byStored({ name: "gzip-many-empty-members", expect: "contain", why: "no memory per member" }, () => [
    Buffer.concat([...Array.from({ length: 50_000 }, () => gzipSync("")), gzipped]),
    "gzip",
    digest,
  ]),
  byStored({ name: "gzip-is-plain", expect: "refuse", why: "the media type says gzip" }, () => [archive, "gzip", digest]),
  byStored({ name: "gzip-is-zstd", expect: "refuse", why: "the media type says gzip" }, () => [zstd(), "gzip", digest]),
  byStored({ name: "gzip-twice", expect: "refuse", why: "one decompression, not as many as an image likes" }, () => [
    gzipSync(gzipped),
    "gzip",
    sha256(gzipped),
  ]),
  byStored({ name: "plain-is-gzip", expect: "refuse", why: "the media type says plain" }, () => [gzipped, "tar", digest]),
  byStored({ name: "blob-empty", expect: "refuse", why: cut }, () => [Buffer.alloc(0), "gzip", digest]),
  byStored({ name: "zstd-cut", expect: "refuse", why: cut }, () => [zstd().subarray(0, zstd().length / 2), "zstd", digest]),
  byStored({ name: "zstd-cut-in-header", expect: "refuse", why: cut }, () => [zstd().subarray(0, 5), "zstd", digest]),
  byStored({ name: "zstd-garbage-after", expect: "refuse", why: whole }, () => [
    Buffer.concat([zstd(), Buffer.from("garbage")]),
    "zstd",
    digest,
  ]),
  byStored({ name: "zstd-is-gzip", expect: "refuse", why: "the media type says zstd" }, () => [gzipped, "zstd", digest]),
  byStored({ name: "zstd-window-of-2-terabytes", expect: "refuse", why: "RFC 8878, 3.1.1.1.2: a decoder limits the window" }, () => [
    Buffer.from("28b52ffd00f8010000", "hex"),
    "zstd",
    sha256(Buffer.alloc(0)),
  ]),
  byStored({ name: "zstd-reserved-block", expect: "refuse", why: "RFC 8878, 3.1.1.2.2" }, () => [
    Buffer.from("28b52ffd0038070000", "hex"),
    "zstd",
    sha256(Buffer.alloc(0)),
  ]),
  byStored({ name: "zstd-skippable-frames", expect: "contain", why: "RFC 8878, 3.1.2: skipped, however many" }, () => [
    Buffer.concat([...Array.from({ length: 50_000 }, () => Buffer.from("502a4d1800000000", "hex")), zstd()]),
    "zstd",
    digest,
  ]),
  byStored({ name: "bomb-gzip", expect: "refuse", why: bomb, load: limit }, () =>
    stored(gzipWithZeros(fileHeader(gigabyte), gigabyte + (1 << 20)), "gzip"),
  ),
  byStored({ name: "bomb-zstd", expect: "refuse", why: bomb, load: limit }, () =>
    stored(zstdWithZeros(fileHeader(gigabyte), gigabyte + 1024), "zstd"),
  ),
  byStored({ name: "bomb-after-the-end-gzip", expect: "refuse", why: bomb, load: limit }, () =>
    stored(gzipWithZeros(archive, gigabyte), "gzip"),
  ),
  byStored({ name: "bomb-after-the-end-zstd", expect: "refuse", why: bomb, load: limit }, () =>
    stored(zstdWithZeros(archive, gigabyte), "zstd"),
  ),
  byStored({ name: "bomb-in-a-bomb", expect: "refuse", why: bomb, load: limit }, () => {
    const inner = gzipWithZeros(fileHeader(gigabyte), gigabyte).bytes;
    return [gzipSync(inner), "gzip", sha256(inner)];
  }),
];
