/** The port between what compiles a tree (a layer's entries) into a streamed program and what runs it. */

/** A running streamed program that takes encoded records in order. `launch.ts` makes them; tests may record the bytes. */
export interface ProgramStream {
  /**
   * Takes over `bytes` (whole or partial records) and resolves when more may be written. `onTaken` is called once they have left this
   * process, so that their memory may be used again; perhaps never after a failure.
   * @throws OpFailure when an op written earlier failed; nothing more is taken then.
   */
  write(bytes: Uint8Array, onTaken?: () => void): Promise<void>;
  /** Resolves once the executor has run everything up to `end` and is gone. @throws OpFailure */
  finish(): Promise<void>;
  /** Ends the executor wherever it is; what it has made stays. Never throws. */
  abort(): Promise<void>;
}

/** A running streamed program whose ops also say something: what they write to descriptor 1 (docs/program-format.md, "Records of trees"). */
export interface ReadingStream extends ProgramStream {
  /** To be read to its end, beside the writing: the executor waits when nobody reads. Whoever reads a chunk may do with its memory what he likes. */
  readonly output: AsyncIterable<Uint8Array>;
}
