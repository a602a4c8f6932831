/** Drives the built programs as a user would: an image of a static busybox in a root directory of its own, runs of `gantry` on it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { file } from "../support/images/cases/case.ts";
import { installed, tool } from "../support/images/commands.ts";
import { LayoutWriter } from "../support/images/layout-writer.ts";
import { tar } from "../support/images/tar-writer.ts";
import { tinyLayer } from "../support/images/tiny.ts";
import { patient } from "../support/slowness.ts";

const built = new URL("../../dist/", import.meta.url).pathname;
export const gantryPath = `${built}gantry`;
export const runtimePath = `${built}gantry-runtime`;

/** The runtime that RUNTIME names instead of those that tests choose themselves. */
export const runtimeTested: string | undefined = process.env["RUNTIME"];

/** Why no container can be made here; undefined when they can. */
export const unableHere: string | undefined = reason();

/** Why tests of Gantry's own parts do not run; undefined when they do. */
export const unable: string | undefined = unableHere ?? notGantry();

/** With RUNTIME a peer is asked how containers behave, and what only Gantry has is no question to it. */
export function notGantry(): string | undefined {
  if (runtimeTested === undefined) return undefined;
  const isGantry = Bun.spawnSync([runtimeTested, "--version"]).stdout.toString().startsWith("gantry");
  return isGantry ? undefined : `RUNTIME is ${runtimeTested}: these are tests of Gantry's own parts`;
}

function reason(): string | undefined {
  if (process.getuid?.() !== 0) return "not root: containers need namespaces, mounts and cgroups";
  if (!existsSync(gantryPath) || !existsSync(runtimePath)) return "dist/ is not built: node scripts/setup.mjs";
  return existsSync("/bin/busybox") || existsSync("/usr/bin/busybox") ? undefined : "busybox is not installed (Debian: busybox-static)";
}

/** Whether controllers are on cgroup v1. A directory of v2 may have any name, but no such file. */
export const hasV1: boolean = existsSync("/sys/fs/cgroup/pids/tasks");

/** What a program left. A signal that ended it counts as 128 + its number, as in a shell. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Runs a program to its end, for at most a minute (more on a slow machine). */
export async function execute(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = Bun.spawn([...command], {
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    timeout: patient(60_000),
    killSignal: "SIGKILL",
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [stdout, stderr, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { code, stdout, stderr };
}

/** A root directory of Gantry in a scratch directory, which goes when the process that tests ends. */
export class Workbench {
  readonly directory: string;
  readonly root: string;
  /** An OCI layout of the image `tiny`: two layers, the upper with /etc/greeting. */
  readonly layout: string;

  constructor() {
    this.directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-test-"));
    process.on("exit", () => this.remove());
    this.root = join(this.directory, "root");
    this.layout = join(this.directory, "layout");
    const writer = new LayoutWriter(this.layout);
    const layers = [tinyLayer(), tar([file("etc/greeting", "hello\n")])].map((layer) => writer.layer(layer));
    writer.tag(writer.image(layers, { architecture: process.arch === "arm64" ? "arm64" : "amd64" }), "tiny:latest");
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** `gantry --root ROOT ARGS…`. */
  command(...args: readonly string[]): string[] {
    return [gantryPath, "--root", this.root, ...args];
  }

  gantry(...args: readonly string[]): Promise<Ended> {
    return execute(this.command(...args));
  }

  /** Runs a script in a new container of `tiny` that is removed at its end. */
  shell(script: string, ...options: readonly string[]): Promise<Ended> {
    return this.gantry("run", "--rm", ...options, "tiny", "/bin/busybox", "sh", "-c", script);
  }

  /** Loads the image. Throws when that fails. */
  async load(): Promise<void> {
    const { code, stderr } = await this.gantry("load", "--quiet", this.layout);
    if (code !== 0) throw new Error(`cannot load the test image: ${stderr}`);
  }

  /** Starts a container that stays, with standard output to read; waits until it has written its first line. */
  async start(name: string, script: string, ...options: readonly string[]): Promise<StartedContainer> {
    const words = this.command("run", "--name", name, ...options, "tiny", "/bin/busybox", "sh", "-c", script);
    const process = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: patient(60_000), killSignal: "SIGKILL" });
    const reader = process.stdout.getReader();
    let text = "";
    while (!text.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`container ${name} ended before its first line: ${await new Response(process.stderr).text()}`);
      text += Buffer.from(value).toString();
    }
    const rest = async (): Promise<string> => {
      for (let part = await reader.read(); !part.done; part = await reader.read()) text += Buffer.from(part.value).toString();
      return text;
    };
    return { process, rest };
  }

  /** What `inspect` says of one container or image. */
  async inspect(name: string): Promise<Inspected> {
    const { code, stdout, stderr } = await this.gantry("inspect", name);
    if (code !== 0) throw new Error(`cannot inspect ${name}: ${stderr}`);
    const [found] = JSON.parse(stdout) as Inspected[];
    if (found === undefined) throw new Error(`inspect printed nothing about ${name}`);
    return found;
  }
}

/** A container that runs. */
export interface StartedContainer {
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  /** All of its standard output, once it ended. */
  readonly rest: () => Promise<string>;
}

/** What tests read of `inspect`. */
export interface Inspected {
  readonly type: string;
  readonly id: string;
  readonly cgroups: readonly string[];
  readonly state: { readonly status: string; readonly pid?: number; readonly exitCode?: number; readonly outOfMemory?: boolean };
}

/** A bundle directory with the tree of `tiny`, whose config.json a peer wrote and `change` edited. Undefined without runc. */
export function makeBundle(directory: string, change: (config: BundleConfig) => void): string {
  mkdirSync(join(directory, "rootfs"), { recursive: true });
  writeFileSync(join(directory, "layer.tar"), tinyLayer());
  tool(["tar", "-xf", join(directory, "layer.tar"), "-C", join(directory, "rootfs")]);
  writeConfig(directory, change);
  return directory;
}

/** Writes config.json anew, from `runc spec`. */
export function writeConfig(directory: string, change: (config: BundleConfig) => void): void {
  const path = join(directory, "config.json");
  rmSync(path, { force: true });
  tool(["runc", "spec"], { cwd: directory });
  const config = JSON.parse(readFileSync(path, "utf8")) as BundleConfig;
  config.process.terminal = false;
  // Raising a limit needs CAP_SYS_RESOURCE, which the machine of these tests may lack.
  config.process.rlimits = [];
  // runc before 1.2 asks for ambient capabilities that are not inheritable. Nobody can have those, and runc has warned of it since.
  config.process.capabilities.ambient = [];
  change(config);
  writeFileSync(path, JSON.stringify(config));
}

/** The part of config.json that tests edit. */
export interface BundleConfig {
  hostname: string;
  root: { path: string; readonly: boolean };
  process: {
    terminal: boolean;
    args: string[];
    user: { uid: number; gid: number };
    rlimits: unknown[];
    capabilities: { ambient?: string[] };
  };
  linux: { maskedPaths: string[]; cgroupsPath?: string };
}

/** Whether `runc` can be asked for a config.json and be compared with. */
export const hasRunc = installed("runc");

/** What a container could leave on the machine but for cgroups, to be compared before and after. */
export function machineState(bench: Workbench): Record<string, unknown> {
  return {
    mounts: readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(bench.directory)),
    processes: processesOf(bench.directory),
    temporary: filesIn(join(bench.root, "tmp")),
    imageTemporary: filesIn(join(bench.root, "images/tmp")),
    containers: filesIn(join(bench.root, "containers")),
    names: filesIn(join(bench.root, "names")),
    layers: filesIn(join(bench.root, "layers")),
    root: filesIn(bench.root),
  };
}

function filesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}

/** Every cgroup directory of the machine. Others may make some meanwhile: compare with `cgroupsSince`. */
export function allCgroups(): Set<string> {
  // find's own complaint, when a directory goes while it looks, is of no interest.
  const { stdout } = Bun.spawnSync(["find", "/sys/fs/cgroup", "-type", "d"], { stderr: "ignore" });
  return new Set(stdout.toString().split("\n").filter(Boolean));
}

/** The cgroups of containers that are there, were not there `before`, and do not go within fifteen seconds as those of other tests do. */
export async function cgroupsSince(before: ReadonlySet<string>): Promise<string[]> {
  let left = [...allCgroups()].filter((path) => !before.has(path) && /\/gantry-[0-9a-f]{64}$/.test(path));
  await eventually(() => (left = left.filter((path) => existsSync(path))).length === 0, 15_000);
  return left;
}

/**
 * Removes a cgroup that a test has made. Whoever was in it may take a moment to be gone: the dead that nobody has reaped, and a compiler
 * that is still writing down what it has compiled. @throws what the kernel says, when it stays in use
 */
export async function removeCgroup(path: string): Promise<void> {
  let complaint: unknown;
  const isGone = (): boolean => {
    try {
      rmdirSync(path);
      return true;
    } catch (error) {
      complaint = error;
      return false;
    }
  };
  if (!(await eventually(isGone))) throw complaint;
}

/** Command lines of processes that mention `directory`. */
export function processesOf(directory: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
        const root = readFileSync(`/proc/${pid}/mountinfo`, "latin1");
        return Number(pid) !== process.pid && (line.includes(directory) || root.includes(`upperdir=${directory}`))
          ? [`${pid} ${line}`]
          : [];
      } catch {
        return [];
      }
    });
}

/**
 * Waits until `isSo`, for at most `limitMs`. Returns whether it came to be. The limit is generous, as it costs only what fails: on two
 * cores that run peers as well, what takes 50 ms may take seconds.
 */
export async function eventually(isSo: () => boolean | Promise<boolean>, limitMs = 30_000): Promise<boolean> {
  const end = performance.now() + patient(limitMs);
  while (!(await isSo())) {
    if (performance.now() > end) return false;
    await Bun.sleep(20);
  }
  return true;
}
