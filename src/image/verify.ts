/** Checks a whole store: every byte, every reference, every document, and that nothing lies around. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { findDigestFault, verifyBytes, type Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import { findFile } from "#sys/fs.ts";
import { listOwned } from "#sys/owner.ts";
import { isContainerImage, readDocument, readImage } from "./image.ts";
import { nameOf, requireLayout, type ImageLayout } from "./layout.ts";
import { childrenOf } from "./reachable.ts";

/** Something that is not as it should be. */
export interface Problem {
  /** A sentence that names the object. */
  readonly message: string;
  /** The blob, when it is about one. */
  readonly digest?: Digest;
}

/** All problems of the store, in the order of the walk; none for a clean one. Reads every blob. */
export async function verifyLayout(layout: ImageLayout): Promise<Problem[]> {
  const problems: Problem[] = [];
  await check(problems, () => requireLayout(layout.path));
  await verifyBlobNames(layout.path, problems);
  const bad = await verifyBlobs(layout, problems);
  await check(problems, async () => {
    const { manifests } = await layout.readIndex();
    verifyNames(manifests, problems);
    await verifyReferences(layout, { roots: manifests, bad }, problems);
  });
  for (const directory of [layout.path, join(layout.path, "tmp")]) {
    const stale = (await listOwned(directory)).filter(({ leftBehind }) => leftBehind);
    problems.push(...stale.map(({ name }) => ({ message: `${join(directory, name)} was left behind by a process that ended` })));
  }
  return problems;
}

async function verifyBlobNames(path: string, problems: Problem[]): Promise<void> {
  const blobs = join(path, "blobs");
  if ((await findFile(blobs))?.isDirectory() !== true) return void problems.push({ message: `${blobs} is not a directory` });
  for (const algorithm of await readdir(blobs)) {
    if ((await findFile(join(blobs, algorithm)))?.isDirectory() !== true) {
      problems.push({ message: `${join(blobs, algorithm)} is not a directory` });
      continue;
    }
    for (const encoded of await readdir(join(blobs, algorithm))) {
      const fault = findDigestFault(`${algorithm}:${encoded}`);
      if (fault !== undefined) problems.push({ message: `${join(blobs, algorithm, encoded)} has no digest for a name: ${fault}` });
    }
  }
}

/** Hashes every blob; those that are not what their name says are returned, so that they are reported once. */
async function verifyBlobs(layout: ImageLayout, problems: Problem[]): Promise<ReadonlySet<Digest>> {
  const bad = new Set<Digest>();
  for await (const digest of layout.blobs.list()) {
    const isGood = await check(
      problems,
      async () => {
        for await (const _chunk of layout.blobs.open(digest));
      },
      digest,
    );
    if (!isGood) bad.add(digest);
  }
  return bad;
}

function verifyNames(entries: readonly Descriptor[], problems: Problem[]): void {
  const names = entries.flatMap((entry) => nameOf(entry) ?? []);
  const twice = new Set(names.filter((name, index) => names.indexOf(name) !== index));
  for (const name of twice) problems.push({ message: `index.json has several entries of the name ${JSON.stringify(name)}` });
}

async function verifyReferences(
  layout: ImageLayout,
  { roots, bad }: { roots: readonly Descriptor[]; bad: ReadonlySet<Digest> },
  problems: Problem[],
): Promise<void> {
  const seen = new Set<Digest>();
  const pending = roots.map((descriptor) => ({ descriptor, from: "index.json" }));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { descriptor } = next;
    const isHere = await verifyDescriptor(layout, next, problems);
    if (!isHere || bad.has(descriptor.digest) || seen.has(descriptor.digest)) continue;
    seen.add(descriptor.digest);
    const kind = documentKind(descriptor.mediaType);
    if (kind !== "manifest" && kind !== "index") continue;
    await check(
      problems,
      async () => {
        const document = await readDocument(layout.blobs, descriptor);
        // SPEC: manifest.md: the subject need not exist.
        const children = childrenOf(document).filter((child) => child !== document.subject);
        pending.push(...children.map((child) => ({ descriptor: child, from: descriptor.digest })));
        if (document.kind === "manifest" && isContainerImage(document) && !bad.has(document.config.digest))
          await readImage(layout.blobs, descriptor);
      },
      descriptor.digest,
    );
  }
}

/** True when the blob is here, with the size that the descriptor says. */
async function verifyDescriptor(
  layout: ImageLayout,
  { descriptor, from }: { descriptor: Descriptor; from: string },
  problems: Problem[],
): Promise<boolean> {
  const { digest, data } = descriptor;
  if (data !== undefined) await check(problems, async () => void verifyBytes(Buffer.from(data, "base64"), descriptor), digest);
  const size = await layout.blobs.size(digest).catch(() => undefined);
  if (size === descriptor.size) return true;
  const fact = size === undefined ? `${digest}, which is not here` : `${digest} with ${descriptor.size} bytes, but it has ${size}`;
  problems.push({ message: `${from} refers to ${fact}`, digest });
  return false;
}

/** Runs `work`; an error of ours becomes a problem and false. */
async function check(problems: Problem[], work: () => Promise<void>, digest?: Digest): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    problems.push({ message: error.message, ...(digest === undefined ? {} : { digest }) });
    return false;
  }
}
