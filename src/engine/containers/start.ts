/** Containers of images: made, run and explained. */
import type { Program } from "#program/encode.ts";
import { nowMs, unguessableBytes } from "#sys/clock.ts";
import { readTextIfThere } from "#sys/small-files.ts";
import type { Engine } from "../engine.ts";
import { find } from "../images.ts";
import type { Place } from "../place.ts";
import { fillTree } from "../rootfs/layers.ts";
import { layerSources, unpack, unpackOptions } from "../unpacked.ts";
import { type PlanFacts, planContainer, type PlannedContainer } from "./create.ts";
import { inventName } from "./names.ts";
import type { ContainerRequest } from "./request.ts";
import { runPlanned } from "./run.ts";

/** Runs a container to its end. @see Engine.runContainer */
export async function runContainer(place: Place, request: ContainerRequest): ReturnType<Engine["runContainer"]> {
  const image = await find(place, request.image);
  const snapshotter = await place.snapshotter();
  const layout = await place.layout();
  if (snapshotter === "overlay") await unpack(place, image, {});
  const random = unguessableBytes(40);
  const id = random.toString("hex", 0, 32);
  const planned = plan(place, request, {
    id,
    inventedName: inventName(random.readUInt32LE(32), random.readUInt32LE(36)),
    image,
    snapshotter,
  });
  const sources = layerSources(layout, image);
  const fill = (): Promise<void> =>
    fillTree(sources, { tree: planned.files.rootfs, accounts: planned.files.directory }, unpackOptions(place, {}));
  return await runPlanned(place, planned, snapshotter === "copy" ? fill : undefined);
}

/** The program that running it would execute. @see Engine.explainContainer */
export async function explainContainer(place: Place, request: ContainerRequest): Promise<Program> {
  const image = await find(place, request.image);
  return plan(place, request, { ...explainedIdentity, image, snapshotter: place.knownSnapshotter() ?? "overlay" }).compiled.program;
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
