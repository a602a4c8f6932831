/**
 * Images as values: each function takes the documents of an image and returns those of another one. Nothing is read or written.
 *
 * Fields that this version does not know stay where they are (image-spec config.md: "extra fields"). The result is always
 * of OCI's media types: a layer of docker's type is the same bytes under OCI's name.
 */
import { CodedError } from "#base/errors.ts";
import type { JsonObject, JsonValue } from "#base/json.ts";
import type { Descriptor } from "#spec/image.ts";
import type { HistoryEntry } from "#spec/image-config.ts";
import { descriptorToJson } from "#spec/image.ts";
import { layerCompression, mediaTypes } from "#spec/media-type.ts";
import { layerTypes } from "./layer/store.ts";

/** The two documents of an image as they are written, and the layers as they are read. */
export interface ImageDocuments {
  readonly manifest: JsonObject;
  readonly config: JsonObject;
  /** Lowest first. */
  readonly layers: readonly LayerPart[];
}

/** One layer. */
export interface LayerPart {
  readonly descriptor: Descriptor;
  readonly diffId: string;
}

/** The image with one layer more. */
export function appendLayer(image: ImageDocuments, layer: LayerPart, history: HistoryEntry): ImageDocuments {
  return withLayers(image, [...image.layers, layer], { history: [...completeHistory(image), history], created: history.created });
}

/**
 * The image with its layers from number `from` on replaced by `layer`, which does the same to those below.
 *
 * @throws CodedError `invalid-argument` when there are no layers from there on
 */
export function squashLayers(
  image: ImageDocuments,
  from: number,
  { layer, history }: { readonly layer: LayerPart; readonly history: HistoryEntry },
): ImageDocuments {
  requireLayer(image, from);
  return withLayers(image, [...image.layers.slice(0, from), layer], {
    history: [...historyBelow(image, from), history],
    created: history.created,
  });
}

/** @throws CodedError `invalid-argument` when there is no layer number `index` */
export function requireLayer(image: ImageDocuments, index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= image.layers.length)
    throw new CodedError(
      "invalid-argument",
      `cannot squash from layer ${index}: the image has ${image.layers.length} layers, the first is 0`,
    );
}

/**
 * The image with the layers of `to` in place of those of `from`, on which it stands.
 *
 * @throws CodedError `invalid-argument` when it does not stand on `from`
 */
export function rebaseImage(
  image: ImageDocuments,
  bases: { readonly from: ImageDocuments; readonly to: ImageDocuments },
  created?: string,
): ImageDocuments {
  const { from, to } = bases;
  const count = from.layers.length;
  const isOn = count <= image.layers.length && from.layers.every(({ diffId }, index) => diffId === image.layers[index]?.diffId);
  if (!isOn) throw new CodedError("invalid-argument", "cannot rebase: the image does not begin with the layers of the old base");
  const [steps, ofBase] = [completeHistory(image), completeHistory(from)];
  // The old base may end with steps that made no layer: they are its own if the image tells them in the same words.
  const isWhole = JSON.stringify(steps.slice(0, ofBase.length)) === JSON.stringify(ofBase);
  const own = steps.slice(isWhole ? ofBase.length : historyBelow(image, count).length);
  return withLayers(image, [...to.layers, ...image.layers.slice(count)], { history: [...completeHistory(to), ...own], created });
}

/** What is changed in a config; a field that is left out stays, `null` removes it. */
export interface ConfigEdit {
  readonly User?: string | null;
  readonly WorkingDir?: string | null;
  readonly StopSignal?: string | null;
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Healthcheck?: JsonObject | null;
  /** `NAME=VALUE`; each replaces the variable of that name. */
  readonly env?: readonly string[];
  readonly unsetEnv?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly removeLabels?: readonly string[];
  readonly exposedPorts?: readonly string[];
  readonly volumes?: readonly string[];
  readonly onBuild?: readonly string[];
  readonly author?: string;
}

