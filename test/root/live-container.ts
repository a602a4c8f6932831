/** A container that is kept while a test looks at it, made by any runtime with runc's command line. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeRootfs } from "../support/rootfs.ts";
import { patient } from "../support/slowness.ts";

/** How a call ended. */
export interface Called {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

/** What tests set in config.json; each replaces what is there by default. */
export interface Wishes {
  readonly script?: string;
  readonly process?: Readonly<Record<string, unknown>>;
  readonly linux?: Readonly<Record<string, unknown>>;
  readonly mounts?: readonly object[];
  /** Namespaces besides mount, or instead of pid. */
  readonly namespaces?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

const capabilities = "CHOWN DAC_OVERRIDE FOWNER MKNOD SETGID SETUID SYS_CHROOT KILL".split(" ").map((name) => `CAP_${name}`);

/** A directory for the state and the bundles of one runtime, gone at the end of `using`. */
export class Runtime implements Disposable {
  readonly directory: string;
  readonly command: readonly string[];
  readonly #made: LiveContainer[] = [];
  #count = 0;

  constructor(words: readonly string[]) {
    this.directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-live-"));
    Bun.spawnSync(["chmod", "755", this.directory]);
    this.command = [...words, "--root", join(this.directory, "state")];
    makeRootfs(this.directory);
  }

  /** Writes a bundle; nothing is made of it. */
  container(wishes: Wishes): LiveContainer {
    const id = `live-${process.pid}-${Math.trunc(performance.now() * 1000)}-${this.#count++}`;
    const bundle = join(this.directory, id);
    mkdirSync(bundle);
    writeFileSync(join(bundle, "config.json"), JSON.stringify(makeConfig(join(this.directory, "rootfs"), wishes)));
    const made = new LiveContainer(this, id, bundle);
    this.#made.push(made);
    return made;
  }

  /** Runs a command of the runtime. Output goes to files: a container keeps what it is given. */
  async call(...words: readonly string[]): Promise<Called> {
    const [output, errors] = [join(this.directory, `out-${this.#count}`), join(this.directory, `err-${this.#count++}`)];
    const child = Bun.spawn([...this.command, ...words], {
      stdin: "ignore",
      stdout: Bun.file(output),
      stderr: Bun.file(errors),
      timeout: patient(60_000),
      killSignal: "SIGKILL",
    });
    const code = await child.exited;
    return { code, output: readFileSync(output, "utf8"), errors: readFileSync(errors, "utf8") };
  }

  [Symbol.dispose](): void {
    for (const { id } of this.#made) Bun.spawnSync([...this.command, "delete", "--force", id]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** One container. */
export class LiveContainer {
  readonly runtime: Runtime;
  readonly id: string;
  readonly bundle: string;

  constructor(runtime: Runtime, id: string, bundle: string) {
    this.runtime = runtime;
    this.id = id;
    this.bundle = bundle;
  }

  create(): Promise<Called> {
    return this.runtime.call("create", "--bundle", this.bundle, this.id);
  }

  /** Runs it in the background. @throws what the runtime wrote, when that fails */
  async start(): Promise<this> {
    const { code, errors } = await this.runtime.call("run", "--detach", "--bundle", this.bundle, this.id);
    if (code !== 0) throw new Error(`${this.runtime.command[0]} run: ${errors}`);
    return this;
  }

  /** Runs it in the foreground, to its end. */
  run(): Promise<Called> {
    return this.runtime.call("run", "--bundle", this.bundle, this.id);
  }

  /** A command with the id of this container, such as `call("kill", "KILL")`; options come before: `call("--all kill", "KILL")`. */
  call(verb: string, ...words: readonly string[]): Promise<Called> {
    const [name = "", ...options] = verb.split(" ");
    return this.runtime.call(name, ...options, this.id, ...words);
  }

  exec(script: string): Promise<Called> {
    return this.call("exec", "/bin/busybox", "sh", "-c", script);
  }

  async state(): Promise<{ readonly status: string; readonly pid: number }> {
    return JSON.parse((await this.call("state")).output) as { status: string; pid: number };
  }
}

function makeConfig(rootfs: string, wishes: Wishes): object {
  const { script = "exec /bin/busybox sleep 1000", process = {}, linux = {}, mounts = [], namespaces = ["pid"], annotations } = wishes;
  const sets = { bounding: capabilities, effective: capabilities, permitted: capabilities };
  return {
    ociVersion: "1.0.2",
    root: { path: rootfs },
    process: {
      cwd: "/",
      user: { uid: 0, gid: 0 },
      args: ["/bin/busybox", "sh", "-c", script],
      env: ["PATH=/bin"],
      capabilities: sets,
      ...process,
    },
    ...(annotations === undefined ? {} : { annotations }),
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
      ...mounts,
    ],
    linux: { namespaces: ["mount", ...namespaces].map((type) => ({ type })), ...linux },
  };
}

/** A script of a container that owns its v2 cgroup: divides it, prints a limit of the part, and tries to raise its own limit. */
export const useOwnCgroup = [
  "cd /sys/fs/cgroup",
  "mkdir sub",
  "echo 1 > sub/cgroup.procs",
  "echo $$ > sub/cgroup.procs",
  "echo +pids > cgroup.subtree_control",
  "cat sub/pids.max",
  "echo 100 > pids.max",
].join("; ");
