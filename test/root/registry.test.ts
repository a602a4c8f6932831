/** Pull and push with Debian's docker-registry, compared with skopeo and podman. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { file } from "../support/images/cases/case.ts";
import { installed, tool } from "../support/images/commands.ts";
import { LayoutWriter, mediaTypes, sha256, type WrittenDescriptor } from "../support/images/layout-writer.ts";
import { tar } from "../support/images/tar-writer.ts";
import { tinyLayer } from "../support/images/tiny.ts";
import { startRegistry, type Server } from "../support/registry/server.ts";
import { patient } from "../support/slowness.ts";
import type { Ended } from "./gantry-harness.ts";
import { makeScratch, reason, skopeo, Store } from "./registry-harness.ts";

if (reason !== undefined) console.log(`skipped: ${reason}`);
setDefaultTimeout(patient(180_000));

const scratch = makeScratch();
const layout = join(scratch, "layout");

/** Writes an image that runs, with a layer of random bytes, for two platforms under one index. */
function writeIndex(): { index: WrittenDescriptor; native: WrittenDescriptor } {
  const writer = new LayoutWriter(layout);
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const native = writer.image(
    [tinyLayer(), tar([file("etc/greeting", "hello\n")])].map((layer) => writer.layer(layer)),
    { architecture },
  );
  const foreign = writer.image([writer.layer(tar([file("etc/greeting", "other\n")]))], { architecture: "s390x" });
  const manifests = [
    { ...native, platform: { os: "linux", architecture } },
    { ...foreign, platform: { os: "linux", architecture: "s390x" } },
  ];
  const index = writer.json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }, mediaTypes.index);
  writer.index([
    { ...index, annotations: { "org.opencontainers.image.ref.name": "multi" } },
    { ...native, annotations: { "org.opencontainers.image.ref.name": "tiny" } },
  ]);
  return { index, native };
}

