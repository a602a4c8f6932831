/** What a container has changed in its image's tree. */
import { join } from "node:path";
import type { ByteString } from "#base/byte-string.ts";
import { byteStringFromText } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { packChanges } from "#image/layer/pack.ts";
import { joinPath, parentOf, type Change, type Changeset } from "#image/tree/change.ts";
import { diffTrees } from "#image/tree/diff.ts";
import type { Listing, ListedEntry } from "#image/tree/listing.ts";
import type { Place as Survey } from "#image/tree/survey.ts";
import { diffUpper } from "#image/tree/upper.ts";
import { readImage } from "#image/image.ts";
import { parseDigest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { makeDirectory, readTextIfThere } from "#sys/small-files.ts";
import { readContainer, readContainers } from "../containers/list.ts";
import { findContainer } from "../containers/names.ts";
import { whilePaused } from "../containers/pause.ts";
import type { Container } from "../containers/record.ts";
import { unpackOptions } from "../unpacked.ts";
import { containerPaths } from "../paths.ts";
import type { Place } from "../place.ts";
import { fillTree, layerTrees } from "../rootfs/layers.ts";
import { makeImage, withNewLayer, type NewImage, type NewImageRequest } from "./new-image.ts";
import { layersOf } from "./unpack.ts";
import { viewTrees } from "./views.ts";

/** What is made of a container. */
export interface CommitRequest extends NewImageRequest {
  readonly container: string;
  /** Whether it is held still meanwhile. */
  readonly pause: boolean;
}

/** A path that a container has added (A), changed (C) or deleted (D). */
export interface ContainerChange {
  readonly kind: "A" | "C" | "D";
  /** Absolute. */
  readonly path: ByteString;
}

/** The changes of a container, by path. @throws CodedError `not-found` */
export async function diffContainer(place: Place, reference: string): Promise<ContainerChange[]> {
  const container = findIt(place, reference);
  const letters = { added: "A", modified: "C", deleted: "D" } as const;
  const { changes } = await withChanges(place, container, (found) => Promise.resolve(found));
  return Array.from(changes, ({ kind, path }) => ({ kind: letters[kind], path: `/${path}` as ByteString })).sort((one, other) =>
    one.path < other.path ? -1 : 1,
  );
}

/** Makes an image of a container's image and its changes. @throws CodedError `not-found`, `wrong-state` when its files change meanwhile */
export async function commitContainer(place: Place, request: CommitRequest): Promise<NewImage> {
  const container = findIt(place, request.container);
  const base = { home: { name: "store", layout: await place.layout() }, manifest: manifestOf(container) };
  const work = (): Promise<NewImage> =>
    withChanges(place, container, async (found) => {
      const archive = found.changes.length === 0 ? undefined : pack(found, request);
      return await makeImage(place, base, { request, make: (documents, target) => withNewLayer(documents, target, { archive, request }) });
    });
  return request.pause ? await whilePaused(place, container, work) : await work();
}

function findIt(place: Place, reference: string): Container {
  const records = readContainers(place.paths).map(({ record }) => record);
  const container = readContainer(place.paths, findContainer(reference, records).id);
  if (container === undefined) throw new CodedError("not-found", `cannot find container ${reference}: it has just been removed`);
  return container;
}

function manifestOf({ record }: Container): Descriptor {
  return { ...record.manifest, digest: parseDigest(record.manifest.digest) };
}

/** Changes, and where the files that they are about can be read. */
interface FoundChanges {
  readonly changes: Changeset;
  readonly directory: (path: ByteString) => ListedEntry | undefined;
  readonly survey: Survey;
  readonly tree: ByteString;
}

const [lower, upper, merged] = ["lower", "upper", "merged"].map(byteStringFromText) as [ByteString, ByteString, ByteString];

async function withChanges<T>(place: Place, container: Container, use: (found: FoundChanges) => Promise<T>): Promise<T> {
  const directory = place.makeTemporary();
  try {
    const found = await find(place, container, directory);
    return await use({ ...found, changes: withoutMountPoints(found, mountPoints(place, container)) });
  } finally {
    await place.removeTrees([directory]);
  }
}

async function find(place: Place, { record }: Container, directory: string): Promise<FoundChanges & { readonly listing: Listing }> {
  const files = containerPaths(place.paths, record.id);
  if (record.snapshotter === "copy") {
    const base = join(directory, "base");
    makeDirectory(base, 0o755);
    const layout = await place.layout();
    const image = await readImage(layout.blobs, manifestOf({ record } as Container));
    await fillTree(layersOf({ home: { name: "store", layout }, image }), { tree: base, accounts: directory }, unpackOptions(place, {}));
    return await compareWhole(viewTrees(place, directory, { lower: [base], merged: [files.rootfs] }));
  }
  const trees = layerTrees(place.paths.layers, record.layers);
  const survey = viewTrees(place, directory, { lower: trees, upper: [files.upper], merged: [...trees, files.upper] });
  try {
    const { changes, upper: listing } = await diffUpper(survey, { upper, lower });
    return { changes, directory: (path) => listing.self(path), survey, tree: upper, listing };
  } catch (error) {
    // Where the kernel has noted a change without making it, only the whole trees tell.
    if (!(error instanceof CodedError) || error.code !== "unsupported") throw error;
    return await compareWhole(survey);
  }
}

async function compareWhole(survey: Survey): Promise<FoundChanges & { readonly listing: Listing }> {
  const { changes, after } = await diffTrees(survey, { before: lower, after: merged });
  return {
    changes: changes.withoutRoot(),
    directory: (path) => after.self(path),
    survey,
    tree: merged,
    listing: after,
  };
}

function pack({ changes, directory, survey, tree }: FoundChanges, { sourceDateEpoch }: NewImageRequest): AsyncIterable<Uint8Array> {
  return packChanges({
    changes,
    directory,
    place: survey,
    nameIn: (path) => joinPath(tree, path),
    ...(sourceDateEpoch === undefined ? {} : { latestSeconds: sourceDateEpoch }),
  });
}

/** Where something is mounted in the container, by its config. */
function mountPoints(place: Place, { record }: Container): ReadonlySet<ByteString> {
  const text = readTextIfThere(containerPaths(place.paths, record.id).config);
  const config = (text === undefined ? {} : JSON.parse(text)) as { readonly mounts?: readonly { readonly destination: string }[] };
  return new Set((config.mounts ?? []).map(({ destination }) => byteStringFromText(destination.replace(/^\/+|\/+$/g, ""))));
}

/** An empty file or directory that was only made for something to be mounted on is no change; nor is the time of the directory that holds it. */
function withoutMountPoints(found: FoundChanges & { readonly listing: Listing }, points: ReadonlySet<ByteString>): Changeset {
  const isMade = (change: Change): boolean =>
    change.kind === "added" &&
    points.has(change.path) &&
    ((change.entry.kind === "file" && change.entry.size === 0) ||
      (change.entry.kind === "directory" && found.listing.entries(change.path).next().done === true));
  const made = new Set<ByteString>();
  for (const change of found.changes) if (isMade(change)) made.add(change.path);
  if (made.size === 0) return found.changes;
  const holders = new Set(Array.from(made, (path) => parentOf(path)));
  for (const { path } of found.changes) if (!made.has(path)) holders.delete(parentOf(path));
  return found.changes.filter(
    (change) => !made.has(change.path) && !(change.kind === "modified" && change.entry.kind === "directory" && holders.has(change.path)),
  );
}
