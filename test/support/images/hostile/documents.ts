/** Attacks by descriptors, manifests, indexes, configs and the files of a layout. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configFor, mediaTypes, sha256, type LayoutWriter, type WrittenDescriptor, type WrittenLayer } from "../layout-writer.ts";
import { byLayout, soundLayer, upAndDown, type Attack } from "./attack.ts";

const paths = "CVE-2024-3727: a digest becomes a path, so its grammar is checked first";
const confusion = "CVE-2021-41190: a document that is two things is read differently by two readers";
const iJson = "image-spec: duplicate names are forbidden, and two readers take different ones";
const verified = "descriptor.md#verification: size first, then digest";
const ambiguous = `${"a".repeat(60)}aaaa`;

/** The document of a sound manifest, to be changed. */
interface ManifestDocument {
  readonly schemaVersion: unknown;
  readonly mediaType: string;
  readonly config: WrittenDescriptor;
  readonly layers: readonly WrittenDescriptor[];
  readonly [member: string]: unknown;
}

/** An attack by a change of the manifest of a sound image. */
function byManifest(attack: Omit<Attack, "build">, change: (manifest: ManifestDocument, writer: LayoutWriter) => unknown): Attack {
  return byLayout(attack, (writer) => {
    const layer = soundLayer(writer);
    const config = writer.json(configFor([layer.diffId]), mediaTypes.config);
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [layer.descriptor] };
    writer.tag(writer.json(change(manifest, writer), mediaTypes.manifest), "hostile");
  });
}

/** An attack by a change of the config of a sound image. */
function byConfig(attack: Omit<Attack, "build">, change: (config: Record<string, unknown>, layer: WrittenLayer) => unknown): Attack {
  return byLayout(attack, (writer) => {
    const layer = soundLayer(writer);
    const config = writer.json(change(configFor([layer.diffId]), layer), mediaTypes.config);
    writer.tag(writer.manifest(config, [layer.descriptor]), "hostile");
  });
}

/** An attack by the text of index.json, given the descriptor of a sound image. */
function byIndex(attack: Omit<Attack, "build">, text: (manifest: WrittenDescriptor, writer: LayoutWriter) => string): Attack {
  return byLayout(attack, (writer) => writer.rawIndex(text(writer.image([soundLayer(writer)]), writer)));
}

function layerAs(change: Record<string, unknown>): (manifest: ManifestDocument) => unknown {
  return (manifest) => ({ ...manifest, layers: [{ ...manifest.layers[0], ...change }] });
}

function index(manifests: readonly unknown[], more: Record<string, unknown> = {}): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests, ...more });
}

function blobPath(writer: LayoutWriter, descriptor: WrittenDescriptor): string {
  return join(writer.directory, "blobs", descriptor.digest.replace(":", "/"));
}

const digests: readonly (readonly [label: string, digest: string])[] = [
  ["leads-up", "sha256:../../../../../../etc/passwd"],
  ["leads-up-short", "sha256:.."],
  ["with-slash", `sha256:${"a".repeat(31)}/${"a".repeat(32)}`],
  ["with-nul", `sha256:${"a".repeat(63)}\0`],
  ["upper-case", `sha256:${"A".repeat(64)}`],
  ["short", `sha256:${"a".repeat(63)}`],
  ["long", `sha256:${"a".repeat(65)}`],
  ["of-unknown-kind", `md5:${"a".repeat(32)}`],
  ["with-algorithm-upward", `../sha256:${ambiguous}`],
  ["empty", ""],
];

const sizes: readonly (readonly [label: string, size: unknown])[] = [
  ["short", 10],
  ["long", 1_000_000],
  ["negative", -1],
  ["2^60", 2 ** 60],
  ["fraction", 1.5],
  ["text", "100"],
  ["missing", undefined],
];

