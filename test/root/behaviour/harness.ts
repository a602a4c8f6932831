/**
 * How a container behaves, asked of every runtime that is here: a bundle with a config.json in, what is seen inside and around it out.
 *
 *     RUNTIME=/usr/sbin/runc npm run test:root       the same with that one alone
 */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tool } from "../../support/images/commands.ts";
import { tinyLayer } from "../../support/images/tiny.ts";
import { execute, type Ended, runtimeTested, unableHere } from "../gantry-harness.ts";
import { concerns, isMeasured, type PeerDifference } from "../known-differences.ts";
import { subjects, type Subject } from "../subjects.ts";
import { patient } from "../../support/slowness.ts";

/** A difference between a peer and what the specification says; see docs/spec-conformance.md, where each is listed. */
export type Difference = PeerDifference;

/** config.json as tests edit it. */
export interface Config {
  ociVersion: string;
  root: { path: string; readonly?: boolean };
  hostname?: string;
  domainname?: string;
  process: {
    terminal?: boolean;
    args: string[];
    cwd: string;
    env: string[];
    user: { uid: number; gid: number; additionalGids?: number[]; umask?: number };
    capabilities?: Partial<Record<"bounding" | "effective" | "permitted" | "inheritable" | "ambient", string[]>>;
    [other: string]: unknown;
  };
  mounts: { destination: string; type?: string; source?: string; options?: string[]; [other: string]: unknown }[];
  linux: { namespaces: { type: string; path?: string }[]; [other: string]: unknown };
  [other: string]: unknown;
}

/** Where a case happens: a bundle of its own, with the root file system of a static busybox. */
export interface Place {
  readonly subject: Subject;
  readonly bundle: string;
  readonly rootfs: string;
  readonly stateRoot: string;
  readonly id: string;
  readonly config: Config;
  /** Runs the runtime with `--root`. Output goes to files, as a created container keeps its streams open. */
  readonly runtime: (...words: readonly string[]) => Promise<Ended>;
}

/** One behaviour. Without `act` the bundle is run to its end, and `expected` is of its exit code and output. */
export interface Case {
  readonly name: string;
  /** What the container runs, by its shell. */
  readonly script?: string;
  readonly change?: (config: Config, place: Omit<Place, "config">) => unknown;
  readonly act?: (place: Place) => Promise<unknown>;
  /** Compared with what `act` returns, or with the standard output when it is a string or pattern. */
  readonly expected: unknown;
  readonly code?: number;
  /** Why this machine cannot show it. */
  readonly unable?: string | undefined;
  readonly differs?: readonly Difference[];
}

/** The namespaces that every container of these tests has, unless its case says otherwise. */
const namespaces = ["pid", "network", "ipc", "uts", "mount"];
const someCapabilities = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
  "CAP_MKNOD",
];
/** The parent of the cgroups of these containers, which peers leave behind. */
export const cgroupParent = `gantry-behaviour-${process.pid}`;
let count = 0;
let scratch = "";

/** Takes away the cgroups of these containers: the common parent, and what a peer left below it. */
function removeCgroups(): void {
  Bun.spawnSync(["find", "/sys/fs/cgroup", "-depth", "-path", `*/${cgroupParent}*`, "-type", "d", "-exec", "rmdir", "{}", ";"], {
    stderr: "ignore",
  });
}

function scratchRoot(): string {
  if (scratch === "") {
    scratch = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-behaviour-"));
    // Root of a user namespace is nobody's owner here, and must get to the bundle all the same.
    chmodSync(scratch, 0o755);
    writeFileSync(join(scratch, "layer.tar"), tinyLayer());
    mkdirSync(join(scratch, "rootfs"));
    tool(["tar", "-xf", join(scratch, "layer.tar"), "-C", join(scratch, "rootfs")]);
    for (const name of tool([join(scratch, "rootfs/bin/busybox"), "--list"])
      .trim()
      .split("\n")) {
      const link = join(scratch, "rootfs/bin", name);
      if (!existsSync(link)) symlinkSync("busybox", link);
    }
  }
  return scratch;
}

/** A config that every peer takes: crun before 1.9 knows versions 1.0 only. */
export function plainConfig(script: string, id: string): Config {
  const mount = (destination: string, type: string, ...options: string[]): Config["mounts"][number] => ({
    destination,
    type,
    source: type,
    options,
  });
  return {
    ociVersion: "1.0.2",
    root: { path: "rootfs", readonly: true },
    hostname: "inside",
    process: {
      args: ["/bin/sh", "-c", script],
      cwd: "/",
      env: ["PATH=/bin", "HOME=/root"],
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: someCapabilities, effective: someCapabilities, permitted: someCapabilities },
      noNewPrivileges: true,
    },
    mounts: [
      mount("/proc", "proc"),
      mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
      mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
      mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
      mount("/tmp", "tmpfs", "mode=1777"),
    ],
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      cgroupsPath: `/${cgroupParent}/${id}`,
      resources: { devices: [{ allow: false, access: "rwm" }] },
      maskedPaths: [],
      readonlyPaths: [],
    },
  };
}

