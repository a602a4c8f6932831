/**
 * Any config.json, however wrong: it is refused by an error that names a place in it, or becomes a program that the executor takes.
 * Documents are those of the golden programs with some of their parts changed, and arbitrary JSON.
 */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { CodedError } from "#base/errors.ts";
import { encodeProgram, type Program, type Step } from "#program/encode.ts";
import { compileContainer } from "#runtime/compile/compile.ts";
import { unknownCgroupFiles } from "#runtime/cgroup-facts.ts";
import type { HostFacts } from "#runtime/facts.ts";
import { rootUserFacts } from "#runtime/user-facts.ts";
import { parseRuntimeConfig } from "#spec/runtime-config.ts";
import { patient } from "./support/slowness.ts";

// A busy machine.
setDefaultTimeout(patient(120_000));

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const cases = `${import.meta.dir}/testdata/programs`;
const documents = readdirSync(cases).map((name) => JSON.parse(readFileSync(`${cases}/${name}/config.json`, "utf8")) as Json);

const root: HostFacts = {
  uid: 0,
  gid: 0,
  arch: "x64",
  kernel: "6.12.0",
  capabilities: { effective: 2 ** 41 - 1, bounding: 2 ** 41 - 1, last: 40 },
  namespaces: ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"],
  cgroup: {
    version: "hybrid",
    hierarchies: ["cpu", "memory", "pids", "devices", "freezer", "cpuset", "blkio"].map((name) => ({
      controllers: [name],
      mountPoint: `/sys/fs/cgroup/${name}`,
      own: "/",
    })),
    unified: { mountPoint: "/sys/fs/cgroup/unified", own: "/", controllers: [] },
  },
  mountPoints: ["/"],
  readLink: () => undefined,
  isDirectory: () => true,
  findCpuset: () => ({ cpus: "0-1", mems: "0" }),
  cgroupFiles: unknownCgroupFiles,
  user: rootUserFacts,
  isSetgroupsDenied: () => false,
  readAppArmor: () => "off",
  isSelinuxEnabled: () => false,
  findResctrl: () => "/sys/fs/resctrl",
  readSchemata: () => undefined,
};
const v2: HostFacts = {
  ...root,
  cgroup: {
    version: "v2",
    hierarchies: [],
    unified: { mountPoint: "/sys/fs/cgroup", own: "/a/b", controllers: ["cpu", "memory", "pids", "io"] },
  },
};
const user: HostFacts = {
  ...v2,
  uid: 1000,
  gid: 1000,
  capabilities: { effective: 0, bounding: 2 ** 41 - 1, last: 40 },
  user: { isNested: () => false, findIdHelper: (name) => `/usr/bin/${name}`, mayWrite: (path) => path.includes("a") },
};

/** GANTRY_FUZZ=20 looks twenty times as long. */
const effort = Number(process.env["GANTRY_FUZZ"] ?? 1);
const machines = { root, v2, user } as const;

const oddTexts: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom("", "/", "..", "/../..", "/proc", "/proc/self/fd/7", "\0", "/a\0b", "é\u{1f4a9}", "\n", "%s%n", "-1", "0-1,3", "a,b=c:d"),
  fc.constantFrom(`/${"x".repeat(5000)}`, "/a/".repeat(3000), "ro", "bind", "tmpfs", "SCMP_ACT_ALLOW", "CAP_SYS_ADMIN", "a".repeat(256)),
  fc.string({ maxLength: 12 }),
);
const oddNumbers: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, -1, 1, 0.5, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 63, 2 ** 64, -(2 ** 63), 1e300, -0),
  fc.integer(),
);
/** Values that one would not expect, and those that are nearly right. */
const odd: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, true, false, [], {}, [null], [[]], { "": "" }, [""], ["", "\0"], { constructor: 1, toString: "x" }),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
);

/** A change at a place that the numbers choose, walking down from the top. */
const change = fc.record({
  path: fc.array(fc.nat({ max: 63 }), { minLength: 1, maxLength: 7 }),
  kind: fc.constantFrom("alike", "alike", "alike", "alike", "replace", "remove", "repeat", "rename", "swap"),
  value: odd,
  text: oddTexts,
  number: oddNumbers,
  key: fc.oneof(fc.constantFrom("path", "type", "__proto__", "options", "/~", "namespaces"), fc.string({ maxLength: 5 })),
});

interface Change {
  readonly path: readonly number[];
  readonly kind: string;
  readonly value: Json;
  readonly text: string;
  readonly number: number;
  readonly key: string;
}