export const descriptorAttacks: readonly Attack[] = [
  ...digests.flatMap(([label, digest]) => [
    byManifest({ name: `layer-digest-${label}`, expect: "refuse", why: paths }, layerAs({ digest })),
    byManifest({ name: `config-digest-${label}`, expect: "refuse", why: paths }, (manifest) => ({
      ...manifest,
      config: { ...manifest.config, digest },
    })),
    byIndex({ name: `manifest-digest-${label}`, expect: "refuse", why: paths }, (manifest) => index([{ ...manifest, digest }])),
  ]),
  ...sizes.flatMap(([label, size]) => [
    byManifest({ name: `layer-size-${label}`, expect: "refuse", why: verified }, layerAs({ size })),
    byManifest({ name: `config-size-${label}`, expect: "refuse", why: verified }, (manifest) => ({
      ...manifest,
      config: { ...manifest.config, size },
    })),
    byIndex({ name: `manifest-size-${label}`, expect: "refuse", why: verified }, (manifest) => index([{ ...manifest, size }])),
  ]),
  ...(["layer", "config", "manifest"] as const).flatMap((victim) => [
    byBlob(victim, "missing", (path) => rmSync(path)),
    byBlob(victim, "changed", (path) =>
      writeFileSync(
        path,
        readFileSync(path).map((byte, at) => (at === 20 ? byte ^ 1 : byte)),
      ),
    ),
    byBlob(victim, "is-a-directory", (path) => (rmSync(path), mkdirSync(path))),
    byBlob(victim, "is-a-fifo", (path) => (rmSync(path), execFileSync("mkfifo", [path]))),
    byBlob(victim, "is-endless", (path) => (rmSync(path), symlinkSync("/dev/zero", path))),
    byBlob(victim, "is-a-link-out", (path, canary) => (rmSync(path), symlinkSync(`${canary}/secret`, path))),
  ]),
];

/** An attack by what is done to the file of one blob of a sound image. */
function byBlob(victim: "layer" | "config" | "manifest", label: string, damage: (path: string, canary: string) => void): Attack {
  return byLayout({ name: `${victim}-blob-${label}`, expect: "refuse", why: verified }, (writer, site) => {
    const layer = soundLayer(writer);
    const config = writer.json(configFor([layer.diffId]), mediaTypes.config);
    const manifest = writer.manifest(config, [layer.descriptor]);
    writer.tag(manifest, "hostile");
    damage(blobPath(writer, { layer: layer.descriptor, config, manifest }[victim]), site.canary);
  });
}

const foreign = "application/vnd.example.thing.v1+json";

