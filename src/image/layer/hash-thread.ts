/**
 * Hashing beside: the digest of a layer's archive, made by a thread of its own.
 *
 * SHA-256 of all that a layer holds takes as long as parsing and compiling it, so one thread for both is what a large layer would wait for.
 * Chunks are copied into a ring that both threads see; the memory they came in is the caller's again at once.
 *
 *     caller:  copy into slot, filled += 1; wake every fourth time ----> thread: hash slot, done += 1
 *              ring full, or content at its end: wake, and wait    <---- message when half of the ring is free, or the digest
 */
import type { Worker } from "node:worker_threads";
import { CodedError } from "#base/errors.ts";
import { digestAlgorithm, hasherFor, type ContentIdentity, type Digest } from "#spec/digest.ts";

/** A hash of passing content: feed all of it, waiting where a promise comes back, then ask once. */
export interface PassingHash {
  /** Bytes seen so far. */
  readonly size: number;
  update(bytes: Uint8Array): Promise<void> | void;
  finish(): Promise<ContentIdentity> | ContentIdentity;
}

const slotBytes = 256 << 10;
/** A power of 2: the counts of slots are of 32 bits, and begin anew. */
const slotCount = 8;
const slotsPerWake = 4;
const headerBytes = 256;
/** Where in the header (32-bit words) what is: the lengths of the slots are the last. */
const word = { filled: 0, done: 1, isWanted: 2, isClosed: 3, lengths: 8 } as const;
/** Stands for a length: what came before it is one content. */
const endMark = -1;

/**
 * The thread's own program; as text, because an executable and a bundle have no file of it. It knows nothing but the ring. Node takes it for a
 * module where the process was started so (--input-type), which has no `require`.
 */
const program = `
const { parentPort, workerData } = process.getBuiltinModule("node:worker_threads");
const { createHash } = process.getBuiltinModule("node:crypto");
const { memory, word, slotBytes, slotCount, headerBytes, endMark } = workerData;
const header = new Int32Array(memory, 0, headerBytes / 4);
let hash, done = Atomics.load(header, word.done);
for (;;) {
  while (Atomics.load(header, word.filled) === done) Atomics.wait(header, word.filled, done);
  if (Atomics.load(header, word.isClosed) === 1) break;
  const slot = done & (slotCount - 1);
  const length = header[word.lengths + slot];
  const bytes = new Uint8Array(memory, headerBytes + slot * slotBytes, Math.abs(length));
  if (length === endMark) {
    parentPort.postMessage(hash.digest("hex"));
    hash = undefined;
  } else if (hash === undefined) hash = createHash(String.fromCharCode(...bytes));
  else hash.update(bytes);
  Atomics.store(header, word.done, done = (done + 1) | 0);
  if (((Atomics.load(header, word.filled) - done) | 0) <= slotCount / 2 && Atomics.exchange(header, word.isWanted, 0) === 1) parentPort.postMessage("");
}
`;

