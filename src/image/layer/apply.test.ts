import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { CodedError } from "#base/errors.ts";
import { OpFailure } from "#program/failure.ts";
import { digestOf } from "#spec/digest.ts";
import { directory, file, whiteout } from "../../../test/support/images/cases/case.ts";
import { decodeRecords, formatOps, RecordingStream } from "../../../test/support/program-stream.ts";
import { tar } from "../../../test/support/images/tar-writer.ts";
import { applyLayer, LayerProgram, type LayerApplication } from "./apply.ts";

const archive = tar([directory("etc", { mtime: 3 }), file("etc/a", "hello", { mtime: 2 }), whiteout("old")]);
const packed = gzipSync(archive);

async function* source(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100) {
    await Promise.resolve();
    yield bytes.subarray(at, at + 100);
  }
}

function application(stream: RecordingStream, changes: Partial<LayerApplication> = {}): LayerApplication {
  return {
    source: source(packed),
    descriptor: { digest: digestOf(packed), size: packed.length, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" },
    diffId: digestOf(archive),
    stream,
    base: false,
    setup: [{ op: "enter-root", path: "/somewhere" }],
    teardown: [{ op: "leave-root" }],
    limits: { maxBytes: 1 << 20, maxEntries: 100 },
    ...changes,
  };
}

async function failure(changes: Partial<LayerApplication>, stream = new RecordingStream()): Promise<CodedError> {
  const error: unknown = await applyLayer(application(stream, changes)).then(
    () => new Error("it was applied without an error"),
    (reason: unknown) => reason,
  );
  expect(stream).toMatchObject({ aborted: true, finished: false });
  if (!(error instanceof CodedError)) throw error;
  return error;
}

const name = digestOf(packed).slice(7, 19);

describe("applyLayer()", () => {
  test("streams a program of the setup, the layer's entries, the teardown and the end", async () => {
    const stream = new RecordingStream();
    const progress: number[] = [];
    const applied = await applyLayer(application(stream, { onProgress: (done) => progress.push(done) }));
    expect(applied).toEqual({ entries: 3, uncompressedBytes: archive.length, ops: 5 });
    expect(stream).toMatchObject({ finished: true, aborted: false });
    expect(stream.bytes.toString("latin1", 0, 8)).toBe("GNTRYPRG");
    expect(formatOps(decodeRecords(stream.bytes, { header: true }))).toEqual([
      "enter-root /somewhere",
      "directory etc 0755 @3 keep-parent",
      "clear-xattrs etc",
      "file etc/a 0644 @2 5 [0+5]",
      "remove old keep-parent",
      "times etc @3",
      "leave-root",
      "end",
    ]);
    expect(progress.at(-1)).toBe(packed.length);
  });

  test("gives the same program for an uncompressed layer, cut into other pieces", async () => {
    const compressed = new RecordingStream();
    const plain = new RecordingStream();
    await applyLayer(application(compressed));
    const descriptor = { digest: digestOf(archive), size: archive.length, mediaType: "application/vnd.docker.image.rootfs.diff.tar" };
    await applyLayer(application(plain, { source: source(archive), descriptor }));
    expect(plain.bytes.equals(compressed.bytes)).toBe(true);
  });

  test("writes large files in pieces while it reads, and all of their bytes", async () => {
    const stream = new RecordingStream();
    const data = Buffer.alloc(5_000_003);
    for (let index = 0; index < data.length; index += 4)
      data.writeUInt32LE(Math.imul(index, 2_654_435_761) >>> 0, Math.min(index, data.length - 4));
    const big = tar([file("before", "x"), file("big", data.toString("latin1")), file("after", "y")]);
    let writes = 0;
    const counting = {
      write: async (bytes: Uint8Array) => (writes++, stream.write(bytes)),
      finish: async () => stream.finish(),
      abort: async () => stream.abort(),
    };
    await applyLayer({
      ...application(stream, {
        source: source(big),
        descriptor: { digest: digestOf(big), size: big.length, mediaType: "application/vnd.oci.image.layer.v1.tar" },
        diffId: digestOf(big),
        limits: { maxBytes: 1 << 30, maxEntries: 9 },
      }),
      stream: counting,
    });
    const [, , op, after] = decodeRecords(stream.bytes, { header: true });
    expect(Buffer.concat((op?.chunks ?? []).map((chunk) => chunk.data)).equals(data)).toBe(true);
    expect(after?.fields["path"]).toBe("after");
    expect(writes).toBeGreaterThan(5);
  });

  test("refuses content of another digest than the descriptor's, naming both", async () => {
    const other = digestOf(Buffer.from("other"));
    const error = await failure({
      descriptor: { digest: other, size: packed.length, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" },
    });
    expect(error.code).toBe("corrupt");
    expect(error.message).toContain(other);
    expect(error.message).toContain(digestOf(packed));
  });

  test("refuses content of another size than the descriptor's", async () => {
    for (const size of [packed.length - 1, packed.length + 1]) {
      const error = await failure({
        descriptor: { digest: digestOf(packed), size, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" },
      });
      expect(error.code).toBe("corrupt");
      expect(error.message).toContain(`not ${size} bytes`);
    }
  });

  test("refuses an archive of another digest than the DiffID, before the program's end is written", async () => {
    const stream = new RecordingStream();
    const other = digestOf(Buffer.from("other"));
    const error = await failure({ diffId: other }, stream);
    expect(error).toMatchObject({
      code: "corrupt",
      message: `cannot apply layer ${name}: its archive has the digest ${digestOf(archive)}, but the image's config says ${other}`,
    });
    expect(stream.bytes).toHaveLength(0);
  });

  test("counts what follows the archive's end into the DiffID", async () => {
    const longer = Buffer.concat([archive, Buffer.alloc(512)]);
    const bytes = gzipSync(longer);
    const descriptor = { digest: digestOf(bytes), size: bytes.length, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" };
    expect((await failure({ source: source(bytes), descriptor })).message).toContain(digestOf(longer));
    expect(
      await applyLayer(application(new RecordingStream(), { source: source(bytes), descriptor, diffId: digestOf(longer) })),
    ).toMatchObject({ uncompressedBytes: longer.length });
  });

  test("stops a bomb of zeros at the limit", async () => {
    const bomb = gzipSync(tar([file("zeros", "\0".repeat(8 << 20))]));
    const descriptor = { digest: digestOf(bomb), size: bomb.length, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" };
    const error = await failure({ source: source(bomb), descriptor });
    expect(error).toMatchObject({
      code: "exhausted",
      message: `cannot apply layer ${digestOf(bomb).slice(7, 19)}: its archive has more than 1048576 bytes`,
    });
  });

  test("names the layer and the entry for what no layer may have", async () => {
    const bad = tar([file("../x", "")]);
    const descriptor = { digest: digestOf(bad), size: bad.length, mediaType: "application/vnd.oci.image.layer.v1.tar" };
    const error = await failure({ source: source(bad), descriptor });
    expect(error).toMatchObject({
      code: "invalid-spec",
      message: `cannot apply layer ${digestOf(bad).slice(7, 19)}: entry "../x": its name contains ".."`,
    });
  });

  test.each<[number, string]>([
    [0, 'the op "enter-root" before its entries'],
    [3, 'entry "etc/a"'],
    [5, 'entry "etc"'],
    [6, "the ops after its entries"],
  ])("tells what op %d was about when it fails", async (index, place) => {
    class FullDisk extends RecordingStream {
      override async finish(): Promise<void> {
        await Promise.resolve();
        throw new OpFailure(index, 28);
      }
    }
    const error = await failure({}, new FullDisk());
    expect(error).toMatchObject({ code: "exhausted", message: `cannot apply layer ${name}: ${place}: no space left on device (ENOSPC)` });
    expect(error.cause).toBeInstanceOf(OpFailure);
  });

  test("ends its source when the executor fails", async () => {
    class Broken extends RecordingStream {
      override async write(): Promise<void> {
        await Promise.resolve();
        throw new OpFailure(1, 30);
      }
    }
    let ended = false;
    const big = tar(Array.from({ length: 2000 }, (_, index) => file(`f${index}`, "x".repeat(1000))));
    async function* watched(): AsyncGenerator<Uint8Array> {
      try {
        yield* source(big);
      } finally {
        ended = true;
      }
    }
    const descriptor = { digest: digestOf(big), size: big.length, mediaType: "application/vnd.oci.image.layer.v1.tar" };
    const error = await failure({ source: watched(), descriptor, limits: { maxBytes: 1e9, maxEntries: 9999 } }, new Broken());
    expect(error.message).toContain('entry "f0": read-only file system (EROFS)');
    expect(ended).toBe(true);
  });
});

describe("LayerProgram", () => {
  const second = tar([file("etc/b", "two", { mtime: 4 })]);
  const layerOf = (bytes: Uint8Array): Omit<LayerApplication, "stream" | "setup" | "teardown"> => ({
    source: source(bytes),
    descriptor: { digest: digestOf(bytes), size: bytes.length, mediaType: "application/vnd.oci.image.layer.v1.tar" },
    diffId: digestOf(bytes),
    base: false,
    limits: { maxBytes: 1 << 20, maxEntries: 100 },
  });

  test("sends layers one after another, with one setup and one end", async () => {
    const stream = new RecordingStream();
    const program = new LayerProgram(stream, [{ op: "enter-root", path: "/somewhere" }]);
    expect(await program.apply(layerOf(archive))).toMatchObject({ ops: 5 });
    expect(await program.apply(layerOf(second))).toMatchObject({ ops: 2 });
    await program.finish([{ op: "leave-root" }]);
    expect(formatOps(decodeRecords(stream.bytes, { header: true })).slice(4)).toEqual([
      "remove old keep-parent",
      "times etc @3",
      "parents etc",
      "file etc/b 0644 @4 3 [0+3] keep-parent",
      "leave-root",
      "end",
    ]);
  });

  test.each<[number, Uint8Array, string]>([
    [3, archive, 'entry "etc/a"'],
    [7, second, 'entry "etc/b"'],
    [8, second, "the ops after its entries"],
  ])("knows which layer op %d belongs to", async (index, bytes, place) => {
    class FullDisk extends RecordingStream {
      override async finish(): Promise<void> {
        await Promise.resolve();
        throw new OpFailure(index, 28);
      }
    }
    const program = new LayerProgram(new FullDisk(), [{ op: "enter-root", path: "/somewhere" }]);
    for (const layer of [archive, second]) await program.apply(layerOf(layer));
    const layer = digestOf(bytes).slice(7, 19);
    const error: unknown = await program.finish([]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ message: `cannot apply layer ${layer}: ${place}: no space left on device (ENOSPC)` });
  });
});
