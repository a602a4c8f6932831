import { expect, test } from "bun:test";
import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { LayoutWriter, mediaTypes, type WrittenDescriptor } from "../../test/support/images/layout-writer.ts";
import { scratchDirectory } from "../../test/support/scratch-directory.ts";
import { inProcessLock } from "../../test/support/in-process-lock.ts";
import { tar } from "../../test/support/images/tar-writer.ts";
import { copyImage, type CopyOptions } from "./copy.ts";
import { nameOf, openLayout, type ImageLayout } from "./layout.ts";
import { readReferrers } from "./referrers.ts";
import { openLayoutDirectory } from "./source/layout-directory.ts";
import { openLayoutTarget } from "./target/layout.ts";
import { verifyLayout } from "./verify.ts";

interface Fixture {
  readonly writer: LayoutWriter;
  readonly source: string;
  readonly target: string;
  readonly copy: (options?: Partial<CopyOptions>) => Promise<ImageLayout>;
}

async function withFixture(body: (fixture: Fixture) => Promise<void>): Promise<void> {
  using scratch = scratchDirectory();
  const [source, target] = [join(scratch.path, "source"), join(scratch.path, "target")];
  const copy = async (options: Partial<CopyOptions> = {}): Promise<ImageLayout> => {
    const layout = await openLayout(target, inProcessLock());
    await using from = await openLayoutDirectory(source);
    await using to = await openLayoutTarget(layout, { kind: "directory" });
    const [image] = from.images;
    if (image === undefined) throw new Error("the source has no image");
    const copied = await copyImage(from, to, { root: image.descriptor, platforms: "all", ...options });
    await to.finish([{ names: [], tag: "copy", descriptor: copied.descriptor }], copied.referrers);
    return layout;
  };
  await body({ writer: new LayoutWriter(source), source, target, copy });
}

function image(writer: LayoutWriter, text: string): WrittenDescriptor {
  return writer.image([writer.layer(tar([{ name: "file", data: text }]))]);
}

function blobFile(directory: string, digest: string): string {
  return join(directory, "blobs", digest.replace(":", "/"));
}

const amd64 = { os: "linux", architecture: "amd64" };
const arm64 = { os: "linux", architecture: "arm64", variant: "v8" };
const armV7 = { os: "linux", architecture: "arm", variant: "v7" };

function platforms(writer: LayoutWriter): { index: WrittenDescriptor; children: WrittenDescriptor[] } {
  const children = [amd64, arm64, armV7].map((platform) => ({ ...image(writer, JSON.stringify(platform)), platform }));
  const index = writer.json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: children, unknown: [1] }, mediaTypes.index);
  writer.tag(index, "multi");
  return { index, children };
}

test("J2 D8: a copy of an image has the same bytes under the same digests", async () => {
  await withFixture(async ({ writer, source, target, copy }) => {
    const manifest = image(writer, "hello");
    writer.tag(manifest, "v1");
    const layout = await copy();
    const [entry, ...others] = (await layout.readIndex()).manifests;
    expect(others).toEqual([]);
    expect(entry?.digest as string).toBe(manifest.digest);
    expect(nameOf(entry as never)).toBe("copy");
    expect(readFileSync(blobFile(target, manifest.digest))).toEqual(readFileSync(blobFile(source, manifest.digest)));
    expect(await verifyLayout(layout)).toEqual([]);
  });
});

test("I2 I5: all platforms keep the index whole, nested indexes too", async () => {
  await withFixture(async ({ writer, copy }) => {
    const { index, children } = platforms(writer);
    const outer = writer.json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [index] }, mediaTypes.index);
    writer.tag(outer, "nested");
    const layout = await copy();
    expect((await layout.readIndex()).manifests.map(({ digest }) => digest as string)).toEqual([outer.digest]);
    for (const { digest } of [index, ...children]) expect(await layout.blobs.size(digest as never)).toBeDefined();
    expect(await verifyLayout(layout)).toEqual([]);
  });
});

test("I4: one platform takes the best manifest alone", async () => {
  await withFixture(async ({ writer, copy }) => {
    const { children } = platforms(writer);
    const layout = await copy({ platforms: [{ os: "linux", architecture: "arm64" }] });
    expect((await layout.readIndex()).manifests[0]?.digest as string).toBe(children[1]?.digest as string);
    expect(await layout.blobs.size(children[0]?.digest as never)).toBeUndefined();
  });
});

