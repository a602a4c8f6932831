/**
 * A blob that is still on its way into a directory store, read from its beginning as it grows.
 *
 * Whoever reads is given bytes that nobody has verified yet, so nothing made of them counts before the reading is over: it ends without an error
 * only when the blob is in the store, which its download has compared with its digest.
 */
import { open, type FileHandle } from "node:fs/promises";
import { CodedError, isErrno } from "#base/errors.ts";
import { verifyContent, type Digest } from "#spec/digest.ts";
import { readFileChunks } from "#sys/file-chunks.ts";
import { blobPath, partialPath } from "./paths.ts";

const chunkBytes = 256 << 10;

/** A blob of the layout in `root`, and how much of it is there. */
export class GrowingBlob {
  readonly #root: string;
  readonly #digest: Digest;
  readonly #waiting = new Set<() => void>();
  #doneBytes = 0;
  #restarts = 0;
  #isWhole = false;
  #wasReadEarly = false;
  #failure: Error | undefined;

  constructor(root: string, digest: Digest) {
    this.#root = root;
    this.#digest = digest;
  }

  /** So many bytes are in the file of the download. Fewer than before mean that it began anew: who has read old ones gets an error. */
  advance(doneBytes: number): void {
    if (doneBytes < this.#doneBytes) this.#restarts++;
    this.#doneBytes = doneBytes;
    this.#wake();
  }

  /** The blob is in the store. */
  complete(): void {
    this.#isWhole = true;
    this.#wake();
  }

  /** It will not come: who waits, now or later, gets the error. A blob that is there stays there. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  /** All bytes, each as soon as it is there. @throws CodedError `unavailable` with the reason `restarted`, or what `fail` was given */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#until(() => this.#doneBytes > 0);
    const file = this.#isWhole ? undefined : await openIfThere(partialPath(this.#root, this.#digest));
    if (file === undefined) {
      // It got its name between the look and the opening, or another process brought it.
      await this.whole();
      return yield* verifyContent(readFileChunks(blobPath(this.#root, this.#digest)), { digest: this.#digest });
    }
    try {
      yield* this.#follow(file);
    } finally {
      await file.close();
    }
  }

  /** Resolves once the blob is in the store. */
  async whole(): Promise<void> {
    await this.#until(() => false);
  }

  /** Resolves with true, once the blob is in the store, when somebody has read bytes of it before that: they may have been wrong ones. */
  async settle(): Promise<boolean> {
    if (!this.#wasReadEarly) return false;
    this.#wasReadEarly = false;
    await this.whole();
    return true;
  }

  async *#follow(file: FileHandle): AsyncGenerator<Uint8Array, void, undefined> {
    const restarts = this.#restarts;
    this.#wasReadEarly = true;
    for (let at = 0; ;) {
      await this.#until(() => this.#doneBytes > at || this.#restarts > restarts);
      if (this.#restarts > restarts)
        throw new CodedError("unavailable", `cannot read ${this.#digest}: its download began anew`, { details: { reason: "restarted" } });
      const wanted = this.#isWhole ? chunkBytes : Math.min(chunkBytes, this.#doneBytes - at);
      const chunk = Buffer.allocUnsafeSlow(wanted);
      const { bytesRead } = await file.read(chunk, 0, wanted, at);
      // The rename keeps the file that is open: its end is the blob's.
      if (bytesRead === 0 && this.#isWhole) return;
      at += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
  }

  /** Waits until `isReady`, or until there is nothing more to wait for. */
  async #until(isReady: () => boolean): Promise<void> {
    for (;;) {
      if (this.#isWhole) return;
      if (this.#failure !== undefined) throw this.#failure;
      if (isReady()) return;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
