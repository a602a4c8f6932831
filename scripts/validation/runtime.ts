/** A runtime under test: the wrapper that the suite starts in its place, with a state root of its own and a log of the calls. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

/** A runtime as the suite sees it. */
export interface TestedRuntime {
  /** The name and version, as a column is headed. */
  readonly title: string;
  readonly path: string;
  /** What the suite starts: it gives no flags itself, so they are added here. */
  readonly wrapper: string;
  readonly root: string;
  /** One call per line, as given by the suite. */
  readonly calls: string;
  /** Whether the wrapper lowers the version of each config.json, because the runtime takes 1.0 only. */
  readonly lowersVersion: boolean;
  readonly isGantry: boolean;
}

/** Makes the wrapper of the runtime at `path` below `directory`. Throws when it is not there or cannot say its version. */
export function prepareRuntime(path: string, directory: string): TestedRuntime {
  if (!existsSync(path)) throw new Error(`cannot test ${path}: no such file`);
  mkdirSync(directory, { recursive: true });
  const root = join(directory, "root");
  const calls = join(directory, "calls");
  const wrapper = join(directory, basename(path));
  const lowersVersion = refusesNewVersion(path, directory);
  writeFileSync(wrapper, wrapperScript({ path, root, calls, lowersVersion }));
  chmodSync(wrapper, 0o755);
  return { title: titleOf(path), path, wrapper, root, calls, lowersVersion, isGantry: basename(path).startsWith("gantry") };
}

function titleOf(path: string): string {
  const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 10_000 });
  const version = /\d+\.\d+(?:\.\d+)?/.exec(stdout ?? "")?.[0];
  if (version === undefined) throw new Error(`cannot test ${path}: it does not say its version`);
  return `${basename(path)} ${version}`;
}

/** crun before 1.9 knows ociVersion 1.0 only: whether `path` says so of a bundle that has nothing else. */
function refusesNewVersion(path: string, directory: string): boolean {
  const bundle = join(directory, "version-probe");
  mkdirSync(join(bundle, "rootfs"), { recursive: true });
  const config = {
    ociVersion: "1.3.0",
    process: { cwd: "/", args: ["/no-such-program"], user: { uid: 0, gid: 0 } },
    root: { path: "rootfs" },
    mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
    linux: { namespaces: [{ type: "mount" }, { type: "pid" }] },
  };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  const id = `version-probe-${process.pid}`;
  const globals = ["--root", join(directory, "root")];
  const { stderr } = spawnSync(path, [...globals, "run", "--bundle", bundle, id], { encoding: "utf8", timeout: 20_000 });
  spawnSync(path, [...globals, "delete", "--force", id], { timeout: 20_000 });
  return /unknown version specified/.test(stderr ?? "");
}

function wrapperScript(of: { path: string; root: string; calls: string; lowersVersion: boolean }): string {
  const lower = `
bundle=
for word; do
	[ "$bundle" != next ] || bundle=$word
	[ "$word" != --bundle ] || bundle=next
done
[ -z "$bundle" ] || [ ! -f "$bundle/config.json" ] || sed -i 's/"ociVersion": *"1\\.[0-9.]*[^"]*"/"ociVersion": "1.0.0"/' "$bundle/config.json"`;
  return `#!/bin/sh
printf '%s\\n' "$*" >>'${of.calls}'${of.lowersVersion ? lower : ""}
exec '${of.path}' --root '${of.root}' "$@"
`;
}

/** The ids of the containers that the suite has made since the log was last emptied. */
export function idsInCalls(runtime: TestedRuntime): string[] {
  const text = existsSync(runtime.calls) ? readFileSync(runtime.calls, "utf8") : "";
  const made = text.split("\n").filter((line) => line.startsWith("create ") || line.startsWith("run "));
  const kept = existsSync(runtime.root) ? readdirSync(runtime.root).filter((name) => !name.startsWith(".")) : [];
  // A call without an id, which is to fail, ends with a path.
  const named = made.map((line) => line.split(" ").at(-1) ?? "").filter((id) => /^[A-Za-z0-9_+.-]+$/.test(id));
  return [...new Set([...named, ...kept])];
}
