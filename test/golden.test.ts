/**
 * Golden programs: each folder of testdata/programs holds a config, facts about a host and the program that follows.
 *
 * A reviewer reads the difference of program.txt. `UPDATE_GOLDEN=1 bun test test/golden.test.ts` writes them anew.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { encodeProgram, stepsInOrder } from "#program/encode.ts";
import { compileContainer, type CompiledContainer, type ContainerInput } from "#runtime/compile/compile.ts";
import { explainProgram } from "#runtime/explain.ts";
import { unknownCgroupFiles, type SystemdFacts } from "#runtime/cgroup-facts.ts";
import type { AppArmorState, Cpuset, HostFacts } from "#runtime/facts.ts";
import { parseRuntimeConfig } from "#spec/runtime-config.ts";

const cases = `${import.meta.dir}/testdata/programs`;

type QuestionName =
  | "isDirectory"
  | "findCpuset"
  | "isSetgroupsDenied"
  | "readAppArmor"
  | "isSelinuxEnabled"
  | "findResctrl"
  | "readSchemata";

/** facts.json: the plain facts, and the answers to questions about files. */
interface RecordedFacts extends Omit<HostFacts, QuestionName | "cgroupFiles" | "user"> {
  readonly directories: readonly string[];
  readonly files: readonly string[];
  readonly cpusets: Readonly<Record<string, Cpuset>>;
  /** Contents of files of cgroups, by path. */
  readonly cgroupFiles?: Readonly<Record<string, string>>;
  readonly systemd?: SystemdFacts;
  readonly appArmor?: AppArmorState;
  readonly selinux?: boolean;
  readonly resctrl?: string;
  readonly schemata?: Readonly<Record<string, string>>;
  /** Where newuidmap and newgidmap are. */
  readonly idHelpers?: string;
  /** What may be written to; everything when absent. */
  readonly writable?: readonly string[];
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}

function compileCase(name: string): CompiledContainer {
  const folder = `${cases}/${name}`;
  const recorded = readJson(`${folder}/facts.json`) as RecordedFacts;
  const {
    directories,
    files,
    cpusets,
    cgroupFiles = {},
    systemd,
    appArmor,
    selinux,
    resctrl,
    schemata,
    idHelpers,
    writable,
    ...plain
  } = recorded;
  const facts: HostFacts = {
    ...plain,
    isDirectory: (path) => (directories.includes(path) ? true : files.includes(path) ? false : undefined),
    findCpuset: (directory) => cpusets[directory],
    isSetgroupsDenied: () => false,
    cgroupFiles: { ...unknownCgroupFiles, read: (path) => cgroupFiles[path], systemd: () => systemd },
    user: {
      isNested: () => false,
      findIdHelper: (helper) => (idHelpers === undefined ? undefined : `${idHelpers}/${helper}`),
      mayWrite: (path) => writable?.includes(path) ?? true,
    },
    readAppArmor: () => appArmor ?? "off",
    isSelinuxEnabled: () => selinux ?? false,
    findResctrl: () => resctrl,
    readSchemata: (directory) => schemata?.[directory],
  };
  const input = existsSync(`${folder}/input.json`) ? (readJson(`${folder}/input.json`) as Partial<ContainerInput>) : {};
  const config = parseRuntimeConfig(readJson(`${folder}/config.json`));
  return compileContainer({ config, bundle: "/bundle", id: "c1", facts, supervision: { kind: "foreground" }, ...input });
}

function print({ program, warnings }: CompiledContainer): string {
  return [...warnings.map((warning) => `WARNING: ${warning}\n`), warnings.length > 0 ? "\n" : "", explainProgram(program)].join("");
}

describe("the program of", () => {
  for (const name of readdirSync(cases).sort()) {
    test(`${name} is the one in program.txt`, () => {
      const text = print(compileCase(name));
      const path = `${cases}/${name}/program.txt`;
      if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, text);
      expect(text).toBe(readFileSync(path, "utf8"));
    });

    test(`${name} names the origin of every op, can be encoded, and is the same each time`, () => {
      const compiled = compileCase(name);
      for (const { op, origin } of stepsInOrder(compiled.program)) expect(`${op.op}: ${origin}`).toMatch(/: (\/[a-zA-Z]|default: \S)/);
      const bytes = encodeProgram(compiled.program);
      expect(encodeProgram(compileCase(name).program).equals(bytes)).toBe(true);
    });
  }
});

test("there is a golden program for each kind of host and of container", () => {
  expect(readdirSync(cases).length).toBeGreaterThanOrEqual(12);
});
