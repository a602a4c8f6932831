/**
 * Attacks on a runtime: a hostile image, a hostile neighbour, or a hook that stands for a process which races with the runtime.
 *
 * A createRuntime hook runs on the host when all mounts and devices are made and before the root is entered, so what a racing
 * process changes in a volume at that very moment is done here every time. RUNTIME=PATH attacks another runtime.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Ended, execute, hasRunc, makeBundle, runtimePath, unableHere, Workbench, writeConfig } from "./gantry-harness.ts";
import { type KnownDifference, knownTests } from "./known-differences.ts";

/** What is attacked. */
export const subject: string = process.env["RUNTIME"] ?? runtimePath;

/** Why no attack can be made here; undefined when they can. */
export const whyNot: string | undefined =
  unableHere ?? (hasRunc ? undefined : "runc is not installed: the test bundles start from its config.json");
if (whyNot !== undefined) console.log(`skipped: ${whyNot}`);

/** What some peers do about attacks. */
const weaknesses: readonly KnownDifference[] = [
  { peer: "runc", until: "1.2.8", name: /CVE-2025-31133: (a link|another file|another device) in/, why: "binds whatever is at /dev/null" },
  { peer: "runc", until: "1.2.8", name: /CVE-2025-52565: .*terminal/, why: "binds the terminal over what /dev/console leads to" },
  { peer: "runc", until: "1.1.14", isRace: true, name: /another process swaps/, why: "may make a directory where the link leads" },
  { peer: "runc", name: /CVE-2026-30892/, why: "takes +7 for 7, and 4294967296 for root" },
  { peer: "runc", name: /writes nothing there, and runs/, why: "writes nothing there, and does not run" },
  { peer: "runc", until: "1.2.8", name: /^CVE-2025-52881: kernel/, why: "writes where its path to /proc leads" },
  { peer: "runc", name: /CVE-2023-25809/, why: "makes /sys itself read-only, not what is mounted below" },
  {
    peer: "crun",
    until: "1.14.1",
    name: /CVE-2024-21626: (a descriptor|nor for exec)/,
    why: "does not look where its working directory is",
  },
  { peer: "crun", until: "1.25.1", name: /CVE-2025-52881: nor through/, why: "writes where its path to /proc leads" },
  { peer: "crun", until: "1.27", name: /CVE-2026-30892/, why: "reads a user as the beginning of the word" },
  { peer: "crun", name: /CVE-2026-30892/, why: "takes +7 for 7, and -1 for root" },
  { peer: "crun", name: /^CVE-2019-16884: /, why: "mounts over /proc and files in it" },
  { peer: "crun", name: /CVE-2019-19921/, why: "mounts where the link leads inside of the root" },
  { peer: "crun", name: /CVE-2025-31133: (a link|another file) in/, why: "binds whatever is at /dev/null" },
  { peer: "crun", until: "1.22", name: /CVE-2025-52565: .*terminal/, why: "binds the terminal over what /dev/console leads to" },
  { peer: "crun", name: /GHSA-g54h-m393-cpwq: .* given (a rule about another|no )/, why: "denies devices only by rules" },
  { peer: "crun", name: /the groups of the runtime's caller/, why: "leaves them to the processes of exec" },
];

/** A test of one attack, and one for each row. Where the runtime is known to be weak the attack must succeed. */
export const { one: attack, each: attackEach } = knownTests(weaknesses, "weak");

export interface Mount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
}

/** The parts of config.json that attacks write. */
export interface AttackConfig {
  ociVersion: string;
  hostname?: string;
  root: { path: string; readonly: boolean };
  process: {
    terminal: boolean;
    args: string[];
    cwd: string;
    user: { uid: number; gid: number; additionalGids?: number[]; umask?: number };
    rlimits: unknown[];
    noNewPrivileges: boolean;
    capabilities: Record<"bounding" | "effective" | "permitted" | "inheritable" | "ambient", string[]>;
  };
  mounts: Mount[];
  hooks?: Record<string, { path: string; args?: string[] }[]>;
  linux: {
    namespaces: { type: string; path?: string }[];
    uidMappings?: { containerID: number; hostID: number; size: number }[];
    gidMappings?: { containerID: number; hostID: number; size: number }[];
    resources?: Record<string, unknown>;
    devices?: unknown[];
    sysctl?: Record<string, string>;
    maskedPaths: string[];
    readonlyPaths: string[];
    cgroupsPath?: string;
  };
}

