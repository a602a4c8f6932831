/** Hooks: each kind at its moment, in its namespaces, with the state on standard input. */
import { describe, setDefaultTimeout } from "bun:test";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { patient } from "../../support/slowness.ts";
import { eventually } from "../gantry-harness.ts";
import { type Case, type Config, type Difference, noBehaviour, type Place, runBundle, testCases } from "./harness.ts";

setDefaultTimeout(patient(120_000));

interface Hook {
  readonly path: string;
  readonly args?: string[];
  readonly env?: string[];
  readonly timeout?: number;
}

const kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] as const;
type Kind = (typeof kinds)[number];

const setHooks = (config: Config, hooks: Partial<Record<Kind, Hook[]>>): void => void (config["hooks"] = hooks);
const sh = (script: string, more: Partial<Hook> = {}): Hook => ({
  path: "/bin/sh",
  args: ["sh", "-c", script],
  env: ["PATH=/bin:/usr/bin"],
  ...more,
});

/** The bundle at a place that every hook can write to: it is bound at the same path in the container. */
function shareBundle(config: Config, { bundle }: Omit<Place, "config">): void {
  config.root.readonly = false;
  config.mounts.push({ destination: bundle, source: bundle, type: "bind", options: ["rbind"] });
}

function readLog({ bundle }: Pick<Place, "bundle">): string[] {
  const path = join(bundle, "log");
  return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
}

/** Runs the life of a container and returns the log that its hooks and its program wrote. */
async function live(place: Place): Promise<string[]> {
  const created = await place.runtime("create", "--bundle", place.bundle, place.id);
  if (created.code !== 0) return [created.stderr];
  await Bun.write(join(place.bundle, "log"), [...readLog(place), "-- created", ""].join("\n"));
  const started = await place.runtime("start", place.id);
  if (started.code !== 0) return [...readLog(place), started.stderr];
  await eventually(() => readLog(place).includes("program"));
  await place.runtime("kill", place.id, "KILL");
  await eventually(async () => (await place.runtime("state", place.id)).stdout.includes('"stopped"'));
  const before = readLog(place);
  await place.runtime("delete", place.id);
  return [...before, "-- deleted", ...readLog(place).slice(before.length)];
}

const note = (bundle: string, word: string): string => `echo ${word} >>${bundle}/log`;
const program = ({ bundle }: Pick<Place, "bundle">): string[] => ["/bin/sh", "-c", `${note(bundle, "program")}; exec sleep 100`];

const early: Difference = {
  peer: "runc",
  why: "runc runs poststart hooks in create; config.md#poststart: after the user-specified process is executed, before start returns",
};
const crunInside: Difference = {
  peer: "crun",
  why: "crun leaves the pid, or the bundle and a known status, out of the state of hooks of the container's side; runtime.md#state",
};

const order: readonly Case[] = [
  {
    name: "each kind runs at its moment, in the order of the config",
    change: (config, place) => {
      shareBundle(config, place);
      config.process.args = program(place);
      const two = (kind: Kind): Hook[] => [1, 2].map((number) => sh(note(place.bundle, `${kind}${number}`)));
      setHooks(config, Object.fromEntries(kinds.map((kind) => [kind, two(kind)])));
    },
    differs: [
      early,
      {
        peer: "crun",
        isRace: true,
        why: "crun's start does not wait for startContainer hooks; runtime.md#lifecycle: poststart hooks come after them",
      },
    ],
    act: async (place) => {
      const lines = await live(place);
      // The program and poststart hooks run at the same time.
      const at = lines.indexOf("program");
      return [...lines.filter((_, index) => index !== at).slice(0, at + 20), at > lines.indexOf("startContainer2")];
    },
    expected: [
      "prestart1",
      "prestart2",
      "createRuntime1",
      "createRuntime2",
      "createContainer1",
      "createContainer2",
      "-- created",
      "startContainer1",
      "startContainer2",
      "poststart1",
      "poststart2",
      "-- deleted",
      "poststop1",
      "poststop2",
      true,
    ],
  },
];

