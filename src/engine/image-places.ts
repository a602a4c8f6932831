/** Opening the places that people name: the store, layouts, archives, registries. */
import { resolve } from "node:path";
import { CodedError } from "#base/errors.ts";
import { getEntry } from "#image/images.ts";
import type { PlatformChoice } from "#image/copy.ts";
import type { Registries } from "#image/registry/registries.ts";
import { chooseImage } from "#image/source/choose.ts";
import { openImageSource } from "#image/source/open.ts";
import type { ImageSource, SourceImage } from "#image/source/source.ts";
import { openStoredImages } from "#image/source/stored.ts";
import type { ImageTarget } from "#image/target.ts";
import { openDockerArchiveTarget } from "#image/target/docker-archive.ts";
import { openDirectoryTarget, openLayoutTarget } from "#image/target/layout.ts";
import { openOciArchiveTarget } from "#image/target/oci-archive.ts";
import { pathSink, type ByteSink } from "#image/target/sink.ts";
import { formatImagePlace, type ImagePlace } from "#image/transport.ts";
import { hostPlatform, parsePlatform } from "#spec/platform.ts";
import { isDirectoryAt } from "#sys/small-files.ts";
import type { CopyRequest } from "./requests.ts";
import type { Place } from "./place.ts";

/** What opening needs to know of a request. */
export type PlaceOptions = Pick<CopyRequest, "platforms" | "insecure">;

/** The platforms that a request asks for: the host's unless told. @throws CodedError `invalid-argument` */
export function platformsOf({ platforms }: PlaceOptions): PlatformChoice {
  if (platforms === "all") return "all";
  return platforms === undefined || platforms.length === 0 ? [hostPlatform()] : platforms.map(parsePlatform);
}

/** A place with the one image in it that was meant. */
export interface OpenedSource extends AsyncDisposable {
  readonly source: ImageSource;
  readonly image: SourceImage;
}

/** Opens a place for reading and finds the image. @throws CodedError `not-found`, `invalid-argument`, … */
export async function openSource(place: Place, from: ImagePlace, request: PlaceOptions): Promise<OpenedSource> {
  const source = await openPlace(place, from, request);
  try {
    const platforms = platformsOf(request);
    const platform = platforms === "all" ? hostPlatform() : (platforms[0] ?? hostPlatform());
    const isChosen = from.transport === "store" || from.transport === "docker";
    const choice = isChosen ? { platform } : { name: from.name, platform, ...("digest" in from ? { digest: from.digest } : {}) };
    return { source, image: chooseImage(source, choice), [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() };
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
}

async function openPlace(place: Place, from: ImagePlace, request: PlaceOptions): Promise<ImageSource> {
  if (from.transport === "docker") {
    const registries = await registriesFor(place, request);
    const { openRegistrySource } = await import("#image/registry/source.ts");
    return await openRegistrySource(registries, await registries.resolve(from.name));
  }
  if (from.transport === "store") {
    if (!place.exists)
      throw new CodedError(
        "not-found",
        `cannot find image ${from.name}: nothing is stored at ${place.paths.root} (gantry load puts images there)`,
      );
    const layout = await place.layout();
    return await openStoredImages(layout, [await getEntry(layout, from.name)]);
  }
  const path = resolve(from.path);
  if (from.transport === "oci" && !isDirectoryAt(path))
    throw new CodedError("not-found", `cannot open ${from.path} as an image layout: there is no such directory`);
  if (from.transport !== "oci" && isDirectoryAt(path))
    throw new CodedError("invalid-argument", `cannot open ${from.path} as an archive: it is a directory; a layout is oci:${from.path}`);
  return await openImageSource(path, { spoolDirectory: place.paths.temporary });
}

/** Opens a place for writing. @throws CodedError */
export async function openTarget(place: Place, to: ImagePlace, request: PlaceOptions): Promise<ImageTarget> {
  switch (to.transport) {
    case "docker": {
      const registries = await registriesFor(place, request);
      const { openRegistryTarget } = await import("#image/registry/target.ts");
      return await openRegistryTarget(registries, await registries.resolve(to.name));
    }
    case "store":
      return await openLayoutTarget(await place.layout(), { kind: "store" });
    case "oci":
      if ("digest" in to)
        throw new CodedError("invalid-argument", `cannot copy to ${formatImagePlace(to)}: what is copied has the digest that it has`);
      return await openDirectoryTarget(resolve(to.path));
    default:
      return archiveTarget(place, await pathSink(resolve(to.path)), { name: to.path, isDocker: to.transport === "docker-archive" });
  }
}

/** An archive that is written to `sink`. */
export function archiveTarget(place: Place, sink: ByteSink, { name, isDocker }: { name: string; isDocker: boolean }): ImageTarget {
  if (!isDocker) return openOciArchiveTarget(sink, name);
  place.prepare();
  return openDockerArchiveTarget(sink, { name, spoolDirectory: place.paths.temporary });
}

/** Loaded on use: most copies never leave this machine. */
async function registriesFor(place: Place, { insecure }: PlaceOptions): Promise<Registries> {
  const { openRegistries } = await import("./registry/access.ts");
  return openRegistries(place.registries, insecure === undefined ? {} : { insecure });
}