test("several platforms make an index of their entries", async () => {
  await withFixture(async ({ writer, copy }) => {
    const { index, children } = platforms(writer);
    const layout = await copy({ platforms: [amd64, armV7] });
    const [entry] = (await layout.readIndex()).manifests;
    expect(entry?.digest as string).not.toBe(index.digest);
    const made = JSON.parse(readFileSync(blobFile(layout.path, entry?.digest as string), "utf8")) as { manifests: unknown[] };
    expect(made.manifests).toEqual([children[0], children[2]]);
    expect(await layout.blobs.size(children[1]?.digest as never)).toBeUndefined();
  });
});

test("a platform that is not there is refused with those that are", async () => {
  await withFixture(async ({ writer, copy }) => {
    platforms(writer);
    await expect(copy({ platforms: [{ os: "linux", architecture: "s390x" }] })).rejects.toThrow(
      "it has linux/amd64, linux/arm64/v8, linux/arm/v7",
    );
  });
});

test("M3 M6: an artifact of unknown types is copied, and so are its referrers on request", async () => {
  await withFixture(async ({ writer, copy }) => {
    const subject = image(writer, "signed");
    const empty = { ...writer.blob(Buffer.from("{}"), "application/vnd.oci.empty.v1+json"), data: "e30=" };
    const signature = writer.json(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        artifactType: "application/x-signature",
        config: empty,
        layers: [writer.blob(Buffer.from("sign"), "application/x-unknown")],
        subject,
      },
      mediaTypes.manifest,
    );
    const index = writer.json(
      { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [{ ...signature, artifactType: "application/x-signature" }] },
      mediaTypes.index,
    );
    const name = (text: string): object => ({ annotations: { "org.opencontainers.image.ref.name": text } });
    writer.index([
      { ...subject, ...name("v1") },
      { ...index, ...name(subject.digest.replace(":", "-")) },
    ]);
    expect((await (await copy()).readIndex()).manifests).toHaveLength(1);
    const layout = await copy({ referrers: true });
    const { manifests } = await layout.readIndex();
    const found = await readReferrers(layout.blobs, manifests, subject.digest as never);
    expect(found.map(({ digest }) => digest as string)).toEqual([signature.digest]);
    expect(await verifyLayout(layout)).toEqual([]);
  });
});

test("D6: a blob with other content than its digest says is refused, and nothing gets a name", async () => {
  await withFixture(async ({ writer, source, target, copy }) => {
    const layer = writer.layer(tar([{ name: "file", data: "right" }]));
    writer.tag(writer.image([layer]), "v1");
    const path = blobFile(source, layer.descriptor.digest);
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    await Bun.write(path, bytes);
    await expect(copy()).rejects.toThrow("its content has the digest");
    expect((await (await openLayout(target, inProcessLock())).readIndex()).manifests).toEqual([]);
  });
});

test("D9 layers that may not be passed on are left out where the source lacks them", async () => {
  await withFixture(async ({ writer, source, copy }) => {
    const layer = writer.layer(tar([{ name: "file", data: "theirs" }]));
    const foreign = {
      ...layer.descriptor,
      mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
      urls: ["https://example.org/layer"],
    };
    writer.tag(writer.image([{ ...layer, descriptor: foreign }]), "v1");
    rmSync(blobFile(source, foreign.digest));
    const skipped: string[] = [];
    await copy({ done: (blob, outcome) => (outcome === "skipped" ? skipped.push(blob.digest) : undefined) });
    expect(skipped).toEqual([foreign.digest]);
  });
});

test("Docker's schema 1 is refused by name", async () => {
  await withFixture(async ({ writer, copy }) => {
    writer.tag(writer.json({ schemaVersion: 1 }, "application/vnd.docker.distribution.manifest.v1+prettyjws"), "old");
    await expect(copy()).rejects.toThrow("Docker's schema 1");
  });
});

test("between directories of one owner blobs are hard links; what others could write to is copied", async () => {
  await withFixture(async ({ writer, source, target, copy }) => {
    const manifest = image(writer, "shared");
    const other = writer.layer(tar([{ name: "file", data: "open to all" }]));
    writer.tag(writer.image([other]), "v1");
    await Bun.$`chmod 666 ${blobFile(source, other.descriptor.digest)}`.quiet();
    await copy();
    expect(statSync(blobFile(target, other.descriptor.digest)).ino).not.toBe(statSync(blobFile(source, other.descriptor.digest)).ino);
    writer.tag(manifest, "v1");
    await copy();
    const { config } = JSON.parse(readFileSync(blobFile(source, manifest.digest), "utf8")) as { config: WrittenDescriptor };
    expect(statSync(blobFile(target, config.digest)).ino).toBe(statSync(blobFile(source, config.digest)).ino);
  });
});
