/**
 * What the tests with real clients share: the runtime that they are run with, and each client with directories of its own.
 *
 *     RUNTIME=/usr/bin/crun npm run test:interop        the same with a peer, as a check of these tests
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { eventually, execute, runtimePath, unableHere, type Ended, type RunOptions } from "../root/gantry-harness.ts";
import { installed } from "../support/images/commands.ts";
import { tinyLayer } from "../support/images/tiny.ts";
import { type Act, drive, type Driven } from "../support/terminal.ts";

/** The runtime that the clients are told to use. */
export const runtime = process.env["RUNTIME"] ?? runtimePath;

/** The first word of what it says of its version: `gantry-runtime`, `runc`, `crun`. */
export const runtimeName = unableHere === undefined ? (Bun.spawnSync([runtime, "--version"]).stdout.toString().split(" ")[0] ?? "") : "";

/** Why tests that need these programs cannot run here; undefined when they can. */
export function missing(...names: readonly string[]): string | undefined {
  return unableHere ?? names.filter((name) => !installed(name)).map((name) => `${name} is not installed`)[0];
}

/** The name of a suite, with the reason when it is skipped. */
export function title(client: string, reason: string | undefined): string {
  return `${client} with ${runtime}${reason === undefined ? "" : ` (skipped: ${reason})`}`;
}

/** A scratch directory in memory, which goes when the process that tests ends. */
export function scratchPlace(): string {
  const path = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-interop-"));
  process.on("exit", () => rmSync(path, { recursive: true, force: true }));
  return path;
}

/**
 * Without limits that need CAP_SYS_RESOURCE, which the machine may lack. What podman lets a runtime do it decides by the name of the file.
 */
function settings(): string {
  const names = JSON.stringify([...new Set(["crun", "runc", basename(runtime)])]);
  const able = JSON.stringify([...new Set(["crun", runtimeName === "runc" ? "crun" : basename(runtime)])]);
  return `[containers]
default_ulimits=["nofile=1024:1024","nproc=4096:4096"]
[engine]
runtime_supports_json=${names}
runtime_supports_nocgroup=${able}
`;
}

/** A daemon that a test needs, in the background, with its output in a file. */
export class Daemon {
  readonly #child: Bun.Subprocess;

  constructor(command: readonly string[], log: string) {
    this.#child = Bun.spawn([...command], { stdin: "ignore", stdout: Bun.file(log), stderr: Bun.file(log) });
  }

  /** Asks it to end and waits until it has; after a minute it is killed. */
  async end(): Promise<void> {
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 60_000);
    await this.#child.exited;
    clearTimeout(timer);
  }
}

/** containerd with directories of its own below `directory`. Its socket is `socket`. */
export class Containerd {
  readonly socket: string;
  readonly #directory: string;
  #daemon: Daemon | undefined;

  constructor(directory: string) {
    this.#directory = join(directory, "containerd");
    this.socket = join(this.#directory, "socket");
  }

  async start(): Promise<void> {
    mkdirSync(this.#directory, { recursive: true });
    const places = `root = "${this.#directory}/root"\nstate = "${this.#directory}/state"\n`;
    const config = join(this.#directory, "config.toml");
    writeFileSync(config, `version = 2\n${places}disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "${this.socket}"\n`);
    this.#daemon = new Daemon(["containerd", "-c", config], join(this.#directory, "log"));
    if (!(await eventually(async () => (await this.ctr("version")).code === 0, 90_000))) throw new Error("containerd does not answer");
  }

  ctr(...words: readonly string[]): Promise<Ended> {
    return execute(this.command(...words));
  }

  command(...words: readonly string[]): string[] {
    return ["ctr", "-a", this.socket, ...words];
  }

  async end(): Promise<void> {
    await this.#daemon?.end();
  }
}

/** podman with a store of its own, which has the image `tiny`. */
export class Podman {
  readonly directory: string = scratchPlace();
  readonly environment: Readonly<Record<string, string>> = { CONTAINERS_CONF: join(this.directory, "containers.conf") };

  /** The options that name the store: podman and buildah have them in common. */
  readonly store: readonly string[] = [
    "--storage-driver=vfs",
    `--root=${join(this.directory, "root")}`,
    `--runroot=${join(this.directory, "run")}`,
  ];

  /** `podman WORDS…`, with the runtime. */
  command(...words: readonly string[]): string[] {
    return ["podman", ...this.store, "--cgroup-manager", "cgroupfs", "--runtime", runtime, ...words];
  }

  podman(...words: readonly string[]): Promise<Ended> {
    return this.execute(this.command(...words));
  }

  /** Any program with podman's environment. podman's monitor leaves a file in the working directory when memory runs out. */
  execute(command: readonly string[], options: Pick<RunOptions, "stdin"> = {}): Promise<Ended> {
    return execute(command, { ...options, env: this.environment, cwd: this.directory });
  }

  /** What podman prints. @throws Error when it fails */
  async output(...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.podman(...words);
    if (code !== 0) throw new Error(`podman ${words.join(" ")}: exit code ${code}: ${stderr}`);
    return stdout.trim();
  }

  /** podman in a terminal. */
  drive(acts: readonly Act[], ...words: readonly string[]): Promise<Driven> {
    return drive(acts, this.command(...words), this.environment);
  }

  /** Runs a script in a new container without a network of its own, which is removed at its end. */
  run(script: string, ...options: readonly string[]): Promise<Ended> {
    return this.podman("run", "--rm", "--network", "none", ...options, "tiny", "/bin/busybox", "sh", "-c", script);
  }

  /** Starts a container that stays. */
  start(name: string, script: string, ...options: readonly string[]): Promise<string> {
    return this.output("run", "-d", "--name", name, "--network", "none", ...options, "tiny", "/bin/busybox", "sh", "-c", script);
  }

  async load(): Promise<void> {
    writeFileSync(this.environment["CONTAINERS_CONF"] ?? "", settings());
    writeFileSync(join(this.directory, "tiny.tar"), tinyLayer());
    await this.output("import", join(this.directory, "tiny.tar"), "tiny");
  }

  async close(): Promise<void> {
    await this.podman("pod", "rm", "-fa", "-t", "0");
    await this.podman("rm", "-fa", "-t", "0");
    rmSync(this.directory, { recursive: true, force: true });
  }
}
