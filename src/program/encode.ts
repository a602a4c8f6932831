/** A compiled program as data, and its bytes. */
import { CodedError } from "#base/errors.ts";
import { encodeOp, type Op } from "./ops.gen.ts";
import { RecordWriter } from "./record-writer.ts";
import { formatVersion } from "./format-version.ts";

/** An op with where it comes from: a JSON Pointer into the config ("/mounts/3"), or "default: why". */
export interface Step {
  readonly op: Op;
  readonly origin: string;
}

/** Named lists of steps: `main` is run by the executor, `cleanup` after it or after a failure, the rest by `clone`. */
export interface Program {
  readonly main: readonly Step[];
  readonly cleanup: readonly Step[];
  /** What `clone` starts children with; `clone` names them by `childSection(index)`. */
  readonly children: readonly (readonly Step[])[];
}

const magic = Buffer.from("GNTRYPRG", "latin1");

/** The largest whole program that the executor takes, in bytes. */
export const programLimitBytes: number = 4 << 20;

/** The section number that `clone` uses for `children[index]`. */
export function childSection(index: number): number {
  return 2 + index;
}

/** The steps of `program` in the order of their op indexes: what a report's index points into. */
export function stepsInOrder(program: Program): Step[] {
  return [program.main, program.cleanup, ...program.children].flat();
}

/** The bytes of a whole program. @throws CodedError `exhausted` when it is over `programLimitBytes`. */
export function encodeProgram(program: Program): Buffer {
  const sections = [program.main, program.cleanup, ...program.children];
  const writer = new RecordWriter();
  writeHeader(writer, 0, sections);
  let first = 0;
  for (const section of sections) {
    writer.u32(first);
    writer.u32(section.length);
    first += section.length;
  }
  for (const step of sections.flat()) encodeOp(writer, step.op);
  const bytes = writer.take();
  if (bytes.length > programLimitBytes) {
    throw new CodedError("exhausted", `cannot run a program of ${bytes.length} bytes: the limit is ${programLimitBytes}`);
  }
  bytes.writeBigUInt64LE(BigInt(bytes.length), 16);
  return bytes;
}

/** Writes the header of a streamed program; ops follow, up to `end`. */
export function writeStreamHeader(writer: RecordWriter): void {
  writeHeader(writer, 1, []);
}

function writeHeader(writer: RecordWriter, kind: number, sections: readonly (readonly Step[])[]): void {
  writer.raw(magic);
  writer.u32(formatVersion);
  writer.u32(kind);
  writer.u64(0);
  writer.u32(sections.length);
  writer.u32(sections.reduce((count, section) => count + section.length, 0));
}
