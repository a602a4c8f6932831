/** What a container gets from its caller's side and what the caller gets of it: session keyrings and pidfds. */
import { describe, expect, setDefaultTimeout } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { patient } from "../../support/slowness.ts";
import { eventually } from "../gantry-harness.ts";
import { type Case, type Config, noBehaviour, type Place, testCases } from "./harness.ts";

setDefaultTimeout(patient(60_000));

const sleeper = (config: Config): void => void (config.process.args = ["/bin/sleep", "100"]);

/** Puts the program of test/support/keyring.c into the bundle. */
function addProbe(place: Omit<Place, "config">): void {
  const source = new URL("../../support/keyring.c", import.meta.url).pathname;
  const { exitCode, stderr } = Bun.spawnSync(["cc", "-static", "-o", join(place.rootfs, "bin/keyring"), source]);
  if (exitCode !== 0) throw new Error(stderr.toString());
}

/** Starts a container that keeps its keyring's number in a file, and returns what it and a process of `exec` say, and our own. */
async function keyrings(place: Place, ...options: readonly string[]): Promise<Record<"container" | "exec" | "caller", string>> {
  for (const words of [
    ["create", "--bundle", place.bundle, ...options, place.id],
    ["start", place.id],
  ])
    expect(await place.runtime(...words)).toMatchObject({ code: 0 });
  const { stdout } = await place.runtime(
    "exec",
    place.id,
    "/bin/sh",
    "-c",
    "until [ -s /tmp/key ]; do sleep 0.1; done; cat /tmp/key; keyring",
  );
  const [container = "", exec = ""] = stdout.trim().split("\n");
  const caller = Bun.spawnSync([join(place.rootfs, "bin/keyring")])
    .stdout.toString()
    .trim();
  return { container, exec, caller };
}

const showsKeyring = (config: Config, place: Omit<Place, "config">): void => {
  addProbe(place);
  config.process.args = ["/bin/sh", "-c", "keyring > /tmp/key; sleep 100"];
};
const mapped = (config: Config): void => {
  config.linux.namespaces.push({ type: "user" });
  config.linux["uidMappings"] = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  config.linux["gidMappings"] = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
};
const crunsExec = {
  peer: "crun",
  why: "crun leaves the process of exec in its caller's session keyring; no section: keyrings(7), as runc does",
};

const runcsSearch = {
  peer: "runc",
  why: "runc's exec makes another keyring in a user namespace: its root may not search the first; no section: keyrings(7)",
};

const keys: readonly Case[] = [
  ...[false, true].map((isMapped) => ({
    name: `a container has a session keyring of its own${isMapped ? ", in a user namespace too" : ""}, which exec joins`,
    change: (config: Config, place: Omit<Place, "config">) => {
      showsKeyring(config, place);
      if (isMapped) mapped(config);
    },
    act: async (place: Place) => {
      const { container, exec, caller } = await keyrings(place);
      return { own: container !== caller, name: container.endsWith(`;_ses.${place.id}`), joined: exec === container };
    },
    expected: { own: true, name: true, joined: true },
    differs: [crunsExec, ...(isMapped ? [runcsSearch] : [])],
  })),
  {
    name: "--no-new-keyring leaves the container, and what exec adds, in the session keyring of the caller",
    change: showsKeyring,
    act: async (place) => {
      const { container, exec, caller } = await keyrings(place, "--no-new-keyring");
      const number = (text: string): string => text.split(" ")[0] ?? "";
      return [number(container) === number(caller), number(exec) === number(caller)];
    },
    expected: [true, true],
  },
];

/** Runs `words` with the socket of a listener in place of SOCKET, and returns what that received. */
async function received(place: Place, ...words: readonly string[]): Promise<readonly [message: string, pid: number]> {
  const path = join(place.bundle, "pidfd.sock");
  const helper = new URL("../../support/pidfd.py", import.meta.url).pathname;
  const answer = join(place.bundle, "answer");
  const listener = Bun.spawn(["python3", helper, path], { stdout: Bun.file(answer), stderr: "inherit" });
  expect(await eventually(() => existsSync(path))).toBe(true);
  expect(await place.runtime(...words.map((word) => (word === "SOCKET" ? path : word)))).toMatchObject({ code: 0 });
  await listener.exited;
  const [pid = "", message = ""] = readFileSync(answer, "utf8").split(" ");
  return [message.trim(), Number(pid)];
}
const numberIn = (path: string): number => Number(readFileSync(path, "utf8"));
const since = [
  { peer: "runc", until: "1.2.0", why: "runc has --pidfd-socket since 1.2; no section" },
  { peer: "crun", why: "crun has no --pidfd-socket, but an annotation; no section" },
];

const pidfds: readonly Case[] = [
  ...["create", "run --detach"].map((verb) => ({
    name: `${verb} --pidfd-socket: the socket gets a pidfd of the container's process`,
    change: sleeper,
    act: async (place: Place) => {
      const pidFile = join(place.bundle, "pid");
      const options = ["--bundle", place.bundle, "--pid-file", pidFile, "--pidfd-socket", "SOCKET"];
      const [message, pid] = await received(place, ...verb.split(" "), ...options, place.id);
      return [message, pid === numberIn(pidFile)];
    },
    expected: ["standard", true],
    differs: since,
  })),
  {
    name: "exec --pidfd-socket: the socket gets a pidfd of that process",
    change: sleeper,
    act: async (place) => {
      const pidFile = join(place.bundle, "pid");
      await place.runtime("create", "--bundle", place.bundle, place.id);
      await place.runtime("start", place.id);
      const words = ["exec", "--detach", "--pid-file", pidFile, "--pidfd-socket", "SOCKET", place.id, "/bin/sleep", "5"];
      const [message, pid] = await received(place, ...words);
      return [message, pid === numberIn(pidFile)];
    },
    expected: ["setns", true],
    differs: since,
  },
  {
    name: "the annotation run.oci.pidfd_receiver names such a socket",
    change: (config, place) => {
      sleeper(config);
      config["annotations"] = { "run.oci.pidfd_receiver": join(place.bundle, "pidfd.sock") };
    },
    act: async (place) => {
      const pidFile = join(place.bundle, "pid");
      const [, pid] = await received(place, "create", "--bundle", place.bundle, "--pid-file", pidFile, place.id);
      return pid === numberIn(pidFile);
    },
    expected: true,
    differs: [{ peer: "runc", why: "an annotation of crun's, which others may ignore; config.md#annotations" }],
  },
  {
    name: "a --pidfd-socket at which nobody listens makes no container",
    change: sleeper,
    act: async (place) => {
      writeFileSync(join(place.bundle, "file"), "");
      const words = ["create", "--bundle", place.bundle, "--pidfd-socket", join(place.bundle, "file"), place.id];
      return [(await place.runtime(...words)).code !== 0, (await place.runtime("state", place.id)).code !== 0];
    },
    expected: [true, true],
  },
];

const noPython = Bun.which("python3") === null ? "there is no python3" : undefined;
const noCompiler = Bun.which("cc") === null ? "there is no C compiler" : undefined;

describe.skipIf(noBehaviour !== undefined)("what is handed over", () => {
  testCases([...keys.map((one) => ({ ...one, unable: noCompiler })), ...pidfds.map((one) => ({ ...one, unable: noPython }))]);
});
