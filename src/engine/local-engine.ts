/** The engine of this machine: `Engine` on top of a place. */
import { readContainers } from "./containers/list.ts";
import type { Engine, TreeWork } from "./engine.ts";
import * as images from "./images.ts";
import { Place, type PlaceOptions } from "./place.ts";

/** Opens the engine at a root directory; nothing is made before something is stored. */
export function openEngine(options: PlaceOptions): Engine {
  const place = new Place(options);
  return {
    loadImages: async (request) => (await import("./image-load.ts")).load(place, request),
    copyImage: async (request) => (await import("./transfer.ts")).copy(place, request),
    saveImages: async (request) => (await import("./transfer.ts")).save(place, request),
    pullImage: async (request) => (await import("./registry/pull.ts")).pull(place, place.registries, request),
    pushImage: async (request) => (await import("./registry/push.ts")).push(place, place.registries, request),
    logIn: async (request) => (await import("./registry/login.ts")).logIn(place.registries, request),
    logOut: async (registry) => (await import("./registry/login.ts")).logOut(place.registries, registry),
    listTags: async (request) => (await import("./registry/remote.ts")).listTags(place.registries, request),
    deleteRemote: async (request) => (await import("./registry/remote.ts")).deleteRemote(place.registries, request),
    listImages: (options) => images.list(place, options),
    inspectImage: async (reference) => (await import("./image-details.ts")).inspect(place, reference),
    imageHistory: async (reference) => (await import("./image-details.ts")).history(place, reference),
    removeImage: async (reference, how) => (await import("./image-removal.ts")).remove(place, reference, how),
    tagImage: async (reference, name) => (await import("#image/removal.ts")).tagImage(await place.layout(), reference, name),
    untagImage: async (name) => (await import("#image/removal.ts")).untagImage(await place.layout(), name),
    readDocument: async (request) => (await import("./documents.ts")).readDocumentAt(place, request),
    createIndex: async (request) => (await import("./documents.ts")).createIndex(place, request),
    changeIndex: async (request) => (await import("./documents.ts")).changeIndex(place, request),
    attachArtifact: async (request) => (await import("./documents.ts")).attach(place, request),
    listReferrers: async (request) => (await import("./documents.ts")).listReferrers(place, request),
    verifyLayout: async (path, options) => (await import("./documents.ts")).verifyDirectory(path, options),
    pruneImages: async (request) => (await import("./image-removal.ts")).prune(place, request),
    runContainer: async (request) => (await import("./containers/start.ts")).runContainer(place, request),
    explainContainer: async (request) => (await import("./containers/start.ts")).explainContainer(place, request),
    listContainers: () => Promise.resolve(readContainers(place.paths)),
    removeContainer: async (reference, how) => (await import("./containers/remove.ts")).removeContainer(place, reference, how),
    verify: async () => (await import("./image-load.ts")).verify(place),
    trees: treeWork(place),
  };
}

/** Loaded on use: running a container needs none of it. */
function treeWork(place: Place): TreeWork {
  return {
    unpack: async (request) => (await import("./trees/unpack.ts")).unpackBundle(place, request),
    repack: async (request) => (await import("./trees/repack.ts")).repackBundle(place, request),
    commit: async (request) => (await import("./trees/container-changes.ts")).commitContainer(place, request),
    diff: async (container) => (await import("./trees/container-changes.ts")).diffContainer(place, container),
    edit: async (request) => (await import("./trees/mutate.ts")).editImage(place, request),
    append: async (request) => (await import("./trees/mutate.ts")).appendToImage(place, request),
    squash: async (request) => (await import("./trees/mutate.ts")).squashImage(place, request),
    export: async (request) => (await import("./trees/flat.ts")).exportTree(place, request),
    import: async (request) => (await import("./trees/flat.ts")).importTree(place, request),
    rebase: async (request) => (await import("./trees/mutate.ts")).rebase(place, request),
    report: async (image) => (await import("./trees/report.ts")).reportLayers(place, image),
  };
}