let bench: Workbench | undefined;
let count = 0;

/** One container to be attacked or to attack, with a bundle of its own. */
export class Target {
  readonly id: string = `attack-${process.pid}-${count++}`;
  readonly directory: string;
  readonly bundle: string;
  readonly rootfs: string;
  /** A directory of the host that nothing may reach. */
  readonly outside: string;
  readonly state: string;

  /** `script` is what the container runs; `change` edits its config when the tree is there. */
  constructor(script: string, change: (config: AttackConfig, target: Target) => void = () => undefined) {
    bench ??= new Workbench();
    this.directory = join(bench.directory, this.id);
    this.state = join(bench.directory, "state");
    this.outside = join(this.directory, "outside");
    mkdirSync(this.outside, { recursive: true });
    this.rootfs = join(this.directory, "bundle", "rootfs");
    this.bundle = makeBundle(join(this.directory, "bundle"), () => undefined);
    this.configure(script, change);
  }

  /** Writes config.json anew. */
  configure(script: string, change: (config: AttackConfig, target: Target) => void = () => undefined): void {
    writeConfig(this.bundle, (plain) => {
      const config = plain as unknown as AttackConfig;
      // The version that every peer takes.
      config.ociVersion = "1.0.2";
      config.root.readonly = false;
      config.process.args = ["/bin/busybox", "sh", "-c", script];
      change(config, this);
    });
  }

  /** Runs the container to its end. */
  run(runtime: string = subject): Promise<Ended> {
    return this.runtime(["run", "--bundle", this.bundle, this.id], runtime);
  }

  /** Creates or starts it to be left alone; what it writes goes to the file `output`. */
  async detached(verb: "create" | "run", runtime: string = subject): Promise<Ended> {
    const words = verb === "run" ? ["run", "--detach"] : ["create"];
    const command = [runtime, "--root", this.rootFor(runtime), ...words, "--bundle", this.bundle, this.id];
    const quoted = command.map((word) => `'${word}'`).join(" ");
    return execute([
      "/bin/sh",
      "-c",
      `${quoted} </dev/null >${this.output} 2>${this.output}.err; code=$?; cat ${this.output}.err >&2; exit $code`,
    ]);
  }

  /** The file with the output of a detached container. */
  get output(): string {
    return join(this.directory, "output");
  }

  /** Calls the runtime with these words. */
  runtime(words: readonly string[], runtime: string = subject): Promise<Ended> {
    return execute([runtime, "--root", this.rootFor(runtime), ...words]);
  }

  /** Calls the runtime from a shell that has run `before`, such as a redirection that leaks a descriptor. */
  fromShell(before: string, words: readonly string[], runtime: string = subject): Promise<Ended> {
    const quoted = [runtime, "--root", this.rootFor(runtime), ...words].map((word) => `'${word}'`).join(" ");
    return execute(["/bin/bash", "-c", `${before}; exec ${quoted}`]);
  }

  /** What is in the host's directory that nothing may reach. */
  reached(): string[] {
    return readdirSync(this.outside, { recursive: true }).map(String).toSorted();
  }

  /** A hook that runs this script on the host when the mounts are made and the root is not yet entered. */
  whenMounted(config: AttackConfig, script: string): void {
    const path = join(this.directory, "hook.sh");
    writeFileSync(path, `#!/bin/sh\ncat >/dev/null\n${script}\n`, { mode: 0o755 });
    config.hooks = { ...config.hooks, createRuntime: [{ path }] };
  }

  async pid(): Promise<number> {
    return (JSON.parse((await this.runtime(["state", this.id])).stdout) as { pid: number }).pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runtime(["delete", "--force", this.id]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  private rootFor(runtime: string): string {
    return runtime === subject ? this.state : `${this.state}-${runtime.replaceAll("/", "_")}`;
  }
}

/** Removes everything at the end. */
export function removeTargets(): void {
  if (bench !== undefined && existsSync(bench.directory)) bench.remove();
}

/** Gives all five sets of capabilities these names. */
export function grant(config: AttackConfig, ...names: string[]): void {
  const { capabilities } = config.process;
  for (const set of ["bounding", "effective", "permitted"] as const) capabilities[set] = [...(capabilities[set] ?? []), ...names];
}
