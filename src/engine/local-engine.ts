/** The engine of this machine: `Engine` on top of a place. */
import type { Program } from "#program/encode.ts";
import { nowMs, unguessableBytes } from "#sys/clock.ts";
import { readTextIfThere } from "#sys/small-files.ts";
import { type PlanFacts, planContainer, type PlannedContainer } from "./containers/create.ts";
import { readContainers } from "./containers/list.ts";
import { inventName } from "./containers/names.ts";
import { removeContainer } from "./containers/remove.ts";
import type { ContainerRequest } from "./containers/request.ts";
import { runPlanned } from "./containers/run.ts";
import type { Engine, TreeWork } from "./engine.ts";
import * as images from "./images.ts";
import { Place, type PlaceOptions } from "./place.ts";
import { fillTree } from "./rootfs/layers.ts";

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
    runContainer: async (request) => {
      const image = await images.find(place, request.image);
      const snapshotter = await place.snapshotter();
      const layout = await place.layout();
      if (snapshotter === "overlay") await images.unpack(place, image, {});
      const random = unguessableBytes(40);
      const id = random.toString("hex", 0, 32);
      const planned = plan(place, request, {
        id,
        inventedName: inventName(random.readUInt32LE(32), random.readUInt32LE(36)),
        image,
        snapshotter,
      });
      const sources = images.layerSources(layout, image);
      const fill = (): Promise<void> =>
        fillTree(sources, { tree: planned.files.rootfs, accounts: planned.files.directory }, images.unpackOptions(place, {}));
      return await runPlanned(place, planned, snapshotter === "copy" ? fill : undefined);
    },
    explainContainer: async (request): Promise<Program> => {
      const image = await images.find(place, request.image);
      return plan(place, request, { ...explainedIdentity, image, snapshotter: place.knownSnapshotter() ?? "overlay" }).compiled.program;
    },
    listContainers: () => Promise.resolve(readContainers(place.paths)),
    removeContainer: (reference, how) => removeContainer(place, reference, how),
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

/** What an explained container is called: the same each time, so that two explanations can be compared. */
const explainedIdentity = { id: "explained", inventedName: "explained" };

function plan(
  place: Place,
  request: ContainerRequest,
  found: Pick<PlanFacts, "id" | "inventedName" | "image" | "snapshotter">,
): PlannedContainer {
  const resolvConf = readTextIfThere("/etc/resolv.conf") ?? "";
  return planContainer(place.paths, request, { ...found, resolvConf, now: new Date(nowMs()) });
}
