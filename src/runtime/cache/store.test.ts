import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { encodeProgram } from "#program/encode.ts";
import { parseRuntimeConfig } from "#spec/runtime-config.ts";
import { machine, type Machine } from "../machine.ts";
import { compileBundle, type BundleOptions } from "../run.ts";
import { encodeChecks, encodeEntry, sumOf } from "./entry.ts";
import { findHoles } from "./holes.ts";
import { checksOf, recordFacts } from "./recorder.ts";
import { makeEntry, type CompiledRequest } from "./store.ts";

const cases = `${import.meta.dir}/../../../test/testdata/programs`;
const compiler = { ino: 1n, size: 2n, changedNs: 3_000_000_004n };
const ids = ["3f".repeat(32), "c4".repeat(31) + "0d"] as const;
const layers = ["ab01".repeat(16), "90ef".repeat(16)] as const;

/** This machine, as if systemd ran on it. */
const booted: Machine = { ...machine, isDirectory: (path) => path === "/run/systemd/system" || machine.isDirectory(path) };

/** A container of the golden config `name`, in whose texts are names as engines make them up. */
function requestOf(name: string, number: 0 | 1, manager: BundleOptions["cgroupManager"]): CompiledRequest {
  const config = JSON.parse(readFileSync(`${cases}/${name}/config.json`, "utf8")) as Record<string, unknown>;
  const [id, layer] = [ids[number], layers[number]];
  const text = JSON.stringify({
    ...config,
    hostname: (config["hostname"] ?? "") === "" ? undefined : id.slice(0, 12),
    root: { ...(config["root"] as object), path: `/layers/${layer}/merged` },
    annotations: { "com.example.id": id, "com.example.layer": layer },
    linux: { ...(config["linux"] as object), cgroupsPath: manager === "systemd" ? `machine.slice:pod:${id}` : `/machine/pod-${id}` },
  });
  const recorded = recordFacts(booted);
  const options: BundleOptions = {
    id,
    bundle: `/bundles/${id}`,
    config: parseRuntimeConfig(JSON.parse(text)),
    facts: recorded.facts,
    stateRoot: "/run/gantry",
    mode: "create",
    pidFile: `/bundles/${id}/pid`,
    noPivot: false,
    noNewKeyring: false,
    cgroupManager: manager,
    warn: () => undefined,
  };
  const words: CompiledRequest["words"] = {
    verb: "create",
    switches: manager === "systemd" ? "s" : "",
    isTold: false,
    root: options.stateRoot,
    preservedFds: "",
    pidFile: options.pidFile ?? "",
    consoleSocket: "",
    bundle: options.bundle,
  };
  return { words, configText: text, options, recorded, program: encodeProgram(compileBundle(options)), compiler };
}

/** What the executor makes of an entry. */
function fill(request: CompiledRequest, names: readonly string[]): Buffer | undefined {
  const entry = makeEntry(request);
  if (entry === undefined) return undefined;
  const body = Buffer.concat([entry.checks, entry.program]);
  for (const { at, name } of entry.holes) body.write(names[name] ?? "", at, "latin1");
  return body;
}

describe.each(["cgroupfs", "systemd"] as const)("with cgroups of %s", (manager) => {
  let compared = 0;

  test.each(readdirSync(cases))("the kept program of %s, with other names put in, is what the compiler makes for those names", (name) => {
    let requests: [CompiledRequest, CompiledRequest];
    try {
      requests = [requestOf(name, 0, manager), requestOf(name, 1, manager)];
    } catch {
      // What this machine cannot do is refused before there is a program.
      return;
    }
    const [first, second] = requests;
    const checks = checksOf(second.recorded);
    const filled = fill(first, [ids[1], ids[1].slice(0, 12), layers[1]]);
    if (checks === undefined) expect(filled).toBeUndefined();
    else if (filled !== undefined) expect(filled.equals(Buffer.concat([encodeChecks(checks), second.program]))).toBe(true);
    if (filled !== undefined) compared++;
  });

  test("most configs have a program that can be kept", () => {
    // A user without privileges is refused most of them.
    if (process.getuid?.() === 0 && checksOf(recordFacts()) !== undefined) expect(compared).toBeGreaterThan(10);
  });
});

test("nothing is kept of a compilation for another cgroup than the one that the process is in by now", () => {
  const recorded = recordFacts();
  // Where a hierarchy is not mounted, nothing is kept at all.
  if (checksOf(recorded) === undefined) return;
  const { cgroup } = recorded.host;
  const moved = {
    ...cgroup,
    hierarchies: cgroup.hierarchies.map((one) => ({ ...one, own: "/elsewhere" })),
    ...(cgroup.unified === undefined ? {} : { unified: { ...cgroup.unified, own: "/elsewhere" } }),
  };
  expect(checksOf({ ...recorded, host: { ...recorded.host, cgroup: moved } })).toBeUndefined();
});

test("a name that means something to the compiler makes no entry", () => {
  const names = { names: ["aaaa"], others: ["bbbb"] };
  expect(findHoles(Buffer.from("x aaaa y"), Buffer.from("x bbbb y"), names)).toEqual([{ at: 2, name: 0 }]);
  expect(findHoles(Buffer.from("x aa y"), Buffer.from("x bb y"), names)).toBeUndefined();
  expect(findHoles(Buffer.from("x aaaa 1"), Buffer.from("x bbbb 2"), names)).toBeUndefined();
  expect(findHoles(Buffer.from("x aaaa"), Buffer.from("x bbbb y"), names)).toBeUndefined();
});

test("the bytes of an entry are as the executor reads them", () => {
  const bytes = encodeEntry({
    form: { form: "form", names: [] },
    compiler,
    checks: encodeChecks([{ kind: "directory", path: "/a", isDirectory: true }]),
    program: Buffer.from("program."),
    holes: [{ at: 5, name: 1 }],
  });
  expect(bytes.toString("latin1", 0, 8)).toBe("GNTRYENT");
  expect(bytes.readBigUInt64LE(8)).toBe(sumOf(bytes.subarray(16)));
  expect([32, 40].map((at) => bytes.readBigUInt64LE(at))).toEqual([3n, 4n]);
  expect([48, 52, 56, 60, 72, 76].map((at) => bytes.readUInt32LE(at))).toEqual([4, 1, 32, 8, 5, 1]);
  expect(bytes).toHaveLength(64 + 8 + 8 + 32 + 8);
});
