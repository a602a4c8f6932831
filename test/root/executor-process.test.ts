/** Ops on the process itself, of which containers use some only at times. */
import { describe, expect, test } from "bun:test";
import { closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { encodeProgram } from "#program/encode.ts";
import type { Op } from "#program/ops.gen.ts";
import { compileContainer } from "#runtime/compile/compile.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { parseRuntimeConfig } from "#spec/runtime-config.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { failureOf, notRoot, run, start } from "./executor-harness.ts";
import { eventually } from "./gantry-harness.ts";

const exec = (script: string): Op => ({ op: "exec", candidates: ["/bin/sh"], argv: ["sh", "-c", script], env: ["PATH=/usr/bin:/bin"] });

describe.skipIf(notRoot !== undefined)("ops on the process", () => {
  test("cpu-affinity leaves the CPUs of the mask", async () => {
    const { stdout } = await run([
      { op: "cpu-affinity", cpus: new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]) },
      exec("grep Cpus_allowed_list /proc/self/status"),
    ]);
    expect(stdout.split(/\s+/)[1]).toBe("0");
  });

  test("cpu-affinity without any CPU that is there fails", async () => {
    const outcome = await run([{ op: "cpu-affinity", cpus: new Uint8Array(8) }]);
    expect(failureOf(outcome)).toEqual([0, 22]);
  });

  test("remove-directory removes an empty directory, and a missing one is success", async () => {
    using scratch = scratchDirectory();
    const path = join(scratch.path, "group");
    mkdirSync(path);
    const outcome = await run([
      { op: "remove-directory", path },
      { op: "remove-directory", path },
    ]);
    expect(failureOf(outcome)).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    mkdirSync(path);
    writeFileSync(join(path, "file"), "");
    expect(failureOf(await run([{ op: "remove-directory", path }]))).toBeDefined();
  });

  test("label-directory writes the label with its NUL", async () => {
    using scratch = scratchDirectory();
    expect(failureOf(await run([{ op: "label-directory", path: scratch.path, label: "a:b:c" }]))).toBeUndefined();
    const script = "import os,sys; sys.stdout.write(os.getxattr(sys.argv[1],'security.selinux').hex())";
    expect(execFileSync("python3", ["-c", script, scratch.path], { encoding: "utf8" })).toBe("613a623a6300");
  });

  test("move-interface refuses the namespace that the interface is in already", async () => {
    const outcome = await run([{ op: "move-interface", name: "lo", namespace: "/proc/self/ns/net", newName: "x" }]);
    expect(failureOf(outcome)).toEqual([0, 22]);
  });

  test("a container without a process waits for its start, has no capabilities, and ends when somebody starts it", async () => {
    using scratch = scratchDirectory();
    mkdirSync(join(scratch.path, "rootfs"));
    const fifo = join(scratch.path, "start");
    execFileSync("mkfifo", [fifo]);
    const config = parseRuntimeConfig({ ociVersion: "1.3.0", root: { path: "rootfs" }, linux: { namespaces: [{ type: "mount" }] } });
    const { program } = compileContainer({
      config,
      bundle: scratch.path,
      id: `no-process-${process.pid}`,
      facts: { ...readHostFacts(), cgroup: { version: "none", hierarchies: [] } },
      supervision: { kind: "create", fifo, failure: `${fifo}.failed` },
    });
    // Its outcome comes with the end of the container, which holds its output.
    const started = start(encodeProgram(program));
    const created = (): number => started.reports().find(({ kind }) => kind === "created")?.value ?? 0;
    expect(await eventually(() => created() > 0)).toBe(true);
    const pid = created();
    expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^CapBnd:\s*0+$/m);
    closeSync(openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK));
    expect((await started.outcome).exitCode).toBe(0);
    expect(await eventually(() => !isAlive(pid))).toBe(true);
  });
});

function isAlive(pid: number): boolean {
  // It may be left as a zombie to whoever reaps orphans here.
  return existsSync(`/proc/${pid}`) && !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