describe.skipIf(reason !== undefined)("a registry by http", () => {
  let server: Server;
  let images: ReturnType<typeof writeIndex>;

  beforeAll(async () => {
    server = await startRegistry({ directory: join(scratch, "plain") });
    images = writeIndex();
    for (const name of ["multi", "tiny"])
      skopeo("copy", "-q", "--all", "--dest-tls-verify=false", `oci:${layout}:${name}`, `docker://${server.host}/team/${name}:1`);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test("what skopeo pushed is pulled by tag, by digest and by both, verified, and runs", async () => {
    const store = new Store(scratch);
    const name = `${server.host}/team/tiny`;
    expect(await store.ok("pull", `${name}:1`)).toBe(`Digest: ${images.native.digest}\nStatus: pulled\n${name}:1\n`);
    expect(await store.ok("pull", `${name}:1`)).toContain("Status: up to date\n");
    const byDigest = `${name}@${images.native.digest}`;
    expect(await store.ok("pull", byDigest)).toContain(`${byDigest}\n`);
    expect(await store.ok("pull", `${name}:gone@${images.native.digest}`)).toContain(`${byDigest}\n`);
    for (const image of [`${name}:1`, byDigest])
      expect(await store.ok("run", "--rm", image, "/bin/busybox", "cat", "/etc/greeting")).toBe("hello\n");
    expect(await store.ok("verify")).toBe("clean\n");
  });

  test("of an index the image for this machine is pulled, another one or all of them when asked for", async () => {
    const name = `${server.host}/team/multi:1`;
    const store = new Store(scratch);
    expect(await store.ok("pull", name)).toContain(`Digest: ${images.native.digest}\n`);
    expect(await store.ok("pull", "--all-platforms", name)).toContain(`Digest: ${images.index.digest}\n`);
    expect(await store.ok("run", "--rm", name, "/bin/busybox", "cat", "/etc/greeting")).toBe("hello\n");
    expect(await store.ok("push", "--all", name, `${server.host}/copy/multi:2`)).toContain(`Digest: ${images.index.digest}\n`);
    const raw = skopeo("inspect", "--raw", "--tls-verify=false", `docker://${server.host}/copy/multi:2`);
    expect(sha256(Buffer.from(raw))).toBe(images.index.digest);
    expect(await new Store(scratch).ok("pull", "--platform", "linux/s390x", name)).not.toContain(images.native.digest);
    expect((await new Store(scratch).gantry(["pull", "--platform", "linux/mips", name])).stderr).toContain(
      "cannot find an image for linux/mips",
    );
    expect(await store.ok("verify")).toBe("clean\n");
  });

  test("what is pushed is byte for byte what was pulled, say skopeo and podman", async () => {
    const store = new Store(scratch);
    await store.ok("pull", `${server.host}/team/tiny:1`);
    const pushed = await store.gantry(["push", `${server.host}/team/tiny:1`, `${server.host}/fresh/tiny:new`]);
    expect(pushed.stdout).toBe(`Digest: ${images.native.digest}\nPushed: ${server.host}/fresh/tiny:new\n`);
    expect(pushed.stderr.match(/mounted/g)).toHaveLength(3);
    expect(skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", `docker://${server.host}/fresh/tiny:new`).trim()).toBe(
      images.native.digest,
    );
    const copy = join(scratch, "skopeo-copy");
    skopeo("copy", "-q", "--src-tls-verify=false", `docker://${server.host}/fresh/tiny:new`, `oci:${copy}:1`);
    const blobs = readdirSync(join(copy, "blobs/sha256"));
    expect(blobs).toHaveLength(4);
    for (const blob of blobs) expect(sha256(readFileSync(join(copy, "blobs/sha256", blob)))).toBe(`sha256:${blob}`);
    if (installed("podman")) {
      const storage = ["--root", join(scratch, "podman"), "--runroot", join(scratch, "podman-run"), "--storage-driver", "vfs"];
      const id = tool(["podman", ...storage, "pull", "-q", "--tls-verify=false", `${server.host}/fresh/tiny:new`]).trim();
      expect(await store.ok("images", "-q", "--no-trunc")).toContain(`sha256:${id}\n`);
    }
    const again = await store.gantry(["push", `${server.host}/team/tiny:1`, `${server.host}/fresh/tiny:new`]);
    expect(again.stderr).toContain("already there");
  });

  test("copy goes from and to registries as from and to other places", async () => {
    const store = new Store(scratch);
    const target = join(scratch, "copied");
    await store.ok("copy", "-q", "--all", `docker://${server.host}/team/multi:1`, `oci:${target}:m`);
    expect(await store.ok("copy", "-q", "--all", `oci:${target}:m`, `docker://${server.host}/back/multi:3`)).toBe(
      `${images.index.digest}\n`,
    );
    expect(sha256(Buffer.from(skopeo("inspect", "--raw", "--tls-verify=false", `docker://${server.host}/back/multi:3`)))).toBe(
      images.index.digest,
    );
  });

  test("U8 R2 signatures are taken along to a registry that keeps no lists of them, and from it", async () => {
    const from = join(scratch, "signed");
    const writer = new LayoutWriter(from);
    const image = writer.image([writer.layer(tar([file("a", "b")]))]);
    const empty = writer.blob(Buffer.from("{}"), "application/vnd.oci.empty.v1+json");
    const { mediaType, digest, size } = image;
    const signature = {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: "application/x.sig",
      config: empty,
      layers: [empty],
      subject: { mediaType, digest, size },
    };
    const signed = writer.json(signature, mediaTypes.manifest);
    const list = writer.json(
      { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [{ ...signed, artifactType: "application/x.sig" }] },
      mediaTypes.index,
    );
    const named = (descriptor: WrittenDescriptor, name: string): object => ({
      ...descriptor,
      annotations: { "org.opencontainers.image.ref.name": name },
    });
    writer.index([named(image, "1"), named(list, digest.replace(":", "-"))]);
    const store = new Store(scratch);
    const back = join(scratch, "signed-back");
    await store.ok("copy", "-q", "--referrers", `oci:${from}:1`, `docker://${server.host}/signed/app:1`);
    await store.ok("copy", "-q", "--referrers", `docker://${server.host}/signed/app:1`, `oci:${back}:1`);
    expect(existsSync(join(back, "blobs", signed.digest.replace(":", "/")))).toBe(true);
  });

  test("T1 K1 tags are listed; images, tags and signatures are deleted, and the list of signatures is kept right", async () => {
    const store = new Store(scratch);
    const name = `${server.host}/gone/app`;
    await store.ok("copy", "-q", `oci:${layout}:tiny`, "store:gone:1");
    await store.ok("push", "-q", "gone:1", `${name}:b`, "--tag", "a", "--tag", "c");
    expect(await store.ok("registry", "tags", name)).toBe("a\nb\nc\n");
    const note = join(store.home, "note");
    const attached: string[] = [];
    for (const text of ["one", "two"]) {
      writeFileSync(note, text);
      attached.push((await store.ok("artifact", "attach", "--type", "text/x-note", `docker://${name}:a`, note)).trim());
    }
    const listed = async (): Promise<string[]> =>
      (JSON.parse(await store.ok("artifact", "list", "--format", "json", `docker://${name}:a`)) as { digest: string }[]).map(
        ({ digest }) => digest,
      );
    expect((await listed()).toSorted()).toEqual(attached.toSorted());
    expect(await store.ok("registry", "delete", `${name}@${attached[0] ?? ""}`)).toBe(`Deleted: ${name}@${attached[0] ?? ""}\n`);
    expect(await listed()).toEqual(attached.slice(1));
    expect(await store.ok("registry", "delete", `${name}@${attached[0] ?? ""}`)).toContain("Not there: ");
    const byTag = await store.gantry(["registry", "delete", `${name}:b`]);
    // Debian's registry deletes no tags; newer ones do.
    if (byTag.code === 0) expect(await store.ok("registry", "tags", name)).not.toContain("b\n");
    else expect(byTag.stderr).toContain(`does not delete tags; ${name}@${images.native.digest} would delete the image with all its tags`);
    await store.ok("registry", "delete", `${name}@${images.native.digest}`);
    expect((await store.gantry(["pull", `${name}:a`])).stderr).toContain("does not have it");
    expect((await store.gantry(["registry", "delete", name])).stderr).toContain("say which of its images");
    expect((await store.gantry(["registry", "tags", `${name}:a`])).stderr).toContain("a repository has no tag");
  });

  test("what is not there, and where nothing is, is said in a sentence", async () => {
    const store = new Store(scratch);
    const missing = await store.gantry(["pull", `${server.host}/team/none:1`]);
    expect(missing).toMatchObject({ code: 1, stdout: "" });
    expect(missing.stderr).toBe(
      `gantry: cannot get manifest 1 of ${server.host}/team/none: ${server.host} does not have it (it says: MANIFEST_UNKNOWN: manifest unknown)\n`,
    );
    expect((await store.gantry(["pull", "debian"])).stderr).toContain("it names no registry");
  });

  test("events are JSON, one a line, and the last one is the result", async () => {
    const lines = (await new Store(scratch).ok("pull", "--format", "json", `${server.host}/team/tiny:1`)).trim().split("\n");
    const events = lines.map((line) => JSON.parse(line) as { kind: string; digest: string });
    expect(new Set(events.map(({ kind }) => kind))).toEqual(new Set(["resolved", "blob", "blob-done", "layer", "result"]));
    expect(events.at(-1)).toMatchObject({ kind: "result", result: { digest: images.native.digest } });
  });
});

describe.skipIf(reason !== undefined)("a registry with https and a login", () => {
  const login = { username: "user", password: "correct horse" };
  let server: Server;

  beforeAll(async () => {
    server = await startRegistry({ directory: join(scratch, "secure"), tls: true, login });
    writeIndex();
    const words = ["--dest-tls-verify=false", "--dest-creds", `${login.username}:${login.password}`];
    skopeo("copy", "-q", ...words, `oci:${layout}:tiny`, `docker://${server.host}/team/tiny:1`);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** A user who trusts the registry's authority, by settings or as docker has it. */
  function trusting(how: "settings" | "directory"): Store {
    const store = new Store(scratch);
    const config = join(store.home, "config");
    if (how === "directory") {
      const directory = join(config, "containers/certs.d", server.host);
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, "ca.crt"), readFileSync(server.ca));
    } else {
      mkdirSync(join(config, "gantry"), { recursive: true });
      writeFileSync(join(config, "gantry/registries.json"), JSON.stringify({ registries: { [server.host]: { ca: server.ca } } }));
    }
    store.env["XDG_CONFIG_HOME"] = config;
    return store;
  }

  const logIn = (store: Store, password: string, ...words: readonly string[]): Promise<Ended> =>
    store.gantry(["login", ...words, "--username", login.username, "--password-stdin", server.host], { stdin: `${password}\n` });

  test("A6 an authority that is not known is refused, unless the user says that it does not matter", async () => {
    const store = new Store(scratch);
    const refused = await store.gantry(["pull", `${server.host}/team/tiny:1`]);
    expect(refused.stderr).toContain(`the certificate of ${server.host} is not trusted`);
    await logIn(store, login.password, "--insecure");
    expect(await store.ok("pull", "--insecure", `${server.host}/team/tiny:1`)).toContain("Status: pulled");
  });

  test.each(["settings", "directory"] as const)("A5 A6 with its authority known by %s: login, pull, push, logout", async (how) => {
    const store = trusting(how);
    const name = `${server.host}/team/tiny:1`;
    expect((await store.gantry(["pull", name])).stderr).toContain(`wants to know who you are (try: gantry login ${server.host})`);
    const wrong = await logIn(store, "wrong");
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain("does not accept");
    const config = join(store.home, ".docker/config.json");
    expect(existsSync(config)).toBe(false);
    expect((await logIn(store, login.password)).stdout).toBe(`Logged in at ${server.host} (kept in ${config})\n`);
    expect(statSync(config).mode & 0o777).toBe(0o600);
    expect(await store.ok("pull", name)).toContain("Status: pulled");
    expect(await store.ok("push", name, `${server.host}/mine/tiny:${how}`)).toContain("Pushed:");
    const inspected = skopeo("inspect", "--tls-verify=false", "--authfile", config, `docker://${server.host}/mine/tiny:${how}`);
    expect(await store.ok("inspect", name)).toContain((JSON.parse(inspected) as { Digest: string }).Digest);
    expect(await store.ok("logout", server.host)).toContain("Logged out");
    expect(await store.ok("logout", server.host)).toContain("There was no login");
    expect((await store.gantry(["pull", name])).code).toBe(1);
  });

  test("A5 a credential helper is stored to, asked and erased", async () => {
    const store = trusting("settings");
    const programs = join(store.home, "bin");
    mkdirSync(programs);
    const helper = join(programs, "docker-credential-test");
    const kept = join(store.home, "kept");
    const script = `case "$1" in store) cat > ${kept};; erase) rm -f ${kept};; get) [ -s ${kept} ] && cat ${kept} || { echo "credentials not found in native keychain"; exit 1; };; esac`;
    writeFileSync(helper, `#!/bin/sh\n${script}\n`);
    chmodSync(helper, 0o755);
    mkdirSync(join(store.home, ".docker"));
    const config = join(store.home, ".docker/config.json");
    writeFileSync(config, '{"credsStore":"test"}');
    store.env["PATH"] = `${programs}:${process.env["PATH"] ?? ""}`;
    const name = `${server.host}/team/tiny:1`;
    expect((await store.gantry(["pull", name])).stderr).toContain("wants to know who you are");
    expect((await logIn(store, login.password)).stdout).toContain("(kept in docker-credential-test)");
    expect(readFileSync(config, "utf8")).toBe('{"credsStore":"test"}');
    expect(await store.ok("pull", name)).toContain("Status: pulled");
    expect(await store.ok("logout", server.host)).toContain("Logged out");
    expect(existsSync(kept)).toBe(false);
  });
});
