/** The image config: how to run an image and which uncompressed layers it has. Names are the spec's. @see image-spec config.md */
import { CodedError } from "#base/errors.ts";
import type { JsonLimits, JsonValue } from "#base/json.ts";
import { parseJsonNode, readStringRecord, readStrings, type JsonNode } from "#base/json-node.ts";
import { digestOf, type Digest } from "./digest.ts";
import { readDigest, type Manifest } from "./image.ts";
import type { Platform } from "./platform.ts";

/** How long an image config may be: those of images with thousands of history entries reach some hundred kilobytes. */
export const imageConfigLimits = { maxBytes: 8 << 20, maxDepth: 64 } as const satisfies JsonLimits;

/** An image config. Optional fields that are null in the document are absent here. */
export interface ImageConfig extends Platform {
  /** RFC 3339. */
  readonly created?: string | undefined;
  readonly author?: string | undefined;
  /** Empty when the document has none. */
  readonly config: ExecutionConfig;
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly Digest[] };
  readonly history: readonly HistoryEntry[];
}

/** How a container of the image is started. */
export interface ExecutionConfig {
  readonly User?: string | undefined;
  /** Keys are `port`, `port/tcp`, `port/udp` or `port/sctp`. */
  readonly ExposedPorts?: Readonly<Record<string, JsonValue>> | undefined;
  /** `NAME=value`. */
  readonly Env?: readonly string[] | undefined;
  readonly Entrypoint?: readonly string[] | undefined;
  readonly Cmd?: readonly string[] | undefined;
  /** Keys are paths in the container. */
  readonly Volumes?: Readonly<Record<string, JsonValue>> | undefined;
  readonly WorkingDir?: string | undefined;
  readonly Labels?: Readonly<Record<string, string>> | undefined;
  readonly StopSignal?: string | undefined;
  readonly ArgsEscaped?: boolean | undefined;
  readonly Healthcheck?: Healthcheck | undefined;
  /** Docker: what the shell form of RUN, CMD and ENTRYPOINT is handed to. */
  readonly Shell?: readonly string[] | undefined;
  /** Docker: instructions for builds on top of the image. */
  readonly OnBuild?: readonly string[] | undefined;
}

/** Docker's probe of a running container; durations are nanoseconds, 0 asks for the default. */
export interface Healthcheck {
  /** `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`; empty inherits. */
  readonly Test?: readonly string[] | undefined;
  readonly Interval?: number | undefined;
  readonly Timeout?: number | undefined;
  readonly StartPeriod?: number | undefined;
  readonly StartInterval?: number | undefined;
  readonly Retries?: number | undefined;
}

/** How one step of the image came about; steps without `empty_layer` stand for the layers, in order. */
export interface HistoryEntry {
  readonly created?: string | undefined;
  readonly created_by?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  readonly empty_layer?: boolean | undefined;
}

/** Parses an image config; `document` names it in errors. @throws CodedError `invalid-spec` */
export function parseImageConfig(bytes: Uint8Array, document: string): ImageConfig {
  const node = parseJsonNode(bytes, document, imageConfigLimits);
  const diffIds = readDiffIds(node);
  return {
    architecture: node.get("architecture").string(),
    os: node.get("os").string(),
    variant: node.maybe("variant", (variant) => variant.string()),
    "os.version": node.maybe("os.version", (version) => version.string()),
    "os.features": node.maybe("os.features", readStrings),
    created: node.maybe("created", readTime),
    author: node.maybe("author", (author) => author.string()),
    config: node.maybe("config", readExecutionConfig) ?? {},
    rootfs: { type: "layers", diff_ids: diffIds },
    history: node.maybe("history", (history) => history.items().map(readHistoryEntry)) ?? [],
  };
}

/** The uncompressed layers that an image config names, lowest first; nothing else in it is looked at. @throws CodedError `invalid-spec` */
export function parseDiffIds(bytes: Uint8Array, document: string): readonly Digest[] {
  return readDiffIds(parseJsonNode(bytes, document, imageConfigLimits));
}

function readDiffIds(config: JsonNode): readonly Digest[] {
  const rootfs = config.get("rootfs");
  const type = rootfs.get("type");
  if (type.string() !== "layers") throw type.fault(`it is ${JSON.stringify(type.value)}; only "layers" can be unpacked`);
  const diffIds = rootfs.get("diff_ids");
  // COMPAT: tools written in Go spell an empty list `null`.
  return diffIds.value === null ? [] : diffIds.items().map(readDigest);
}

/** Each layer of `manifest` must have one uncompressed digest in `config`. @throws CodedError `invalid-spec` */
export function requireLayerCount(manifest: Manifest, config: ImageConfig, document: string): void {
  const layers = manifest.layers.length;
  const diffIds = config.rootfs.diff_ids.length;
  if (layers !== diffIds)
    throw new CodedError("invalid-spec", `cannot use ${document}: it has ${layers} layers, but its config lists ${diffIds} diff_ids`);
}

/**
 * The chain ids of a stack of layers, lowest first: the n-th names the tree that the first n+1 layers make together.
 *
 * @see image-spec config.md, "Layer ChainID"
 */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(Buffer.from(`${below} ${diffId}`, "latin1")));
  }
  return chain;
}

function readExecutionConfig(node: JsonNode): ExecutionConfig {
  const text = (name: string): string | undefined => node.maybe(name, (field) => field.string());
  const texts = (name: string): string[] | undefined => node.maybe(name, readStrings);
  const keys = (name: string): Record<string, JsonValue> | undefined =>
    node.maybe(name, (field) => field.record((item) => item.value ?? {}));
  return {
    User: text("User"),
    ExposedPorts: keys("ExposedPorts"),
    Env: node.maybe("Env", (list) => list.items().map(readVariable)),
    Entrypoint: texts("Entrypoint"),
    Cmd: texts("Cmd"),
    Volumes: keys("Volumes"),
    WorkingDir: text("WorkingDir"),
    Labels: node.maybe("Labels", readStringRecord),
    StopSignal: text("StopSignal"),
    ArgsEscaped: node.maybe("ArgsEscaped", (flag) => flag.boolean()),
    Healthcheck: node.maybe("Healthcheck", readHealthcheck),
    Shell: texts("Shell"),
    OnBuild: texts("OnBuild"),
  };
}

function readHealthcheck(node: JsonNode): Healthcheck {
  const number = (name: string): number | undefined => node.maybe(name, (field) => field.size());
  return {
    Test: node.maybe("Test", readStrings),
    Interval: number("Interval"),
    Timeout: number("Timeout"),
    StartPeriod: number("StartPeriod"),
    StartInterval: number("StartInterval"),
    Retries: number("Retries"),
  };
}

function readHistoryEntry(node: JsonNode): HistoryEntry {
  const text = (name: string): string | undefined => node.maybe(name, (field) => field.string());
  return {
    created: node.maybe("created", readTime),
    created_by: text("created_by"),
    author: text("author"),
    comment: text("comment"),
    empty_layer: node.maybe("empty_layer", (flag) => flag.boolean()),
  };
}

function readVariable(node: JsonNode): string {
  const text = node.string();
  if (text.startsWith("=") || text === "")
    throw node.fault(`it is ${JSON.stringify(text.slice(0, 200))}, which has no name before the "="`);
  return text;
}

const rfc3339 = /^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})$/;

function readTime(node: JsonNode): string {
  const text = node.string();
  if (!rfc3339.test(text)) throw node.fault(`it is ${JSON.stringify(text.slice(0, 100))}, not a time in RFC 3339`);
  return text;
}
