/**
 * Applying a layer: its bytes are verified, decompressed, parsed, compiled and streamed to the executor in one pass.
 *
 * What arrives on disk is not to be used before this has returned: the digests are known only at the end, and on any
 * error the caller throws away the directory it was given.
 */
import { CodedError } from "#base/errors.ts";
import { writeStreamHeader } from "#program/encode.ts";
import { describeErrno, OpFailure } from "#program/failure.ts";
import { encodeOp, type Op } from "#program/ops.gen.ts";
import { RecordWriter } from "#program/record-writer.ts";
import type { ProgramStream } from "#program/stream.ts";
import { hasherFor, parseDigest, shortDigest, verifyContent } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { TarReader } from "../tar/read.ts";
import { LayerCompiler, type LayerLimits } from "./compile.ts";
import { decompressLayer } from "./decompress.ts";

/** A layer, where it goes and what it may cost. */
export interface LayerApplication {
  /** The layer's bytes as they are stored. */
  readonly source: AsyncIterable<Uint8Array>;
  /** True when `source` ends only once whoever brings its bytes has compared all of them with the descriptor. */
  readonly isVerified?: boolean;
  readonly descriptor: Pick<Descriptor, "digest" | "size" | "mediaType">;
  /** Digest of the uncompressed archive, from the image's config. */
  readonly diffId: string;
  /** An executor that has got nothing yet. It is gone when this returns or throws. */
  readonly stream: ProgramStream;
  /** True when no layer lies below: the directory entered is empty. */
  readonly base: boolean;
  /** Ops before the layer's own, up to `enter-root`, and after them; `end` is added. */
  readonly setup: readonly Op[];
  readonly teardown: readonly Op[];
  readonly limits: LayerLimits;
  /** Make what somebody without privileges can. */
  readonly unprivileged?: boolean;
  /** Told now and then how many of the descriptor's bytes have been read. */
  readonly onProgress?: (doneBytes: number) => void;
}

/** What was applied. */
export interface AppliedLayer {
  /** Entries of the archive, whiteouts included. */
  readonly entries: number;
  readonly uncompressedBytes: number;
  /** Ops that the entries became. */
  readonly ops: number;
}

/** How much the parser gets at once: bounds what it can make before the executor is waited for. */
const pieceBytes = 256 << 10;
const flushBytes = 128 << 10;
/** docs/program-format.md: a record of a stream. */
const recordLimitBytes = 128 << 10;

/**
 * Applies one layer.
 *
 * @throws CodedError `corrupt` when size, digest, DiffID, compression or archive are not what they should be; `invalid-spec`
 * for entries that no layer may have; `exhausted` over a limit or when the disk is full; others by the errno of a failed op
 */
export async function applyLayer(layer: LayerApplication): Promise<AppliedLayer> {
  const writer = new RecordWriter({ initialBytes: flushBytes + 2 * pieceBytes, recordLimitBytes });
  const { base, limits, unprivileged = false } = layer;
  const compiler = new LayerCompiler(writer, { base, limits, unprivileged, firstOp: layer.setup.length });
  try {
    const uncompressedBytes = await streamLayer(layer, writer, compiler);
    return { entries: compiler.entries, uncompressedBytes, ops: compiler.ops };
  } catch (error) {
    await layer.stream.abort();
    throw describeFailure(error, layer, compiler);
  }
}

async function streamLayer(layer: LayerApplication, writer: RecordWriter, compiler: LayerCompiler): Promise<number> {
  const { stream } = layer;
  writeStreamHeader(writer);
  for (const op of layer.setup) encodeOp(writer, op);
  const reader = new TarReader(compiler);
  const diffId = parseDigest(layer.diffId);
  const hasher = hasherFor(diffId);
  for await (const chunk of decompressLayer(progress(layer), layer.descriptor.mediaType)) {
    if (hasher.size + chunk.length > layer.limits.maxBytes) throw tooLarge(layer.limits.maxBytes);
    hasher.update(chunk);
    for (let at = 0; at < chunk.length; at += pieceBytes) {
      reader.push(chunk.length <= pieceBytes ? chunk : chunk.subarray(at, at + pieceBytes));
      if (writer.length >= flushBytes) await flush(writer, stream);
    }
  }
  reader.end();
  compiler.finish();
  // Before `end`: a program that is refused must not look finished.
  const content = hasher.finish();
  requireDiffId(content.digest, diffId);
  for (const op of layer.teardown) encodeOp(writer, op);
  encodeOp(writer, { op: "end" });
  await stream.write(writer.take());
  await stream.finish();
  return content.size;
}

async function flush(writer: RecordWriter, stream: ProgramStream): Promise<void> {
  const bytes = writer.take();
  await stream.write(bytes, () => {
    writer.giveBack(bytes);
  });
}

/**
 * Checks that a blob holds the archive that a config says, without applying it: for a layer that is there already, by what it is called.
 *
 * @throws CodedError as applyLayer
 */
export async function confirmLayer(
  layer: Pick<LayerApplication, "source" | "isVerified" | "descriptor" | "diffId" | "onProgress"> & { readonly maxBytes: number },
): Promise<void> {
  const diffId = parseDigest(layer.diffId);
  const hasher = hasherFor(diffId);
  try {
    for await (const chunk of decompressLayer(progress(layer), layer.descriptor.mediaType)) {
      if (hasher.size + chunk.length > layer.maxBytes) throw tooLarge(layer.maxBytes);
      hasher.update(chunk);
    }
    requireDiffId(hasher.finish().digest, diffId);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const subject = `cannot apply layer ${shortDigest(layer.descriptor.digest)}`;
    throw new CodedError(error.code, `${subject}: ${error.message}`, { details: error.details, cause: error });
  }
}

function tooLarge(maxBytes: number): CodedError {
  return new CodedError("exhausted", `its archive has more than ${maxBytes} bytes`);
}

function requireDiffId(actual: string, wanted: string): void {
  if (actual !== wanted) throw new CodedError("corrupt", `its archive has the digest ${actual}, but the image's config says ${wanted}`);
}

/** The layer's own bytes, verified against its descriptor as they pass unless somebody else does that. */
async function* progress(
  layer: Pick<LayerApplication, "source" | "isVerified" | "descriptor" | "onProgress">,
): AsyncGenerator<Uint8Array, void, undefined> {
  let doneBytes = 0;
  for await (const chunk of layer.isVerified === true ? layer.source : verifyContent(layer.source, layer.descriptor)) {
    yield chunk;
    doneBytes += chunk.length;
    layer.onProgress?.(doneBytes);
  }
}

/** `cannot apply layer 0123456789ab: entry "usr/bin/x": no space left on device (ENOSPC)` */
function describeFailure(error: unknown, layer: LayerApplication, compiler: LayerCompiler): unknown {
  if (!(error instanceof CodedError)) return error;
  const subject = `cannot apply layer ${shortDigest(layer.descriptor.digest)}`;
  if (!(error instanceof OpFailure))
    return new CodedError(error.code, `${subject}: ${error.message}`, { details: error.details, cause: error });
  const place = compiler.describeOp(error.opIndex) ?? describeOther(error.opIndex, layer);
  return new CodedError(error.code, `${subject}: ${place}: ${describeErrno(error.errno)}`, { details: error.details, cause: error });
}

function describeOther(index: number, layer: LayerApplication): string {
  const op = layer.setup[index];
  return op === undefined ? "the ops after its entries" : `the op "${op.op}" before its entries`;
}