function mutate(document: Json, { path, kind, value, text, number, key }: Change): void {
  let at = document;
  for (const [depth, step] of path.entries()) {
    if (typeof at !== "object" || at === null) return;
    const keys = Object.keys(at);
    const name = keys[step % Math.max(1, keys.length)];
    if (name === undefined) return;
    const holder = at as Record<string, Json>;
    const next = holder[name] as Json;
    if (depth < path.length - 1 && typeof next === "object" && next !== null && Object.keys(next).length > 0) {
      at = next;
      continue;
    }
    if (kind === "remove" && Array.isArray(at)) at.splice(Number(name), 1);
    else if (kind === "remove") delete holder[name];
    else if (kind === "repeat" && Array.isArray(at)) at.push(structuredClone(next), structuredClone(next));
    else if (kind === "rename" && !Array.isArray(at))
      Object.defineProperty(holder, key, { value: next, enumerable: true, configurable: true, writable: true });
    else if (kind === "alike" && typeof next === "string") holder[name] = text;
    else if (kind === "alike" && typeof next === "number") holder[name] = number;
    else if (kind === "alike" && typeof next === "boolean") holder[name] = !next;
    else holder[name] = kind === "swap" ? (structuredClone(holder[keys[0] ?? name]) as Json) : value;
    return;
  }
}

const changed: fc.Arbitrary<Json> = fc
  .record({ document: fc.constantFrom(...documents), changes: fc.array(change, { minLength: 1, maxLength: 4 }) })
  .map(({ document, changes }) => {
    const copy = structuredClone(document);
    for (const one of changes) mutate(copy, one);
    return copy;
  });

/** A pointer begins with a property that a config.json has; "the document" is the empty one, for what is missing at the top. */
const pointer =
  /^cannot use the document: |(?<![\w.])\/(ociVersion|process|root|hostname|domainname|mounts|linux|hooks|annotations|vm|windows|solaris|freebsd|zos)(\/|\b)/;

/** The program of a document; undefined when it is refused as it should be. */
function compile(document: Json, facts: HostFacts): Program | undefined {
  try {
    const config = parseRuntimeConfig(document);
    const supervision = { kind: "create", fifo: "/run/c/start", failure: "/run/c/failed" } as const;
    return compileContainer({ config, bundle: "/srv/bundle", id: "fuzzed", facts, supervision }).program;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    // What the caller of the runtime asks for contradicts the document: it has no place in that.
    if (error.code === "invalid-argument") return undefined;
    expect(["invalid-spec", "unsupported", "not-found", "wrong-state"]).toContain(error.code);
    expect(error.message).toMatch(pointer);
    return undefined;
  }
}

/** So many programs are no longer than one may be. */
const atOnce = 16;
const scratch = join(tmpdir(), `gantry-fuzz-${process.pid}`);
afterAll(() => rmSync(scratch, { force: true }));
const executor = new URL("../dist/gantry-executor", import.meta.url).pathname;

/** Whether the executor takes the programs, as one. It checks all of it before it runs the first op, which ends it. */
function areTaken(programs: readonly Program[]): boolean {
  const main = [{ op: { op: "exit", code: 7 } as const, origin: "default: only the check is wanted" }];
  const of = (choose: (program: Program) => readonly Step[]): Step[] => programs.flatMap(choose);
  const whole = {
    main: [...main, ...of((program) => program.main)],
    cleanup: of((program) => program.cleanup),
    children: [of(({ children }) => children.flat())],
  };
  writeFileSync(scratch, encodeProgram(whole));
  const fd = openSync(scratch, "r");
  try {
    return spawnSync(executor, [], { stdio: ["ignore", "inherit", "inherit", fd] }).status === 7;
  } finally {
    closeSync(fd);
  }
}

test("arbitrary JSON is refused by its place", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (document) => {
      expect(compile(document as Json, root)).toBeUndefined();
    }),
    { numRuns: 300 * effort },
  );
});

test("a config with wrong parts is refused by their places, or compiled to what the executor takes, whoever asks", () => {
  const programs: { readonly program: Program; readonly document: Json }[] = [];
  fc.assert(
    fc.property(changed, fc.constantFrom("root", "v2", "user"), (document, who) => {
      const program = compile(document, machines[who]);
      if (program === undefined) return;
      encodeProgram(program);
      programs.push({ program, document });
    }),
    { numRuns: 1000 * effort },
  );
  // Otherwise the changes would be too coarse to get past the parser.
  expect(programs.length).toBeGreaterThan(100);
  if (!existsSync(executor)) return;
  for (let at = 0; at < programs.length; at += atOnce) {
    const some = programs.slice(at, at + atOnce);
    if (areTaken(some.map(({ program }) => program))) continue;
    expect(some.find(({ program }) => !areTaken([program]))?.document).toBeUndefined();
  }
});
