/**
 * `npm run demo`: from a real image to running containers, and what Gantry does about the things that go wrong.
 *
 * The image is made here from Debian's busybox-static package (or the machine's own busybox): no internet beyond the package
 * manager is needed. All state lies in a temporary directory and is gone afterwards.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const projectRoot = new URL("..", import.meta.url).pathname;
const scratch = mkdtempSync(join(tmpdir(), "gantry-demo-"));
const color = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;

function paint(code: string, text: string): string {
  return color ? `\x1b[${code}m${text}\x1b[0m` : text;
}

function title(text: string): void {
  console.log(`\n${paint("1;36", `== ${text}`)}`);
}

function note(text: string): void {
  console.log(paint("2", text));
}

/** Runs a program to its end. @throws when it cannot be started */
function capture(command: readonly string[], options: { cwd?: string } = {}): { exitCode: number; stdout: string; stderr: string } {
  // Without `env`, Bun hands on what the environment was when this process started.
  const env = { ...process.env, GANTRY_ROOT: join(scratch, "root") };
  // To files: a container that `create` leaves behind keeps what it was given open.
  const outputs = ["stdout", "stderr"].map((name) => join(scratch, name));
  const descriptors = outputs.map((path) => openSync(path, "w"));
  const { exitCode } = Bun.spawnSync([...command], { cwd: options.cwd ?? scratch, env, stdio: ["ignore", ...descriptors] as never });
  for (const descriptor of descriptors) closeSync(descriptor);
  const [stdout = "", stderr = ""] = outputs.map((path) => readFileSync(path, "utf8"));
  return { exitCode, stdout, stderr };
}

/** Shows a command line of `gantry` or `program`, runs it, shows what it printed; `lines` shortens long output. Fails the demo on another exit code. */
function show(args: readonly string[], options: { expect?: number; lines?: number; program?: string } = {}): string {
  const { program = "gantry" } = options;
  console.log(
    `${paint("32", "$")} ${paint("1", [program, ...args].map((word) => (/^[\w./:=@+-]+$/.test(word) ? word : `'${word}'`)).join(" "))}`,
  );
  const { exitCode, stdout, stderr } = capture([join(projectRoot, "dist", program), ...args]);
  const lines = `${stdout}${stderr}`.trimEnd().split("\n");
  const limit = options.lines ?? 40;
  console.log(lines.slice(0, limit).join("\n"));
  if (lines.length > limit) note(`… ${lines.length - limit} more lines`);
  const expected = options.expect ?? 0;
  if (expected !== 0) note(`exit code ${exitCode}`);
  if (exitCode !== expected) throw new Error(`expected exit code ${expected}, got ${exitCode}`);
  return stdout;
}

/** A busybox that needs no libraries: the machine's, or the one in Debian's package. */
function findBusybox(): string {
  for (const path of ["/bin/busybox", "/usr/bin/busybox"]) {
    if (existsSync(path) && capture([path, "true"]).exitCode === 0 && capture(["ldd", path]).exitCode !== 0) return path;
  }
  const download = capture(["apt-get", "download", "busybox-static"]);
  const archive = readdirSync(scratch).find((name) => name.endsWith(".deb"));
  if (download.exitCode !== 0 || archive === undefined) {
    throw new Error(
      `cannot get busybox-static: ${download.stderr.trim().split("\n").at(-1) ?? ""} (try "apt-get update", or install busybox-static)`,
    );
  }
  capture(["dpkg-deb", "-x", join(scratch, archive), join(scratch, "package")]);
  const path = ["bin/busybox", "usr/bin/busybox"].map((name) => join(scratch, "package", name)).find((name) => existsSync(name));
  if (path === undefined) throw new Error("the package busybox-static holds no busybox");
  return path;
}

/** Writes a blob of the layout and gives its descriptor. */
function blob(layout: string, mediaType: string, content: Uint8Array): { mediaType: string; digest: string; size: number } {
  const hex = createHash("sha256").update(content).digest("hex");
  writeFileSync(join(layout, "blobs", "sha256", hex), content);
  return { mediaType, digest: `sha256:${hex}`, size: content.length };
}

/** An OCI image layout of two layers: busybox with its links, then a greeting. */
function makeImage(busybox: string): string {
  const layout = join(scratch, "layout");
  mkdirSync(join(layout, "blobs", "sha256"), { recursive: true });
  const [base, top] = [join(scratch, "base"), join(scratch, "top")];
  for (const name of ["bin", "etc", "root", "proc", "sys", "dev", "tmp"]) mkdirSync(join(base, name), { recursive: true });
  copyFileSync(busybox, join(base, "bin", "busybox"));
  for (const applet of capture([busybox, "--list"]).stdout.trim().split("\n")) {
    if (applet !== "busybox") symlinkSync("busybox", join(base, "bin", applet));
  }
  writeFileSync(join(base, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/:/bin/sh\n");
  writeFileSync(join(base, "etc", "group"), "root:x:0:\nguest:x:1000:\n");
  mkdirSync(join(top, "etc"), { recursive: true });
  writeFileSync(join(top, "etc", "greeting"), "Hello from the second layer.\n");
  const layers = [base, top].map((directory) => {
    const tar = capture([
      "tar",
      "--owner=0",
      "--group=0",
      "--numeric-owner",
      "--sort=name",
      "-cf",
      `${directory}.tar`,
      "-C",
      directory,
      ".",
    ]);
    if (tar.exitCode !== 0) throw new Error(`cannot make a layer: ${tar.stderr}`);
    const content = readFileSync(`${directory}.tar`);
    return {
      diffId: `sha256:${createHash("sha256").update(content).digest("hex")}`,
      descriptor: blob(layout, "application/vnd.oci.image.layer.v1.tar+gzip", Bun.gzipSync(content)),
    };
  });
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const config = {
    architecture,
    os: "linux",
    created: new Date().toISOString(),
    config: { Env: ["PATH=/bin"], Cmd: ["/bin/sh"] },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
  };
  const encode = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: blob(layout, "application/vnd.oci.image.config.v1+json", encode(config)),
    layers: layers.map((layer) => layer.descriptor),
  };
  const entry = {
    ...blob(layout, manifest.mediaType, encode(manifest)),
    annotations: { "org.opencontainers.image.ref.name": "busybox:demo" },
  };
  writeFileSync(
    join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [entry] }),
  );
  writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return layout;
}

