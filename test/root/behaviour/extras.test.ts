/** Options and annotations that runc or crun have beyond what the specification asks for. */
import { describe, setDefaultTimeout } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { patient } from "../../support/slowness.ts";
import { eventually } from "../gantry-harness.ts";
import { type Case, cgroupParent, type Config, noBehaviour, type Place, testCases } from "./harness.ts";

setDefaultTimeout(patient(60_000));

const sleeper = (config: Config): void => void (config.process.args = ["/bin/sleep", "100"]);
const noV1 = existsSync("/sys/fs/cgroup/pids") ? undefined : "the controllers are not on cgroup v1";

/** Starts a container, makes a cgroup below its own and tells in which one a process of `exec` is. */
async function execIn(place: Place, option: string): Promise<string> {
  await place.runtime("create", "--bundle", place.bundle, place.id);
  await place.runtime("start", place.id);
  const below = `/sys/fs/cgroup/pids/${cgroupParent}/${place.id}/below`;
  mkdirSync(below);
  const { code, stdout } = await place.runtime("exec", "--cgroup", option, place.id, "/bin/cat", "/proc/self/cgroup");
  rmdirSync(below);
  return code === 0 ? (/:pids:(.*)/.exec(stdout)?.[1] ?? "none").replace(`/${cgroupParent}/${place.id}`, "") : "failed";
}
const crunsCgroup = { peer: "crun", why: "crun's exec --cgroup is for cgroup v2, and takes no controllers; no section" };

const cgroups: readonly Case[] = (
  [
    ["pids:/below", "/below"],
    ["pids:/missing", "failed"],
  ] as const
).map(([option, expected]) => ({
  name: `exec --cgroup ${option}`,
  change: sleeper,
  act: (place: Place) => execIn(place, option),
  expected,
  differs: [crunsCgroup],
  unable: noV1,
}));

const configs: readonly Case[] = [
  {
    name: "--config: another file instead of the bundle's config.json",
    change: (config, { bundle }) => {
      const other = { ...config, process: { ...config.process, args: ["/bin/echo", "from the other"] } };
      writeFileSync(join(bundle, "other.json"), JSON.stringify(other));
    },
    act: async (place) =>
      (await place.runtime("run", "--bundle", place.bundle, "--config", join(place.bundle, "other.json"), place.id)).stdout,
    expected: "from the other\n",
    differs: [{ peer: "runc", why: "runc knows config.json only; no section: an option of crun's" }],
  },
];

const say = (word: string): { path: string; args: string[] } => ({
  path: "/bin/sh",
  args: ["sh", "-c", `echo ${word}; echo ${word} failing >&2`],
});

const annotated: readonly Case[] = [
  {
    name: "run.oci.hooks.stdout and stderr: files that the output of hooks is appended to",
    change: (config, { bundle }) => {
      config.process.args = ["/bin/true"];
      config["hooks"] = { createRuntime: [say("first")], createContainer: [say("second")], poststop: [say("third")] };
      config["annotations"] = { "run.oci.hooks.stdout": join(bundle, "hooks.out"), "run.oci.hooks.stderr": join(bundle, "hooks.err") };
    },
    act: async (place) => {
      await place.runtime("create", "--bundle", place.bundle, place.id);
      await place.runtime("start", place.id);
      await place.runtime("delete", "--force", place.id);
      return ["out", "err"].map((name) => {
        const path = join(place.bundle, `hooks.${name}`);
        return existsSync(path) ? readFileSync(path, "utf8") : "none";
      });
    },
    expected: ["first\nsecond\nthird\n", "first failing\nsecond failing\nthird failing\n"],
    differs: [{ peer: "runc", why: "an annotation of crun's, which others may ignore; config.md#annotations" }],
  },
  {
    name: "run.oci.handler: a handler that is not there makes no container",
    change: (config) => {
      config["annotations"] = { "run.oci.handler": "wasm" };
    },
    act: async (place) => (await place.runtime("run", "--bundle", place.bundle, place.id)).code !== 0,
    expected: true,
    differs: [
      { peer: "crun", why: "crun goes on where it was built without handlers; no section: an annotation of its own" },
      { peer: "runc", why: "an annotation of crun's, which others may ignore; config.md#annotations" },
    ],
  },
];

