/** Writes seeds for the decoder's fuzzer: one whole program and one stream that hold every op of the table. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { byteStringFromText } from "../../src/base/byte-string.ts";
import { encodeProgram, type Step } from "../../src/program/encode.ts";
import { encodeOp, type Op } from "../../src/program/ops.gen.ts";
import { RecordWriter } from "../../src/program/record-writer.ts";
import { opTable, type FieldKind, type OpDefinition } from "../../src/program/table.ts";

const samples: Readonly<Record<FieldKind, unknown>> = {
  u32: 2,
  u64: 2 ** 40,
  i64: -1,
  limit: 2n ** 64n - 1n,
  text: "/some/path",
  name: "caf\xe9",
  texts: ["one", "", "three=3"],
  names: ["a", "\xff"],
  bytes: new Uint8Array([1, 2, 3, 4, 5]),
};

/** The table says which fields an op has, so what it makes is one. */
function sampleOf(definition: OpDefinition): Op {
  const fields = Object.entries(definition.fields).map(([name, kind]): [string, unknown] => [name, samples[kind]]);
  return { op: definition.name, ...Object.fromEntries(fields) } as unknown as Op;
}

const childOnly = ["await-parent", "await-start"];
const streamOnly = ["file", "end"];
const parentOnly = (op: OpDefinition): boolean => op.code <= 16 && op.name !== "null-stdio";
const isTreeOp = (op: OpDefinition): boolean => op.code >= 80 || (op.code >= 20 && op.code <= 24);

function steps(wanted: (op: OpDefinition) => boolean): Step[] {
  return opTable.filter((op) => !streamOnly.includes(op.name) && wanted(op)).map((op) => ({ op: sampleOf(op), origin: "seed" }));
}

function wholeProgram(): Buffer {
  return encodeProgram({
    main: steps((op) => !childOnly.includes(op.name)),
    cleanup: steps(isTreeOp),
    children: [steps((op) => !parentOnly(op))],
  });
}

function streamedProgram(): Buffer {
  const writer = new RecordWriter();
  for (const { op } of steps(isTreeOp)) encodeOp(writer, op);
  encodeOp(writer, {
    op: "file",
    path: byteStringFromText("f"),
    mode: 0o644,
    uid: 0,
    gid: 0,
    seconds: 0,
    nanos: 0,
    size: 20,
    keepParent: 0,
  });
  writer.chunk(0, new Uint8Array(5));
  writer.chunk(8, new Uint8Array(8));
  writer.chunk(0, new Uint8Array(0));
  encodeOp(writer, { op: "end" });
  return writer.take();
}

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error("usage: seeds.ts DIRECTORY");
mkdirSync(directory, { recursive: true });
writeFileSync(join(directory, "whole"), Buffer.concat([Buffer.from([0]), wholeProgram()]));
writeFileSync(join(directory, "stream"), Buffer.concat([Buffer.from([1]), streamedProgram()]));
