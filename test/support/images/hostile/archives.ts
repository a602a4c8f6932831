/** Attacks by the form of a layer's archive: lengths that lie, headers without end, sparse maps. */
import { file } from "../cases/case.ts";
import { extension, header, member, padding, paxRecord, tar, type TarEntry } from "../tar-writer.ts";
import { gzipWithZeros } from "../zeros.ts";
import { mediaTypes } from "../layout-writer.ts";
import { byArchive, byEntries, byLayout, type Attack } from "./attack.ts";

const end = Buffer.alloc(1024);
const noTime = { seconds: 0, nanos: 0 };
const mebibyte = 1 << 20;
const memory = "what a header asks for must be limited before it is allocated";
const sparse = "CVE-2025-58183: a sparse map without a limit; and offsets that lie";

/** A size field in base-256: 0x80 and 11 bytes, big endian. */
function base256(value: bigint): string {
  const bytes = Buffer.alloc(12);
  for (let index = 11, rest = BigInt.asUintN(96, value); index >= 0; index -= 1, rest >>= 8n) bytes[index] = Number(rest & 0xffn);
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes.toString("latin1");
}

function pax(records: string): Uint8Array[] {
  return extension({ flag: "x", name: "PaxHeaders/x", data: Buffer.from(records, "latin1") });
}

/** An archive of these blocks and one sound file after them. */
function blocks(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...parts, ...member(file("after")), end]);
}

/** An extension header of kind `flag` that really has `bytes` of data, all zeros. */
function largeExtension(flag: string, bytes: number): Attack {
  return byLayout({ name: `extension-${flag}-of-${bytes / mebibyte}-mebibytes`, expect: "refuse", why: memory }, (writer) => {
    const zeros = gzipWithZeros(header({ name: "large", flag }, noTime, bytes), bytes + mebibyte);
    writer.tag(writer.image([{ descriptor: writer.blob(zeros.bytes, mediaTypes.gzip), diffId: zeros.contentDigest }]), "hostile");
  });
}

const sizeLies: readonly (readonly [label: string, entry: Partial<TarEntry>])[] = [
  ["octal", { rawSize: "77777777777\0" }],
  ["base256-2^62", { rawSize: base256(1n << 62n) }],
  ["base256-2^63", { rawSize: base256(1n << 63n) }],
  ["base256-2^64", { rawSize: base256(1n << 64n) }],
  ["base256-negative", { rawSize: base256(-512n) }],
  ["garbage", { rawSize: "12z45678901\0" }],
  ["signed", { rawSize: "-0000000512\0" }],
  ["pax-negative", { pax: { size: "-1" } }],
  ["pax-huge", { pax: { size: "99999999999999999999" } }],
  ["pax-2^53", { pax: { size: "9007199254740993" } }],
  ["pax-exponent", { pax: { size: "1e3" } }],
  ["pax-hexadecimal", { pax: { size: "0x10" } }],
];

/** PAX record lists that are no such thing. */
const badRecords: readonly (readonly [label: string, records: string])[] = [
  ["length-too-large", "999999999 path=x\n"],
  ["length-zero", "0 path=x\n"],
  ["length-negative", "-5 path=x\n"],
  ["length-missing", " path=x\n"],
  ["length-2^64", "18446744073709551626 path=x\n"],
  ["no-equals", "10 pathxx\n"],
  ["no-newline", "9 path=xx"],
  ["length-too-small", "5 path=x\n"],
];

/** PAX records of a sparse file; the data is 512 bytes. */
const sparseMaps: readonly (readonly [label: string, records: Record<string, string>])[] = [
  ["0.1-overlapping", { "GNU.sparse.size": "4096", "GNU.sparse.map": "0,512,0,512" }],
  ["0.1-falling", { "GNU.sparse.size": "4096", "GNU.sparse.map": "2048,256,0,256" }],
  ["0.1-beyond-size", { "GNU.sparse.size": "100", "GNU.sparse.map": "0,512" }],
  ["0.1-more-than-stored", { "GNU.sparse.size": "409600", "GNU.sparse.map": "0,40960" }],
  ["0.1-negative", { "GNU.sparse.size": "4096", "GNU.sparse.map": "-512,512" }],
  ["0.1-overflow", { "GNU.sparse.size": "9223372036854775807", "GNU.sparse.map": "9223372036854775807,512" }],
  ["0.1-odd-count", { "GNU.sparse.size": "4096", "GNU.sparse.map": "0,512,1024" }],
  ["0.1-count-lies", { "GNU.sparse.size": "4096", "GNU.sparse.numblocks": "1000000000", "GNU.sparse.map": "0,512" }],
  ["0.0-count-without-map", { "GNU.sparse.size": "4096", "GNU.sparse.numblocks": "1000000000" }],
  ["1.0-map-is-not-one", { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "4096" }],
  ["size-2^63", { "GNU.sparse.size": "9223372036854775808", "GNU.sparse.map": "0,512" }],
  ["version-9.9", { "GNU.sparse.major": "9", "GNU.sparse.minor": "9", "GNU.sparse.name": "s", "GNU.sparse.realsize": "4096" }],
];

/** A PAX 1.0 sparse file `name` whose map says `count` pieces and has one. */
function mapCount(count: string, name = "s"): Uint8Array {
  const map = Buffer.alloc(512);
  map.write(`${count}\n0\n512\n`, 0, "latin1");
  const records = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name, "GNU.sparse.realsize": "4096" };
  return tar([file("s", "", { pax: records, data: Buffer.concat([map, Buffer.alloc(512)]) })]);
}