/** A thread that hashes one content after another. Close it, or the process goes on. */
export class HashThread implements Disposable {
  readonly #memory = new SharedArrayBuffer(headerBytes + slotCount * slotBytes);
  readonly #header = new Int32Array(this.#memory, 0, headerBytes / 4);
  readonly #slots = new Uint8Array(this.#memory, headerBytes);
  readonly #worker: Worker;
  #filled: number;
  #digest: string | undefined;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  /** `firstSlot` is where the count of slots begins. @throws the runtime's own error where no thread can be had */
  constructor(firstSlot = 0) {
    this.#filled = this.#header[word.filled] = this.#header[word.done] = firstSlot | 0;
    // Not imported: nothing small needs it.
    const { Worker } = process.getBuiltinModule("node:worker_threads");
    this.#worker = new Worker(program, {
      eval: true,
      // What the process was told to load first is not for this thread.
      execArgv: [],
      workerData: { memory: this.#memory, word, slotBytes, slotCount, headerBytes, endMark },
    });
    this.#worker.on("message", (text: string) => {
      if (text !== "") this.#digest = text;
      this.#wake?.();
    });
    this.#worker.on("error", (error: Error) => {
      this.#fail(error.message);
    });
    this.#worker.on("exit", () => {
      this.#fail("its thread has ended");
    });
  }

  /** Begins a content that is expected to be `digest`; the one before must be finished. @throws CodedError `unsupported` for an unknown algorithm */
  begin(digest: Digest): PassingHash {
    const algorithm = digestAlgorithm(digest);
    // For its error alone.
    hasherFor(digest);
    const named = this.#put(Buffer.from(algorithm, "latin1"));
    // Who feeds or finishes gets the error.
    named?.catch(() => undefined);
    let size = 0;
    return {
      get size() {
        return size;
      },
      update: (bytes) => {
        size += bytes.length;
        return named === undefined && bytes.length <= slotBytes ? this.#put(bytes) : this.#putAll(named, bytes);
      },
      finish: async () => {
        await named;
        return { digest: `${algorithm}:${await this.#finish()}` as Digest, size };
      },
    };
  }

  [Symbol.dispose](): void {
    Atomics.store(this.#header, word.isClosed, 1);
    this.#announce();
    this.#wakeThread();
    this.#worker.removeAllListeners("exit");
  }

  get #hasRoom(): boolean {
    return ((this.#filled - Atomics.load(this.#header, word.done)) | 0) < slotCount;
  }

  async #putAll(before: Promise<void> | undefined, bytes: Uint8Array): Promise<void> {
    await before;
    for (let at = 0; at < bytes.length; at += slotBytes) await this.#put(bytes.subarray(at, at + slotBytes));
  }

  #put(bytes: Uint8Array, length: number = bytes.length): Promise<void> | undefined {
    if (!this.#hasRoom) return this.#room().then(() => this.#put(bytes, length));
    this.#fill(bytes, length);
    return undefined;
  }

  #fill(bytes: Uint8Array, length: number): void {
    const slot = this.#filled & (slotCount - 1);
    this.#slots.set(bytes, slot * slotBytes);
    this.#header[word.lengths + slot] = length;
    this.#announce();
  }

  #announce(): void {
    this.#filled = (this.#filled + 1) | 0;
    Atomics.store(this.#header, word.filled, this.#filled);
    // It is faster than what feeds it: waking it for each slot would be most of the work.
    if (this.#filled % slotsPerWake === 0) this.#wakeThread();
  }

  #wakeThread(): void {
    Atomics.notify(this.#header, word.filled);
  }

  async #finish(): Promise<string> {
    await this.#put(new Uint8Array(0), endMark);
    for (;;) {
      const digest = this.#digest;
      this.#digest = undefined;
      if (digest !== undefined) return digest;
      await this.#message();
    }
  }

  /** Resolves when a slot is free. */
  async #room(): Promise<void> {
    while (!this.#hasRoom) {
      Atomics.store(this.#header, word.isWanted, 1);
      // It may have been done with all of them before it could see that.
      if (this.#hasRoom) return;
      await this.#message();
    }
  }

  /** Resolves with the next message. @throws CodedError `internal` when none will come */
  async #message(): Promise<void> {
    this.#wakeThread();
    if (this.#failure === undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#failure !== undefined) throw this.#failure;
  }

  #fail(fact: string): void {
    this.#failure ??= new CodedError("internal", `cannot hash beside: ${fact}`);
    this.#wake?.();
  }
}

/** Smaller contents are hashed sooner than a thread starts, about 15 ms. In compressed bytes. */
const worthwhileBytes = 8 << 20;

/** Hashes for contents that come one after another: a thread makes those of large ones, once there is one and a core for it. */
export class HashingBeside implements Disposable {
  #thread: HashThread | undefined;
  #isRefused = false;

  /** Begins a content of `size` compressed bytes; the one before must be finished. @throws CodedError `unsupported` for an unknown algorithm */
  begin(digest: Digest, size: number): PassingHash {
    if (size < worthwhileBytes || process.getBuiltinModule("node:os").availableParallelism() < 2) return hasherFor(digest);
    return this.#findThread()?.begin(digest) ?? hasherFor(digest);
  }

  /** Undefined where no thread can be had: over a limit of processes, or where Node's permissions forbid it. */
  #findThread(): HashThread | undefined {
    if (this.#thread !== undefined || this.#isRefused) return this.#thread;
    try {
      this.#thread = new HashThread();
    } catch {
      this.#isRefused = true;
    }
    return this.#thread;
  }

  [Symbol.dispose](): void {
    this.#thread?.[Symbol.dispose]();
  }
}
