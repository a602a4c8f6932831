/**
 * Asking the executor about trees: ops go out, records come back in the same order.
 *
 * All reading of trees is done by the executor, which resolves every path beneath a directory and through no link; and it can read
 * extended attributes, which node cannot.
 */
import { displayByteString, type ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { freeNow } from "#base/memory.ts";
import { writeStreamHeader } from "#program/encode.ts";
import { encodeOp, type Op } from "#program/ops.gen.ts";
import { RecordWriter } from "#program/record-writer.ts";
import { describeErrno, OpFailure } from "#program/failure.ts";
import type { ReadingStream } from "#program/stream.ts";
import { changedMeanwhile } from "./change.ts";
import { Listing, readEntry, recordHeadBytes, recordKinds, type ListedEntry } from "./listing.ts";

/** Starts an executor that has got nothing yet. */
export type OpenReadingStream = () => Promise<ReadingStream>;

/** A tree, or several below one directory. */
export interface Place {
  readonly open: OpenReadingStream;
  /** Mounts and the like, up to and including `root`. */
  readonly setup: readonly Op[];
}

/** Is told what comes back, in order. Views are valid during the call. */
export interface SurveyVisitor {
  /** A record with its kind, at `at` of `bytes`. */
  record(kind: number, bytes: Buffer, at: number): void;
  /** Part of the file that the last record began. */
  data?(bytes: Buffer, offset: number): void;
}

const EAGAIN = 11;
/** ENOENT, ENOTDIR, ELOOP: what was listed as a directory is none now. */
const goneErrnos: readonly number[] = [2, 20, 40];

/**
 * Runs `ops` and tells `visitor` what they say. It pauses after each piece of output, so that what a visitor has collected can be
 * taken away before it is gone. After a failure `ops` are gone through again, to name the one that failed.
 *
 * @throws CodedError `wrong-state` when something changed while it was read; by the errno of a failed op otherwise
 */
export async function* survey(place: Place, ops: Iterable<Op>, visitor: SurveyVisitor): AsyncGenerator<void, void, undefined> {
  const reader = new SurveyReader(visitor);
  for await (const chunk of ask(place, ops)) {
    reader.push(chunk);
    yield;
    freeNow(chunk);
  }
  reader.end();
}

/** The output of `ops`. */
async function* ask(place: Place, ops: Iterable<Op>): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = await place.open();
  const writing = send(stream, place.setup, ops);
  // Its error comes out below, after what there was to read.
  writing.catch(() => undefined);
  let finished = false;
  try {
    yield* stream.output;
    await writing;
    finished = true;
  } catch (error) {
    throw describeFailure(error, place, ops);
  } finally {
    if (!finished) await stream.abort();
  }
}

const smallListingBytes = 1 << 20;

/** Everything below `path` of the place. @throws CodedError `wrong-state` when it changed meanwhile */
export async function listTree(place: Place, path: ByteString): Promise<Listing> {
  let bytes = Buffer.allocUnsafeSlow(smallListingBytes);
  let length = 0;
  for await (const chunk of ask(place, [{ op: "list-tree", path }])) {
    if (length + chunk.length > bytes.length) {
      const small = bytes;
      bytes = Buffer.allocUnsafeSlow(2 * (length + chunk.length));
      bytes.set(small.subarray(0, length));
      freeNow(small);
    }
    bytes.set(chunk, length);
    length += chunk.length;
    freeNow(chunk);
  }
  // Not longer than it is: the runtime looks for what is unused the later, the more there is.
  const whole = Buffer.allocUnsafeSlow(length);
  whole.set(bytes.subarray(0, length));
  freeNow(bytes);
  return new Listing(whole);
}

/** Tells of what is at each of `paths`, in their order; undefined where nothing is. An entry is valid during the call. */
export async function listEntries(place: Place, paths: Iterable<ByteString>, see: (entry: ListedEntry | undefined) => void): Promise<void> {
  if (isEmpty(paths)) return;
  const ops = {
    *[Symbol.iterator](): Generator<Op, void, undefined> {
      for (const path of paths) yield { op: "list-entry", path };
    },
  };
  const record = (kind: number, bytes: Buffer, at: number): void => {
    see(kind === recordKinds.absent ? undefined : readEntry(bytes, at));
  };
  await drain(survey(place, ops, { record }));
}