async function makePlace(subject: Subject, one: Case): Promise<Place> {
  const top = scratchRoot();
  const id = `behaviour-${process.pid}-${count++}`;
  const bundle = join(top, id);
  mkdirSync(bundle);
  tool(["cp", "-a", join(top, "rootfs"), bundle]);
  const stateRoot = join(top, `state-${subject.name.replaceAll(/\W+/g, "-")}`);
  const rest = {
    subject,
    bundle,
    id,
    stateRoot,
    rootfs: join(bundle, "rootfs"),
    runtime: (...words: readonly string[]): Promise<Ended> => callRuntime(subject, bundle, ["--root", stateRoot, ...words]),
  };
  const config = plainConfig(one.script ?? "true", id);
  await one.change?.(config, rest);
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  return { ...rest, config };
}

async function callRuntime(subject: Subject, directory: string, words: readonly string[]): Promise<Ended> {
  const name = join(directory, `call-${count++}`);
  const child = Bun.spawn([...subject.command, ...words], {
    stdin: "ignore",
    stdout: Bun.file(`${name}.out`),
    stderr: Bun.file(`${name}.err`),
    timeout: patient(60_000),
    killSignal: "SIGKILL",
    env: { ...process.env, ...subject.environment },
  });
  const code = await child.exited;
  return { code, stdout: await Bun.file(`${name}.out`).text(), stderr: await Bun.file(`${name}.err`).text() };
}

/** Runs the bundle to its end, with standard input from a string. */
export function runBundle(place: Place, stdin?: string): Promise<Ended> {
  const words = [...place.subject.command, "--root", place.stateRoot, "run", "--bundle", place.bundle, place.id];
  return execute(words, { env: place.subject.environment, ...(stdin === undefined ? {} : { stdin }) });
}

async function observe(place: Place, one: Case): Promise<void> {
  if (one.act !== undefined) {
    expect(await one.act(place)).toEqual(one.expected);
    return;
  }
  const { code, stdout, stderr } = await runBundle(place);
  const wanted = one.expected instanceof RegExp ? (expect.stringMatching(one.expected) as string) : (one.expected as string);
  const isError = (one.code ?? 0) !== 0 && one.expected instanceof RegExp;
  expect({
    code,
    out: isError ? stdout + stderr : stdout,
    because: code === one.code ? "" : stderr.slice(0, code === 0 ? 0 : 500),
  }).toEqual({
    code: one.code ?? 0,
    out: wanted,
    because: "",
  });
}

/** Makes a test of each case for each runtime. A difference that is listed must be there: a list that is out of date fails. */
export function testCases(cases: readonly Case[]): void {
  afterAll(() => {
    if (scratch !== "") rmSync(scratch, { recursive: true, force: true });
    scratch = "";
    removeCgroups();
  });
  for (const one of cases) {
    for (const subject of subjects) {
      const difference = one.differs?.find((each) => concerns(each, subject));
      const reason = one.unable === undefined ? "" : ` (skipped: ${one.unable})`;
      const note = difference === undefined ? "" : ` (differs: ${difference.why})`;
      const run = async (): Promise<void> => {
        const place = await makePlace(subject, one);
        try {
          const outcome = await observe(place, one).then(
            () => undefined,
            (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
          );
          if (difference === undefined && outcome !== undefined) throw outcome;
          const isProved = outcome !== undefined || difference?.isRace === true;
          if (difference !== undefined && !isProved && isMeasured(subject)) {
            throw new Error(`${subject.name} does as the others: take the difference off`);
          }
        } finally {
          if (existsSync(join(place.stateRoot, place.id))) await place.runtime("delete", "--force", place.id);
          rmSync(place.bundle, { recursive: true, force: true });
        }
      };
      // What a peer does not do every time is not ours to mend.
      const retry = subject.kind === "gantry-runtime" ? 0 : 2;
      test.skipIf(one.unable !== undefined)(`${subject.name}: ${one.name}${note}${reason}`, run, { retry });
    }
  }
}

/** Why no case can run here. */
export const noBehaviour: string | undefined =
  unableHere ?? (subjects.length > 0 ? undefined : `${runtimeTested ?? "no runtime"} cannot be run`);