export const manifestAttacks: readonly Attack[] = [
  byManifest({ name: "manifest-also-index", expect: "refuse", why: confusion }, (manifest) => ({ ...manifest, manifests: [] })),
  byManifest({ name: "manifest-says-index", expect: "refuse", why: confusion }, (manifest) => ({
    ...manifest,
    mediaType: mediaTypes.index,
  })),
  byManifest({ name: "manifest-duplicate-keys", expect: "refuse", why: iJson }, (manifest) =>
    JSON.stringify(manifest).replace('"layers":', '"layers":[],"layers":'),
  ),
  byManifest({ name: "manifest-duplicate-keys-escaped", expect: "refuse", why: iJson }, (manifest) =>
    JSON.stringify(manifest).replace('"layers":', '"l\\u0061yers":[],"layers":'),
  ),
  byManifest({ name: "manifest-proto-key", expect: "contain", why: "a key is a key, not a prototype" }, (manifest) =>
    JSON.stringify(manifest).replace("{", '{"__proto__":{"layers":[]},'),
  ),
  byManifest({ name: "manifest-deep", expect: "refuse", why: "depth is limited before a parser recurses" }, (manifest) =>
    JSON.stringify(manifest).replace("{", `{"x":${"[".repeat(100_000)}${"]".repeat(100_000)},`),
  ),
  byManifest({ name: "manifest-large", expect: "refuse", why: "a manifest has at most a few megabytes" }, (manifest) =>
    JSON.stringify({ ...manifest, annotations: { x: "x".repeat(64 << 20) } }),
  ),
  byManifest({ name: "manifest-not-json", expect: "refuse", why: "not a manifest" }, () => "\x1b[2J{"),
  byManifest({ name: "manifest-null", expect: "refuse", why: "not a manifest" }, () => "null"),
  byManifest({ name: "manifest-array", expect: "refuse", why: "not a manifest" }, () => "[]"),
  byManifest({ name: "manifest-bad-utf8", expect: "refuse", why: "image-spec: JSON is UTF-8" }, (manifest) =>
    Buffer.from(JSON.stringify(manifest).replace("{", '{"x":"\xff",'), "latin1"),
  ),
  byManifest({ name: "manifest-schema-version-1", expect: "refuse", why: "manifest.md: schemaVersion is 2" }, (manifest) => ({
    ...manifest,
    schemaVersion: 1,
  })),
  byManifest({ name: "manifest-schema-version-text", expect: "refuse", why: "manifest.md: schemaVersion is 2" }, (manifest) => ({
    ...manifest,
    schemaVersion: "2",
  })),
  byManifest({ name: "manifest-without-config", expect: "refuse", why: "manifest.md" }, (manifest) => ({ ...manifest, config: undefined })),
  byManifest({ name: "manifest-without-layers", expect: "refuse", why: "manifest.md" }, (manifest) => ({ ...manifest, layers: undefined })),
  byManifest({ name: "manifest-layers-object", expect: "refuse", why: "manifest.md" }, (manifest) => ({
    ...manifest,
    layers: { length: 1, 0: manifest.layers[0] },
  })),
  byManifest(
    { name: "layer-type-unknown", expect: "refuse", why: "an image whose layer cannot be read is no image" },
    layerAs({ mediaType: foreign }),
  ),
  byManifest({ name: "layer-type-missing", expect: "refuse", why: "descriptor.md" }, layerAs({ mediaType: undefined })),
  byManifest(
    { name: "config-type-unknown", expect: "refuse", why: "manifest.md: a config of unknown type is not parsed, so it cannot be run" },
    (manifest) => ({ ...manifest, config: { ...manifest.config, mediaType: foreign } }),
  ),
  byManifest(
    { name: "layers-10000", expect: "refuse", why: "overlayfs stacks 500; the answer must come before the work" },
    (manifest, writer) => {
      const layers = Array.from({ length: 10_000 }, () => manifest.layers[0] as WrittenDescriptor);
      const diffId =
        (JSON.parse(readFileSync(blobPath(writer, manifest.config), "utf8")) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids[0] ??
        "";
      return { ...manifest, layers, config: writer.json(configFor(layers.map(() => diffId)), mediaTypes.config) };
    },
  ),
  byManifest(
    { name: "layer-data-lies", expect: "contain", why: "descriptor.md: embedded data must be the content" },
    layerAs({ data: Buffer.from("other").toString("base64") }),
  ),
  byManifest(
    { name: "layer-urls", expect: "contain", why: "nothing is fetched by loading" },
    layerAs({ urls: ["http://127.0.0.1:9/x", "file:///etc/passwd"] }),
  ),
];

export const indexAttacks: readonly Attack[] = [
  byIndex({ name: "index-also-manifest", expect: "refuse", why: confusion }, (manifest) =>
    index([manifest], { layers: [], config: manifest }),
  ),
  byIndex({ name: "index-duplicate-keys", expect: "refuse", why: iJson }, (manifest) =>
    index([manifest]).replace('"manifests":', '"manifests":[],"manifests":'),
  ),
  byIndex({ name: "index-deep", expect: "refuse", why: "depth is limited" }, () => "[".repeat(200_000)),
  byIndex({ name: "index-large", expect: "refuse", why: "size is limited" }, (manifest) =>
    index([manifest], { annotations: { x: "x".repeat(64 << 20) } }),
  ),
  byIndex({ name: "index-empty", expect: "refuse", why: "there is no image in it" }, () => index([])),
  byIndex({ name: "index-not-json", expect: "refuse", why: "not an index" }, () => "\u0007"),
  byIndex(
    { name: "index-of-nothing-known", expect: "refuse", why: "image-index.md: unknown types are skipped, and nothing is left" },
    (_, writer) => index([writer.json({}, foreign)]),
  ),
  byIndex({ name: "index-names-itself", expect: "refuse", why: "a cycle can only be made with a digest that is wrong" }, (_, writer) => {
    const own = { mediaType: mediaTypes.index, digest: `sha256:${"0".repeat(64)}`, size: 300 };
    writeFileSync(blobPath(writer, own), index([own]).padEnd(300));
    return index([own]);
  }),
  byIndex({ name: "index-nested-1000", expect: "contain", why: "depth is limited, or walked without recursion" }, (manifest, writer) => {
    let inner = manifest;
    for (let depth = 0; depth < 1000; depth += 1) inner = writer.json(index([inner]), mediaTypes.index);
    return index([inner]);
  }),
  byIndex({ name: "index-of-100000", expect: "contain", why: "work is limited" }, (manifest) =>
    index(Array.from({ length: 100_000 }, () => manifest)),
  ),
  byLayout({ name: "layout-version-unknown", expect: "refuse", why: "image-layout.md" }, (writer) => {
    writer.tag(writer.image([soundLayer(writer)]), "hostile");
    writeFileSync(join(writer.directory, "oci-layout"), '{"imageLayoutVersion":"9.0.0"}');
  }),
  byLayout({ name: "layout-index-is-a-link-out", expect: "refuse", why: "the file behind it is no index" }, (writer, site) =>
    symlinkSync(`${site.canary}/secret`, join(writer.directory, "index.json")),
  ),
  byLayout({ name: "layout-index-is-endless", expect: "refuse", why: "size is limited" }, (writer) =>
    symlinkSync("/dev/zero", join(writer.directory, "index.json")),
  ),
  byLayout({ name: "layout-index-is-a-fifo", expect: "refuse", why: "opening must not wait for ever" }, (writer) =>
    execFileSync("mkfifo", [join(writer.directory, "index.json")]),
  ),
  ...[
    ["control", "a\u001b[31mb\u0007\u009b2J"],
    ["newline", "a\nb"],
    ["upward", upAndDown("/etc/x")],
    ["long", "n".repeat(1 << 20)],
    ["empty", ""],
    ["option", "--root=/"],
  ].map(([label = "", name]) =>
    byIndex({ name: `ref-name-${label}`, expect: "contain", why: "a name is printed and used as a key: grammar first" }, (manifest) =>
      index([{ ...manifest, annotations: { "org.opencontainers.image.ref.name": name } }]),
    ),
  ),
];

export const configAttacks: readonly Attack[] = [
  byConfig({ name: "diff-id-wrong", expect: "refuse", why: "config.md: diff_id is the digest of the tar" }, (config) => ({
    ...config,
    rootfs: { type: "layers", diff_ids: [sha256(Buffer.from("other"))] },
  })),
  byConfig({ name: "diff-id-leads-up", expect: "refuse", why: paths }, (config) => ({
    ...config,
    rootfs: { type: "layers", diff_ids: ["sha256:../../../../x"] },
  })),
  byConfig({ name: "diff-ids-too-many", expect: "refuse", why: "one per layer" }, (config, layer) => ({
    ...config,
    rootfs: { type: "layers", diff_ids: [layer.diffId, layer.diffId] },
  })),
  byConfig({ name: "diff-ids-too-few", expect: "refuse", why: "one per layer" }, (config) => ({
    ...config,
    rootfs: { type: "layers", diff_ids: [] },
  })),
  byConfig({ name: "rootfs-type-unknown", expect: "refuse", why: "config.md: anything but layers is an error" }, (config, layer) => ({
    ...config,
    rootfs: { type: "tree", diff_ids: [layer.diffId] },
  })),
  byConfig({ name: "rootfs-missing", expect: "refuse", why: "config.md" }, (config) => ({ ...config, rootfs: undefined })),
  byConfig({ name: "config-not-json", expect: "refuse", why: "config.md" }, () => "{"),
  byConfig({ name: "config-null", expect: "refuse", why: "config.md" }, () => "null"),
  byConfig({ name: "config-deep", expect: "refuse", why: "depth is limited" }, () => "[".repeat(200_000)),
  byConfig({ name: "config-duplicate-keys", expect: "refuse", why: iJson }, (config) =>
    JSON.stringify(config).replace('"rootfs":', '"rootfs":{"type":"layers","diff_ids":[]},"rootfs":'),
  ),
  ...(
    [
      ["user-newline", { User: "0:0\n" }, "account files are lines"],
      ["user-over-32-bits", { User: "4294967296" }, "CVE-2024-40635: it wraps round to root"],
      ["user-minus-one", { User: "4294967295" }, "CVE-2024-40635: setuid(2) takes it for no change"],
      ["user-negative", { User: "-1" }, "no such user"],
      ["user-unknown", { User: "no-such-user" }, "config.md: an error, not root"],
      ["user-number", { User: 0 }, "config.md: a string"],
      ["env-nul", { Env: ["A=x\u0000LD_PRELOAD=/x"] }, "execve(2) would end the value there"],
      ["env-without-equals", { Env: ["NOEQUALS"], Cmd: ["/none"] }, "config.md: VAR=VALUE"],
      ["env-object", { Env: { A: "B" } }, "config.md: an array"],
      ["cmd-nul", { Cmd: ["/bin/sh\u0000x"] }, "execve(2)"],
      ["cmd-text", { Cmd: "/bin/sh" }, "config.md: an array"],
      ["cmd-empty", { Cmd: [], Entrypoint: [] }, "there is nothing to run"],
      [
        "working-directory-proc",
        { WorkingDir: "/proc/self/fd/7", Cmd: ["/none"] },
        "CVE-2024-21626: a working directory outside of the root",
      ],
      [
        "working-directory-relative",
        { WorkingDir: "../../..", Cmd: ["/none"] },
        "conversion.md: it becomes process.cwd, which is absolute",
      ],
      ["stop-signal-nonsense", { StopSignal: "SIGNOTHING", Cmd: ["/none"] }, "config.md"],
      ["volumes-upward", { Volumes: { "/../../etc": {} }, Cmd: ["/none"] }, "a volume lies in the container"],
      ["labels-control", { Labels: { "a\u001b[2J": "\u001b[2J" }, Cmd: ["/none"] }, "nothing of it reaches a terminal raw"],
    ] as const
  ).map(([label, members, why]) =>
    byConfig({ name: `config-${label}`, expect: "refuse-run", why }, (config) => ({ ...config, config: { Cmd: ["/bin/sh"], ...members } })),
  ),
];