/** The image with its config edited; `history` is the step that tells of it, if any shall. */
export function editConfig(image: ImageDocuments, edit: ConfigEdit, history?: HistoryEntry): ImageDocuments {
  const before = objectIn(image.config, "config");
  const { env, unsetEnv, labels, removeLabels, exposedPorts, volumes, onBuild, author, ...plain } = edit;
  const changed: Record<string, JsonValue | undefined> = { ...before, ...plain };
  if (env !== undefined || unsetEnv !== undefined) changed["Env"] = mergeEnv(textsIn(before, "Env"), env ?? [], unsetEnv ?? []);
  if (labels !== undefined || removeLabels !== undefined) {
    const merged = { ...objectIn(before, "Labels"), ...labels };
    changed["Labels"] = Object.fromEntries(Object.entries(merged).filter(([name]) => !(removeLabels ?? []).includes(name)));
  }
  if (exposedPorts !== undefined) changed["ExposedPorts"] = { ...objectIn(before, "ExposedPorts"), ...keysOf(exposedPorts) };
  if (volumes !== undefined) changed["Volumes"] = { ...objectIn(before, "Volumes"), ...keysOf(volumes) };
  if (onBuild !== undefined) changed["OnBuild"] = [...textsIn(before, "OnBuild"), ...onBuild];
  const config = { ...image.config, ...(author === undefined ? {} : { author }), config: withoutNulls(changed) };
  const steps = history === undefined ? undefined : [...completeHistory(image), { ...history, empty_layer: true }];
  return withLayers({ ...image, config }, image.layers, { history: steps, created: history?.created });
}

/** The image with other annotations of its manifest. */
export function annotate(image: ImageDocuments, annotations: Readonly<Record<string, string>>): ImageDocuments {
  return { ...image, manifest: { ...image.manifest, annotations: { ...objectIn(image.manifest, "annotations"), ...annotations } } };
}

/**
 * The history with a step for each layer: images without one, or with one that lies, get steps that say nothing.
 *
 * SPEC: config.md#history: steps that are not `empty_layer` stand for the layers, in order.
 */
export function completeHistory(image: Pick<ImageDocuments, "config" | "layers">): HistoryEntry[] {
  const found = image.config["history"];
  const steps = Array.isArray(found) ? (found as unknown as HistoryEntry[]) : [];
  const layers = steps.filter(({ empty_layer }) => empty_layer !== true).length;
  if (layers === image.layers.length) return [...steps];
  return image.layers.map(() => ({ comment: "unknown step" }));
}

/** The steps before the one that made layer number `count`. */
function historyBelow(image: ImageDocuments, count: number): HistoryEntry[] {
  const steps = completeHistory(image);
  let layers = 0;
  const end = steps.findIndex(({ empty_layer }) => {
    if (layers === count && empty_layer !== true) return true;
    if (empty_layer !== true) layers++;
    return false;
  });
  return end < 0 ? steps : steps.slice(0, end);
}

function withLayers(
  image: ImageDocuments,
  layers: readonly LayerPart[],
  { history, created }: { readonly history: readonly HistoryEntry[] | undefined; readonly created: string | undefined },
): ImageDocuments {
  const normal = layers.map(({ descriptor, diffId }) => ({ descriptor: ociLayer(descriptor), diffId }));
  const config = {
    ...image.config,
    ...(created === undefined ? {} : { created }),
    rootfs: { ...objectIn(image.config, "rootfs"), type: "layers", diff_ids: normal.map(({ diffId }) => diffId) },
    ...(history === undefined ? {} : { history: history as unknown as JsonValue }),
  };
  const manifest = {
    ...image.manifest,
    mediaType: mediaTypes.manifest,
    layers: normal.map(({ descriptor }) => descriptorToJson(descriptor) as JsonObject),
  };
  return { manifest, config, layers: normal };
}

/** SPEC: media-types.md: docker's types of layers are interchangeable with OCI's. Nondistributable ones keep theirs. */
function ociLayer(descriptor: Descriptor): Descriptor {
  const compression = layerCompression(descriptor.mediaType);
  const isPlainDocker = descriptor.mediaType.startsWith("application/vnd.docker.image.rootfs.diff.");
  return compression === undefined || !isPlainDocker ? descriptor : { ...descriptor, mediaType: layerTypes[compression] };
}

function mergeEnv(before: readonly string[], set: readonly string[], unset: readonly string[]): string[] {
  const variables = new Map(before.map((entry) => [nameOf(entry), entry]));
  for (const entry of set) variables.set(nameOf(entry), entry);
  for (const name of unset) variables.delete(name);
  return [...variables.values()];
}

function nameOf(variable: string): string {
  return variable.split("=", 1)[0] ?? "";
}

function keysOf(names: readonly string[]): JsonObject {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

function objectIn(object: JsonObject, name: string): JsonObject {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

function textsIn(object: JsonObject, name: string): readonly string[] {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  return Array.isArray(value) ? (value as readonly string[]) : [];
}

function withoutNulls(object: Record<string, JsonValue | undefined>): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null && value !== undefined)) as JsonObject;
}
