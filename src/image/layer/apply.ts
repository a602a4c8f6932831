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
import { hasherFor, parseDigest, shortDigest, verifyContent, type Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { TarReader } from "../tar/read.ts";
import { LayerCompiler, type LayerLimits } from "./compile.ts";
import { decompressLayer } from "./decompress.ts";
import type { HashingBeside, PassingHash } from "./hash-thread.ts";

/** A layer, where it goes and what it may cost. */
export interface LayerApplication {
  /** The layer's bytes as they are stored. */
  readonly source: AsyncIterable<Uint8Array>;
  /** True when `source` ends only once whoever brings its bytes has compared all of them with the descriptor. */
  readonly isVerified?: boolean;
  readonly descriptor: Pick<Descriptor, "digest" | "size" | "mediaType">;
  /** Digest of the uncompressed archive, from the image's config. */
  readonly diffId: string;
  /** What makes that digest; without it, the thread that does all else. */
  readonly hashing?: HashingBeside;
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
  const program = new LayerProgram(layer.stream, layer.setup);
  const applied = await program.apply(layer);
  await program.finish(layer.teardown);
  return applied;
}

/** A layer whose ops are in the stream, for the sentence when one of them fails. */
interface SentLayer {
  readonly digest: Digest;
  readonly compiler: LayerCompiler;
  /** How many bytes were in the stream at the layer's end. */
  endsAt: number;
}

/** More than the buffers between here and the executor hold: what lies further back has been run. */
const unreadLimitBytes = 8 << 20;

/** Layers of one directory, applied one after another by one program. After an error it, and the directory, must not be used any more. */
export class LayerProgram {
  readonly #stream: ProgramStream;
  readonly #setup: readonly Op[];
  readonly #writer = new RecordWriter({ initialBytes: flushBytes + 2 * pieceBytes, recordLimitBytes });
  #sent: SentLayer[] = [];
  #sentBytes = 0;
  #ops: number;

  /** `stream` is an executor that has got nothing yet; `setup` goes up to `enter-root`. */
  constructor(stream: ProgramStream, setup: readonly Op[]) {
    this.#stream = stream;
    this.#setup = setup;
    this.#ops = setup.length;
    writeStreamHeader(this.#writer);
    for (const op of setup) encodeOp(this.#writer, op);
  }

  /** Sends the ops of the next layer; they have not been run yet when this returns. @throws CodedError as applyLayer */
  async apply(layer: Omit<LayerApplication, "stream" | "setup" | "teardown">): Promise<AppliedLayer> {
    const { base, limits, unprivileged = false } = layer;
    const { digest } = layer.descriptor;
    const compiler = new LayerCompiler(this.#writer, { base, limits, unprivileged, firstOp: this.#ops });
    this.#sent = this.#sent.filter(({ endsAt }) => this.#sentBytes - endsAt < unreadLimitBytes);
    const sent = { digest, compiler, endsAt: Number.POSITIVE_INFINITY };
    this.#sent.push(sent);
    try {
      const uncompressedBytes = await this.#send(layer, compiler);
      this.#ops += compiler.ops;
      sent.endsAt = this.#sentBytes + this.#writer.length;
      return { entries: compiler.entries, uncompressedBytes, ops: compiler.ops };
    } catch (error) {
      await this.#stream.abort();
      throw this.#describe(error);
    }
  }

  /** Resolves when all has been run, `teardown` last. @throws CodedError as applyLayer */
  async finish(teardown: readonly Op[]): Promise<void> {
    try {
      for (const op of teardown) encodeOp(this.#writer, op);
      encodeOp(this.#writer, { op: "end" });
      await this.#stream.write(this.#writer.take());
      await this.#stream.finish();
    } catch (error) {
      await this.#stream.abort();
      throw this.#describe(error);
    }
  }

  async #send(layer: Omit<LayerApplication, "stream" | "setup" | "teardown">, compiler: LayerCompiler): Promise<number> {
    const reader = new TarReader(compiler);
    const diffId = parseDigest(layer.diffId);
    const hash = beginHash(layer, diffId);
    for await (const chunk of decompressLayer(progress(layer), layer.descriptor.mediaType)) {
      if (hash.size + chunk.length > layer.limits.maxBytes) throw tooLarge(layer.limits.maxBytes);
      await hash.update(chunk);
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        reader.push(chunk.length <= pieceBytes ? chunk : chunk.subarray(at, at + pieceBytes));
        if (this.#writer.length >= flushBytes) await this.#flush();
      }
    }
    reader.end();
    compiler.finish();
    // Before `end`: a program that is refused must not look finished.
    const content = await hash.finish();
    requireDiffId(content.digest, diffId);
    return content.size;
  }

  async #flush(): Promise<void> {
    const writer = this.#writer;
    const bytes = writer.take();
    this.#sentBytes += bytes.length;
    await this.#stream.write(bytes, () => {
      writer.giveBack(bytes);
    });
  }

  /** `cannot apply layer 0123456789ab: entry "usr/bin/x": no space left on device (ENOSPC)` */
  #describe(error: unknown): unknown {
    if (!(error instanceof CodedError)) return error;
    const last = this.#sent.at(-1);
    if (!(error instanceof OpFailure)) return layerFault(last, error.message, error);
    const { opIndex, errno } = error;
    const found = this.#sent.find(({ compiler }) => compiler.describeOp(opIndex) !== undefined);
    const op = this.#setup[opIndex];
    const other = op === undefined ? "the ops after its entries" : `the op "${op.op}" before its entries`;
    return layerFault(found ?? last, `${found?.compiler.describeOp(opIndex) ?? other}: ${describeErrno(errno)}`, error);
  }
}

function layerFault(layer: Pick<SentLayer, "digest"> | undefined, fact: string, cause: CodedError): CodedError {
  const subject = layer === undefined ? "cannot apply layers" : `cannot apply layer ${shortDigest(layer.digest)}`;
  return new CodedError(cause.code, `${subject}: ${fact}`, { details: cause.details, cause });
}

/**
 * Checks that a blob holds the archive that a config says, without applying it: for a layer that is there already, by what it is called.
 *
 * @throws CodedError as applyLayer
 */
export async function confirmLayer(
  layer: Pick<LayerApplication, "source" | "isVerified" | "descriptor" | "diffId" | "hashing" | "onProgress"> & {
    readonly maxBytes: number;
  },
): Promise<void> {
  const diffId = parseDigest(layer.diffId);
  const hash = beginHash(layer, diffId);
  try {
    for await (const chunk of decompressLayer(progress(layer), layer.descriptor.mediaType)) {
      if (hash.size + chunk.length > layer.maxBytes) throw tooLarge(layer.maxBytes);
      await hash.update(chunk);
    }
    requireDiffId((await hash.finish()).digest, diffId);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw layerFault(layer.descriptor, error.message, error);
  }
}

function beginHash({ hashing, descriptor }: Pick<LayerApplication, "hashing" | "descriptor">, diffId: Digest): PassingHash {
  return hashing === undefined ? hasherFor(diffId) : hashing.begin(diffId, descriptor.size);
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