/** Which pairs of regular files hold the same bytes. */
export async function compareFiles(place: Place, pairs: readonly (readonly [left: ByteString, right: ByteString])[]): Promise<boolean[]> {
  const same: boolean[] = [];
  if (pairs.length === 0) return same;
  const record = (_kind: number, bytes: Buffer, at: number): void => {
    same.push(bytes.readUInt32LE(at + 88) === 0);
  };
  await drain(
    survey(
      place,
      pairs.map(([left, right]) => ({ op: "compare-files", left, right })),
      { record },
    ),
  );
  return same;
}

function isEmpty(elements: Iterable<unknown>): boolean {
  for (const _ of elements) return false;
  return true;
}

async function drain(steps: AsyncIterable<void>): Promise<void> {
  for await (const _ of steps);
}

/** Writes `setup` and `ops`; resolves when all of it is done. */
async function send(stream: ReadingStream, setup: readonly Op[], ops: Iterable<Op>): Promise<void> {
  const writer = new RecordWriter({ initialBytes: 128 << 10, recordLimitBytes: 128 << 10 });
  writeStreamHeader(writer);
  for (const op of setup) encodeOp(writer, op);
  for (const op of ops) {
    encodeOp(writer, op);
    if (writer.length < 64 << 10) continue;
    const bytes = writer.take();
    await stream.write(bytes, () => {
      writer.giveBack(bytes);
    });
  }
  encodeOp(writer, { op: "end" });
  await stream.write(writer.take());
  await stream.finish();
}

function describeFailure(error: unknown, { setup }: Place, ops: Iterable<Op>): unknown {
  if (!(error instanceof OpFailure)) return error;
  const op = setup[error.opIndex] ?? elementAt(ops, error.opIndex - setup.length);
  const name = op === undefined ? "the tree" : subjectOf(op);
  // Directories of a tree are asked for because its root was listed before; the roots themselves are ours and stay.
  const isGone = op?.op === "list-tree" && op.path.includes("/") && goneErrnos.includes(error.errno);
  if (error.errno === EAGAIN || isGone) return changedMeanwhile(name);
  return new CodedError(error.code, `cannot read ${name}: ${describeErrno(error.errno)}`, { cause: error });
}

function elementAt<T>(elements: Iterable<T>, index: number): T | undefined {
  let at = 0;
  for (const element of elements) if (at++ === index) return element;
  return undefined;
}

function subjectOf(op: Op): string {
  const path =
    op.op === "compare-files" ? op.left : op.op === "list-entry" || op.op === "list-tree" || op.op === "send-file" ? op.path : undefined;
  return path === undefined || path === "." ? "the tree" : `"${displayByteString(path)}"`;
}

const nothing = Buffer.alloc(0);

/** Cuts output into records and pieces of data. */
class SurveyReader {
  readonly #visitor: SurveyVisitor;
  #rest: Buffer = nothing;
  #inData = false;
  /** Bytes of the piece under way that are still to come, and where they belong. */
  #left = 0;
  #offset = 0;

  constructor(visitor: SurveyVisitor) {
    this.#visitor = visitor;
  }

  push(chunk: Uint8Array): void {
    const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const bytes = this.#rest.length === 0 ? view : Buffer.concat([this.#rest, view]);
    let at = 0;
    for (;;) {
      const next = this.#step(bytes, at);
      if (next === at) break;
      at = next;
    }
    // The chunk's memory is not ours for longer.
    this.#rest = at === bytes.length ? nothing : Buffer.from(bytes.subarray(at));
  }

  end(): void {
    if (this.#rest.length > 0 || this.#left > 0 || this.#inData) throw new CodedError("internal", "the executor's output is cut off");
  }

  #step(bytes: Buffer, at: number): number {
    const available = bytes.length - at;
    if (this.#left > 0) {
      const size = Math.min(this.#left, available);
      if (size === 0) return at;
      this.#visitor.data?.(bytes.subarray(at, at + size), this.#offset);
      this.#left -= size;
      this.#offset += size;
      return at + size;
    }
    if (this.#inData) {
      if (available < 16) return at;
      this.#offset = Number(bytes.readBigUInt64LE(at));
      this.#left = bytes.readUInt32LE(at + 8);
      if (this.#left === 0) this.#inData = false;
      return at + 16;
    }
    if (available < recordHeadBytes || available < bytes.readUInt32LE(at)) return at;
    const kind = bytes.readUInt16LE(at + 4);
    this.#visitor.record(kind, bytes, at);
    this.#inData = kind === recordKinds.dataBegins;
    return at + bytes.readUInt32LE(at);
  }
}