const host = (name: string): string => readlinkSync(`/proc/self/ns/${name}`);
const where: readonly Case[] = kinds.map((kind): Case => {
  const isInside = kind === "createContainer" || kind === "startContainer";
  return {
    name: `${kind} hooks run in the ${isInside ? "container's" : "runtime's"} namespaces`,
    change: (config, place) => {
      shareBundle(config, place);
      config.process.args = program(place);
      const look = `for n in mnt net uts; do readlink /proc/self/ns/$n; done >${place.bundle}/spaces; test -e /bin/busybox -a -e /proc/1/root -a -e /etc/debian_version; echo $? >>${place.bundle}/spaces`;
      setHooks(config, { [kind]: [sh(look)] });
    },
    act: async (place) => {
      await live(place);
      const lines = readFileSync(join(place.bundle, "spaces"), "utf8").trim().split("\n").slice(0, 3);
      return lines.map((line, index) => line === host(["mnt", "net", "uts"][index] ?? ""));
    },
    expected: isInside ? [false, false, false] : [true, true, true],
  };
});

const rooted: Case = {
  name: "startContainer hooks are programs of the container, createContainer hooks of the host",
  change: (config, place) => {
    shareBundle(config, place);
    config.process.args = program(place);
    const look = (kind: Kind): Hook =>
      sh(
        `test -e ${place.bundle}/rootfs/bin/sh && test -e /bin/busybox.static.none; ls -d /home /root >/dev/null 2>&1; echo ${kind} $? >>${place.bundle}/log`,
      );
    setHooks(config, { createContainer: [look("createContainer")], startContainer: [look("startContainer")] });
  },
  act: async (place) => (await live(place)).filter((line) => line.includes("Container")),
  // The test's root file system has no /home.
  expected: ["createContainer 0", "startContainer 1"],
  unable: existsSync("/home") && existsSync("/root") ? undefined : "this machine has no /home",
};

const statuses: Readonly<Record<Kind, RegExp>> = {
  prestart: /^creat(?:ing|ed)$/,
  createRuntime: /^creat(?:ing|ed)$/,
  createContainer: /^creat(?:ing|ed)$/,
  startContainer: /^created$/,
  poststart: /^running$/,
  poststop: /^stopped$/,
};
const state: readonly Case[] = kinds.map((kind): Case => ({
  name: `${kind} hooks have the state on standard input`,
  change: (config, place) => {
    shareBundle(config, place);
    config.process.args = program(place);
    config["annotations"] = { "test.key": "a value" };
    setHooks(config, { [kind]: [sh(`cat >${place.bundle}/state.json`)] });
  },
  act: async (place) => {
    await live(place);
    const told = JSON.parse(readFileSync(join(place.bundle, "state.json"), "utf8")) as Record<string, unknown>;
    const { id, bundle, annotations, status, pid } = told;
    const hasPid = typeof pid === "number" && pid > 0;
    return [
      id === place.id,
      bundle === place.bundle,
      annotations,
      statuses[kind].test(String(status)) || status,
      hasPid || kind === "poststop",
    ];
  },
  expected: [true, true, { "test.key": "a value" }, true, true],
  ...(kind === "poststart" ? { differs: [early] } : {}),
  ...(kind === "createContainer" || kind === "startContainer" ? { differs: [crunInside] } : {}),
}));

const environment: readonly Case[] = [
  {
    name: "a hook has its arguments, the environment of the config and no other",
    change: (config, place) => {
      shareBundle(config, place);
      config.process.args = program(place);
      setHooks(config, {
        createRuntime: [
          {
            path: "/bin/sh",
            args: [
              "name",
              "-c",
              `echo "$0 $1" >${place.bundle}/e; env | grep -v '^\\(PWD\\|SHLVL\\|_\\|OLDPWD\\)=' >>${place.bundle}/e`,
              "zero",
              "one",
            ],
            env: ["A=b", "C=d e"],
          },
        ],
      });
    },
    act: async (place) => {
      await live(place);
      return readFileSync(join(place.bundle, "e"), "utf8").split("\n").toSorted();
    },
    expected: ["", "A=b", "C=d e", "zero one"],
  },
];