/** What `events` tells until memory has run out, by type; then the container is deleted, with which `events` ends too. */
async function eventsOf(place: Place, ...options: readonly string[]): Promise<{ types: string[]; code: number }> {
  await place.runtime("create", "--bundle", place.bundle, place.id);
  await place.runtime("start", place.id);
  const path = join(place.bundle, "events");
  const words = [...place.subject.command, "--root", place.stateRoot, "events", ...options, place.id];
  const events = Bun.spawn(words, {
    stdout: Bun.file(path),
    stderr: "ignore",
    timeout: 20_000,
    env: { ...process.env, ...place.subject.environment },
  });
  const isTold = (): boolean => existsSync(path) && readFileSync(path, "utf8").includes(`"oom"`);
  await eventually(() => isTold() || events.exitCode !== null, 8000);
  await place.runtime("delete", "--force", place.id);
  const code = await events.exited;
  const lines = readFileSync(path, "utf8").trim().split("\n");
  return { types: lines.filter((line) => line !== "").map((line) => (JSON.parse(line) as { type: string }).type), code };
}
const noEvents = { peer: "crun", why: "crun has no events; no section" };

const events: readonly Case[] = [
  {
    name: "events tells that memory ran out, and ends with the container",
    change: (config) => {
      config.process.args = ["/bin/sh", "-c", "sleep 1; tail /dev/zero; sleep 100"];
      config.linux["resources"] = { memory: { limit: 8 << 20, swap: 8 << 20 }, devices: [{ allow: false, access: "rwm" }] };
    },
    act: async (place) => {
      const { types, code } = await eventsOf(place, "--interval", "300ms");
      return { oom: types.includes("oom"), stats: types.includes("stats"), code };
    },
    expected: { oom: true, stats: true, code: 0 },
    differs: [noEvents],
    unable: noV1,
  },
  {
    name: "events --stats tells once, and of a container that has ended nothing",
    change: sleeper,
    act: async (place) => {
      await place.runtime("create", "--bundle", place.bundle, place.id);
      await place.runtime("start", place.id);
      const { stdout } = await place.runtime("events", "--stats", place.id);
      await place.runtime("kill", place.id, "KILL");
      await eventually(async () => (await place.runtime("state", place.id)).stdout.includes('"stopped"'));
      return [
        stdout
          .trim()
          .split("\n")
          .map((line) => (JSON.parse(line) as { type: string }).type),
        (await place.runtime("events", place.id)).code !== 0,
      ];
    },
    expected: [["stats"], true],
    differs: [noEvents],
  },
];

const links: readonly Case[] = [
  {
    name: "copy-symlink: a link of the host is made once more in the container, and anything else is bound",
    script: "readlink /made/link; readlink /there; cat /tmp/file",
    change: ({ mounts, root }, { bundle, rootfs }) => {
      root.readonly = false;
      symlinkSync("../somewhere/else", join(bundle, "link"));
      symlinkSync("../somewhere/else", join(rootfs, "there"));
      writeFileSync(join(bundle, "file"), "bound\n");
      for (const [source, destination] of [
        ["link", "/made/link"],
        ["link", "/there"],
        ["file", "/tmp/file"],
      ] as const)
        mounts.push({ destination, type: "bind", source: join(bundle, source), options: ["bind", "copy-symlink"] });
    },
    act: async (place) => (await place.runtime("run", "--bundle", place.bundle, place.id)).stdout,
    expected: "../somewhere/else\n../somewhere/else\nbound\n",
    differs: [
      { peer: "crun", until: "1.10", why: "crun has copy-symlink since 1.10; no section" },
      { peer: "runc", why: "runc binds what a link leads to, which may not be there; no section: an option of crun's" },
    ],
  },
  {
    name: "copy-symlink: what the image has there is not replaced",
    change: ({ mounts }, { bundle, rootfs }) => {
      symlinkSync("../somewhere/else", join(bundle, "link"));
      writeFileSync(join(rootfs, "taken"), "");
      mounts.push({ destination: "/taken", type: "bind", source: join(bundle, "link"), options: ["bind", "copy-symlink"] });
    },
    act: async (place) => (await place.runtime("run", "--bundle", place.bundle, place.id)).code !== 0,
    expected: true,
  },
];

describe.skipIf(noBehaviour !== undefined)("what others have beyond the specification", () => {
  testCases([...cgroups, ...configs, ...annotated, ...events, ...links]);
});
