/** Attacks by archive files (docker save, OCI archive): members that lie about where they are. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { directory, file, hardlink, symlink } from "../cases/case.ts";
import { configFor, sha256 } from "../layout-writer.ts";
import { tar, type TarEntry } from "../tar-writer.ts";
import { upAndDown, type Attack, type AttackSite } from "./attack.ts";

const layer = tar([file("file", "sound")]);
const config = Buffer.from(JSON.stringify(configFor([sha256(layer)])));
const configName = `${sha256(config).slice("sha256:".length)}.json`;
const why = "CVE-2014-9358 and its like: what manifest.json names is in the archive, never on the host";

interface DockerManifest {
  readonly Config?: unknown;
  readonly RepoTags?: unknown;
  readonly Layers?: unknown;
}

/** An archive of docker save whose manifest.json and members are changed. */
function dockerArchive(
  name: string,
  expect: Attack["expect"],
  change: (site: AttackSite) => { manifest?: DockerManifest; members?: readonly TarEntry[]; raw?: string },
): Attack {
  return {
    name: `docker-archive-${name}`,
    expect,
    why,
    build: (site) => {
      const { manifest = {}, members, raw } = change(site);
      const document = [{ Config: configName, RepoTags: ["gantry.test/hostile:latest"], Layers: ["layer.tar"], ...manifest }];
      const sound = [file(configName, "", { data: config }), file("layer.tar", "", { data: layer })];
      const path = join(site.directory, "image.tar");
      writeFileSync(path, tar([...(members ?? sound), file("manifest.json", raw ?? JSON.stringify(document))]));
      return path;
    },
  };
}

/** An archive of these members. */
function plainArchive(name: string, expect: Attack["expect"], members: (site: AttackSite) => readonly TarEntry[]): Attack {
  return {
    name,
    expect,
    why,
    build: (site) => {
      const path = join(site.directory, "image.tar");
      writeFileSync(path, tar(members(site)));
      return path;
    },
  };
}

export const archiveFileAttacks: readonly Attack[] = [
  dockerArchive("layer-absolute", "refuse", ({ canary }) => ({ manifest: { Layers: [`${canary}/secret`] } })),
  dockerArchive("layer-upward", "refuse", ({ canary }) => ({ manifest: { Layers: [upAndDown(`${canary}/secret`)] } })),
  dockerArchive("config-absolute", "refuse", ({ canary }) => ({ manifest: { Config: `${canary}/secret` } })),
  dockerArchive("config-upward", "refuse", ({ canary }) => ({ manifest: { Config: upAndDown(`${canary}/secret`) } })),
  dockerArchive("layer-link-out", "refuse", ({ canary }) => ({
    members: [file(configName, "", { data: config }), symlink("layer.tar", `${canary}/secret`)],
  })),
  dockerArchive("layer-link-loop", "refuse", () => ({
    members: [file(configName, "", { data: config }), symlink("layer.tar", "b"), symlink("b", "layer.tar")],
  })),
  dockerArchive("layer-hardlink-out", "refuse", ({ canary }) => ({
    members: [file(configName, "", { data: config }), hardlink("layer.tar", `${canary}/secret`)],
  })),
  dockerArchive("layer-is-a-directory", "refuse", () => ({ members: [file(configName, "", { data: config }), directory("layer.tar")] })),
  dockerArchive("layers-too-few", "refuse", () => ({ manifest: { Layers: [] } })),
  dockerArchive("layers-text", "refuse", () => ({ manifest: { Layers: "layer.tar" } })),
  dockerArchive("layer-wrong", "refuse", () => ({
    members: [file(configName, "", { data: config }), file("layer.tar", "", { data: tar([file("other")]) })],
  })),
  dockerArchive("tags-with-escapes", "contain", () => ({ manifest: { RepoTags: ["a\u001b[2J:b", "../../x:latest", ""] } })),
  dockerArchive("manifest-deep", "refuse", () => ({ raw: "[".repeat(100_000) })),
  dockerArchive("manifest-duplicate-keys", "refuse", () => ({ raw: `[{"Config":"x","Config":"${configName}","Layers":["layer.tar"]}]` })),
  plainArchive("oci-archive-member-upward", "refuse", ({ canary }) => [
    file("oci-layout", '{"imageLayoutVersion":"1.0.0"}'),
    file(upAndDown(`${canary}/pwned`)),
    file("index.json", '{"schemaVersion":2,"manifests":[]}'),
  ]),
  plainArchive("oci-archive-index-link-out", "refuse", ({ canary }) => [
    file("oci-layout", '{"imageLayoutVersion":"1.0.0"}'),
    symlink("index.json", `${canary}/secret`),
  ]),
  plainArchive("archive-of-nothing", "refuse", () => []),
  plainArchive("archive-of-other-things", "refuse", () => [file("README", "hello")]),
];