/** Old GNU sparse headers that are continued for ever. */
function endlessOldSparse(): Uint8Array {
  const first = header({ name: "s", flag: "S" }, noTime, 0);
  first[482] = 1;
  first.write("00000000000\0", 483, "latin1");
  first.write("ustar  \0", 257, "latin1");
  first.fill(" ", 148, 156);
  let sum = 0;
  for (const byte of first) sum += byte;
  first.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  const more = Buffer.alloc(512);
  more[504] = 1;
  return Buffer.concat([first, ...Array.from({ length: 200_000 }, () => more)]);
}

export const archiveAttacks: readonly Attack[] = [
  byEntries({ name: "checksum-wrong", expect: "refuse", why: "POSIX ustar" }, [[file("f", "x", { badChecksum: true })]]),
  byArchive({ name: "archive-is-not-one", expect: "refuse", why: "POSIX ustar" }, () => Buffer.from("not a tar archive".repeat(100))),
  byArchive({ name: "archive-cut-in-header", expect: "refuse", why: "half of an archive is none" }, () =>
    tar([file("f", "x".repeat(600))]).subarray(0, 300),
  ),
  byArchive({ name: "archive-cut-in-data", expect: "refuse", why: "half of an archive is none" }, () =>
    tar([file("f", "x".repeat(6000))]).subarray(0, 2000),
  ),
  byArchive({ name: "archive-cut-in-padding", expect: "refuse", why: "half of an archive is none" }, () =>
    tar([file("f", "x".repeat(600))]).subarray(0, 1200),
  ),
  byArchive({ name: "archive-without-end", expect: "contain", why: "practice: readers take it" }, () => Buffer.concat(member(file("f")))),
  byArchive(
    { name: "archive-with-hidden-entries", expect: "contain", why: "what follows the end is not read as entries", forbidden: ["hidden"] },
    () => Buffer.concat([tar([file("f")]), tar([file("hidden")])]),
  ),
  byArchive({ name: "extension-at-the-end", expect: "refuse", why: "it belongs to an entry that does not come" }, () =>
    Buffer.concat([...pax(paxRecord("path", Buffer.from("x")).toString()), end]),
  ),
  byArchive({ name: "extensions-without-entry", expect: "contain", why: memory }, () =>
    blocks(...Array.from({ length: 20_000 }, () => pax(paxRecord("comment", Buffer.alloc(400, "c")).toString())).flat()),
  ),
  byArchive({ name: "global-extensions", expect: "contain", why: memory }, () =>
    blocks(
      ...Array.from({ length: 20_000 }, (_, index) =>
        extension({ flag: "g", name: "g", data: paxRecord(`user.key${index}`, Buffer.alloc(400, "c")) }),
      ).flat(),
    ),
  ),
  byArchive({ name: "pax-records-many", expect: "contain", why: memory }, () =>
    blocks(...pax(Array.from({ length: 20_000 }, (_, index) => paxRecord(`vendor.k${index}`, Buffer.from("v")).toString()).join(""))),
  ),
  byEntries({ name: "type-unknown", expect: "refuse", why: "what is not understood must not be dropped in silence" }, [
    [{ name: "f", flag: "Z" }],
  ]),
  byEntries({ name: "type-multi-volume", expect: "refuse", why: "the other half is elsewhere" }, [
    [{ name: "f", flag: "M", data: "half" }],
  ]),
  ...sizeLies.map(([label, entry]) =>
    byArchive({ name: `size-${label}`, expect: "refuse", why: "a size that is not there" }, () => tar([file("f", "x".repeat(512), entry)])),
  ),
  byEntries(
    { name: "size-pax-empty", expect: "contain", why: "POSIX pax: an empty value takes the record back; the header's own size is there" },
    [[file("f", "x".repeat(512), { pax: { size: "" } })]],
  ),
  ...badRecords.map(([label, records]) =>
    byArchive({ name: `pax-${label}`, expect: "refuse", why: "POSIX pax: LENGTH KEY=VALUE newline" }, () => blocks(...pax(records))),
  ),
  largeExtension("x", 1024 * mebibyte),
  largeExtension("g", 1024 * mebibyte),
  largeExtension("L", 100 * mebibyte),
  largeExtension("K", 100 * mebibyte),
  ...sparseMaps.map(([label, records]) =>
    byEntries({ name: `sparse-${label}`, expect: "refuse", why: sparse }, [[file("s", "d".repeat(512), { pax: records })]]),
  ),
  ...["1000000000", "99999999999999999999", "-1", "x"].map((count) =>
    byArchive({ name: `sparse-map-of-${count}`, expect: "refuse", why: sparse }, () => mapCount(count)),
  ),
  byArchive({ name: "sparse-name-leads-out", expect: "refuse", why: "the name in the sparse records is a name like others" }, () =>
    mapCount("1", "../../../../escaped"),
  ),
  byArchive({ name: "sparse-sound", expect: "contain", why: "what the attacks by sparse maps are made from is taken" }, () =>
    mapCount("1"),
  ),
  byArchive({ name: "sparse-old-endless", expect: "refuse", why: sparse }, endlessOldSparse),
  byArchive({ name: "size-in-directory", expect: "contain", why: "some tools write one; there is no data" }, () =>
    Buffer.concat([header({ name: "d/", type: "directory" }, noTime, 0), padding(0), ...member(file("after")), end]),
  ),
];