/** Has the bundle's container run `args`. */
function setCommand(bundle: string, args: readonly string[]): void {
  const path = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8")) as { process: { args: readonly string[]; terminal?: boolean } };
  config.process = { ...config.process, args, terminal: false };
  writeFileSync(path, JSON.stringify(config));
}

function demonstrate(): void {
  title("1. A real image");
  const busybox = findBusybox();
  note(
    `An OCI image of two layers, made from ${busybox === "/bin/busybox" ? "this machine's busybox" : "Debian's busybox-static"} (${Math.round(statSync(busybox).size / 1024)} KiB).`,
  );
  show(["load", "--quiet", makeImage(busybox)]);
  show(["images"]);

  title("2. A container is a program");
  note("Before anything runs: every operation that a container will cause, with the part of the configuration it comes from.");
  show(["explain", "--memory", "32m", "--pids-limit", "16", "busybox:demo", "cat", "/etc/greeting"], { lines: 400 });

  if (process.getuid?.() !== 0) {
    note("\nRunning containers needs root for now: run the demo as root to see the rest.");
    return;
  }
  title("3. Running it");
  show(["run", "--rm", "busybox:demo", "cat", "/etc/greeting"]);
  show(["run", "--rm", "busybox:demo", "sh", "-c", "hostname; id; ps; ls /"]);
  note("Exit codes are the command's own; 127 means that it is not there, as under docker and podman.");
  show(["run", "--rm", "busybox:demo", "sh", "-c", "exit 7"], { expect: 7 });
  show(["run", "--rm", "busybox:demo", "no-such-command"], { expect: 127 });

  title("4. Two containers of one image do not see each other's writes");
  show(["run", "--name", "first", "busybox:demo", "sh", "-c", "echo changed > /etc/greeting; cat /etc/greeting"]);
  show(["run", "--name", "second", "busybox:demo", "cat", "/etc/greeting"]);
  show(["ps", "--all"]);

  title("5. Limits bite");
  note("A process that wants all memory is killed at 32 MiB; the machine does not notice.");
  show(["run", "--name", "hog", "--memory", "32m", "busybox:demo", "tail", "/dev/zero"], { expect: 137 });
  show(["ps", "--all"], { lines: 2 });
  note("Forty processes at once, where sixteen are allowed:");
  show(["run", "--rm", "--pids-limit", "16", "busybox:demo", "sh", "-c", "for i in $(seq 40); do sleep 1 & done 2>&1; wait"], {
    expect: 2,
    lines: 3,
  });

  const bundle = showChanges();
  showRuntime(bundle);

  title("8. Cleaning up");
  show(["rm", "first", "second", "hog"]);
  show(["rmi", "busybox:demo", "busybox:changed", "busybox:repacked"]);
  show(["verify"]);
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(scratch));
  note(`Mounts left behind: ${mounts.length}. All of this took place below ${scratch}, which is removed now.`);
}

/** Makes images of what was changed in a container and in a bundle. @returns the bundle */
function showChanges(): string {
  title("6. A change becomes an image");
  show(["diff", "first"]);
  show(["commit", "first", "busybox:changed"]);
  show(["run", "--rm", "busybox:changed", "cat", "/etc/greeting"]);
  show(["layers", "busybox:changed"], { lines: 30 });
  note("The same without a container: an image is unpacked to a bundle, changed with any tool, and packed again.");
  const bundle = join(scratch, "bundle");
  show(["unpack", "--quiet", "busybox:demo", bundle]);
  rmSync(join(bundle, "rootfs", "etc", "greeting"));
  show(["repack", bundle, "busybox:repacked"]);
  show(["run", "--rm", "busybox:repacked", "ls", "/etc"]);
  return bundle;
}

function showRuntime(bundle: string): void {
  title("7. An OCI runtime for other engines");
  note("The bundle is what podman, containerd and docker hand to a runtime; these are the calls that they make.");
  const runtime = (...args: readonly string[]): string => show(["--root", join(scratch, "state"), ...args], { program: "gantry-runtime" });
  setCommand(bundle, ["sh", "-c", "echo I have started; exec sleep 60"]);
  runtime("create", "--bundle", bundle, "demo");
  runtime("state", "demo");
  runtime("start", "demo");
  runtime("exec", "demo", "ps");
  runtime("kill", "demo", "KILL");
  runtime("delete", "--force", "demo");
}

try {
  demonstrate();
  title("That was a first look. README.md says where to read on.");
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
