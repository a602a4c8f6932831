/** Writes an uncompressed tar of files with nothing that differs between two runs: no times, owners or modes of this machine. */
import { byteStringFromText } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { encodeTarHeader, tarEndBytes, tarPaddingBytes } from "../tar/write.ts";
import type { ByteSink } from "./sink.ts";

/** Takes one file after another. */
export class ArchiveWriter {
  readonly #sink: ByteSink;
  readonly #names = new Set<string>();
  #offset = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** True when a file of this name is in the archive. */
  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** True when a file's name and length can be told after its content. */
  get canRewrite(): boolean {
    return this.#sink.rewrite !== undefined;
  }

  /** Adds the file `name` of exactly `size` bytes. @throws CodedError `corrupt` when the content is not as long */
  async add(name: string, size: number, content: AsyncIterable<Uint8Array>): Promise<void> {
    this.#names.add(name);
    await this.#write(headerOf(name, size));
    let length = 0;
    for await (const chunk of content) {
      length += chunk.length;
      if (length > size) break;
      await this.#write(chunk);
    }
    if (length !== size)
      throw new CodedError(
        "corrupt",
        `cannot write ${name}: its content has ${length > size ? "more than " : ""}${Math.min(length, size)} bytes, not ${size}`,
      );
    await this.#write(Buffer.alloc(tarPaddingBytes(size)));
  }

  /** Adds a file whose name and length `content` tells when it is through; needs a sink that can rewrite. Resolves with what was told. */
  async addUnnamed<T extends { readonly name: string; readonly size: number }>(
    content: AsyncIterable<Uint8Array>,
    tell: () => T,
  ): Promise<T> {
    const start = this.#offset;
    await this.#write(headerOf("unnamed", 0));
    for await (const chunk of content) await this.#write(chunk);
    const told = tell();
    this.#names.add(told.name);
    await this.#sink.rewrite?.(headerOf(told.name, told.size), start);
    await this.#write(Buffer.alloc(tarPaddingBytes(told.size)));
    return told;
  }

  /** Adds a directory, which some readers expect before the files in it. */
  async addDirectory(name: string): Promise<void> {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    await this.#write(encodeTarHeader({ ...plain, kind: "directory", path: byteStringFromText(name), mode: 0o755, size: 0 }));
  }

  /** Ends the archive. */
  async finish(): Promise<void> {
    await this.#write(Buffer.alloc(tarEndBytes));
    await this.#sink.finish();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#sink.write(bytes);
    this.#offset += bytes.length;
  }
}

const plain = { linkPath: byteStringFromText(""), uid: 0, gid: 0, seconds: 0, nanos: 0, major: 0, minor: 0, xattrs: [] };

function headerOf(name: string, size: number): Buffer {
  return encodeTarHeader({ ...plain, kind: "file", path: byteStringFromText(name), mode: 0o644, size });
}