const failing: readonly Case[] = [
  ...(["prestart", "createRuntime", "createContainer"] as const).map((kind): Case => ({
    name: `a ${kind} hook that fails makes create fail, and nothing is left`,
    change: (config) => setHooks(config, { [kind]: [sh("exit 3")] }),
    act: async (place) => [
      (await place.runtime("create", "--bundle", place.bundle, place.id)).code !== 0,
      existsSync(join(place.stateRoot, place.id)),
    ],
    expected: [true, false],
  })),
  {
    name: "a startContainer hook that fails lets no program run",
    change: (config, place) => {
      shareBundle(config, place);
      config.process.args = program(place);
      setHooks(config, { startContainer: [sh("exit 3")] });
    },
    act: async (place) => {
      await place.runtime("create", "--bundle", place.bundle, place.id);
      await place.runtime("start", place.id);
      await eventually(async () => !(await place.runtime("state", place.id)).stdout.includes('"running"'));
      return readLog(place);
    },
    expected: [],
  },
  {
    name: "a poststart hook that fails is an error of start, and the container is stopped",
    change: (config) => {
      config.process.args = ["/bin/sleep", "100"];
      setHooks(config, { poststart: [sh("exit 3")] });
    },
    act: async (place) => {
      await place.runtime("create", "--bundle", place.bundle, place.id);
      const { code } = await place.runtime("start", place.id);
      return [code !== 0, await eventually(async () => !(await place.runtime("state", place.id)).stdout.includes('"running"'))];
    },
    expected: [true, true],
    differs: [
      {
        peer: "crun",
        until: "1.27",
        why: "until then crun goes on after a poststart hook that failed, as until 1.2; runtime.md#lifecycle",
      },
    ],
  },
  {
    name: "a poststop hook that fails is no error of delete, and the next one runs",
    change: (config, place) => {
      config.process.args = ["/bin/true"];
      setHooks(config, { poststop: [sh("exit 3"), sh(note(place.bundle, "second"))] });
    },
    act: async (place) => {
      await place.runtime("create", "--bundle", place.bundle, place.id);
      await place.runtime("start", place.id);
      await eventually(async () => (await place.runtime("state", place.id)).stdout.includes('"stopped"'));
      return [(await place.runtime("delete", place.id)).code, readLog(place)];
    },
    expected: [0, ["second"]],
    differs: [
      {
        peer: "runc",
        why: "runc ends with the first poststop hook that fails; runtime.md#lifecycle: a warning, and the remaining hooks run",
      },
    ],
  },
  {
    name: "a hook that takes longer than its timeout makes create fail in time",
    change: (config) => setHooks(config, { createRuntime: [{ path: "/bin/sleep", args: ["sleep", "100"], timeout: 1 }] }),
    act: async (place) => {
      const begin = performance.now();
      const { code } = await place.runtime("create", "--bundle", place.bundle, place.id);
      return [code !== 0, performance.now() - begin < patient(30_000)];
    },
    expected: [true, true],
  },
  {
    name: "a hook that is not there makes create fail",
    change: (config) => setHooks(config, { createRuntime: [{ path: "/no/such/hook" }] }),
    act: async (place) => (await place.runtime("create", "--bundle", place.bundle, place.id)).code !== 0,
    expected: true,
  },
  {
    name: "run waits for all hooks, and its exit code is the program's",
    change: (config, place) => {
      shareBundle(config, place);
      config.process.args = ["/bin/sh", "-c", `${note(place.bundle, "program")}; exit 6`];
      setHooks(config, { createRuntime: [sh(note(place.bundle, "createRuntime"))], poststop: [sh(note(place.bundle, "poststop"))] });
    },
    act: async (place) => [(await runBundle(place)).code, readLog(place)],
    expected: [6, ["createRuntime", "program", "poststop"]],
  },
];

describe.skipIf(noBehaviour !== undefined)("the hooks of a container", () => {
  testCases([...order, ...where, rooted, ...state, ...environment, ...failing]);
});
