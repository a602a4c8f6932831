/** Building and running the executor for its tests: programs in, reports, output and exit code out. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, cpSync, mkdirSync, openSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { ByteString } from "#base/byte-string.ts";
import { encodeProgram, type Step, writeStreamHeader } from "#program/encode.ts";
import { encodeOp, type Op } from "#program/ops.gen.ts";
import { RecordWriter } from "#program/record-writer.ts";
import { decodeReports, type Report } from "#program/reports.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { patient } from "../support/slowness.ts";
import { notGantry } from "./gantry-harness.ts";

/** Why these tests cannot run here; undefined when they can. */
export const notRoot: string | undefined =
  process.getuid?.() === 0 ? notGantry() : "the executor's tests make namespaces, mounts and nodes as root";

/** Set to 1 to run the tests with the build that has ASan and UBSan. */
const isSanitized = process.env["GANTRY_SANITIZE"] === "1";
/** A machine without a compiler names an executor that is built. */
let built = process.env["GANTRY_TEST_EXECUTOR"];

/** A path of the executor, which is built on first use. Then it is a file without a name: nothing is left when this process is killed. */
export function executorPath(): string {
  if (built !== undefined) return built;
  using scratch = scratchDirectory();
  const script = new URL("../../executor/build.sh", import.meta.url).pathname;
  execFileSync("sh", [script, scratch.path, ...(isSanitized ? ["--sanitize"] : [])], { stdio: "pipe" });
  const fd = openSync(join(scratch.path, isSanitized ? "gantry-executor-sanitized" : "gantry-executor"), "r");
  built = `/proc/${process.pid}/fd/${fd}`;
  return built;
}

/** What came of a run. */
export interface Outcome {
  readonly exitCode: number | null;
  readonly reports: readonly Report[];
  readonly stdout: string;
  readonly stderr: string;
}

/** A run under way. */
export interface Run {
  readonly process: ChildProcess;
  readonly control: Duplex;
  /** Reports that have come so far. */
  reports(): Report[];
  /** Output that has come so far. */
  stdout(): string;
  readonly outcome: Promise<Outcome>;
}

/** Starts the executor on the bytes of a program, from a file; `control: false` leaves descriptor 4 closed. */
export function start(program: Uint8Array, options: { stdin?: "pipe" | "ignore" | number } = {}): Run {
  using scratch = scratchDirectory();
  const path = join(scratch.path, "program");
  writeFileSync(path, program);
  const fd = openSync(path, "r");
  try {
    return follow(spawn(executorPath(), [], { stdio: [options.stdin ?? "ignore", "pipe", "pipe", fd, "pipe"] }));
  } finally {
    closeSync(fd);
  }
}

function follow(child: ChildProcess): Run {
  const control = child.stdio[4] as Duplex;
  const said: Buffer[] = [];
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  control.on("data", (bytes: Buffer) => said.push(bytes)).on("error", () => undefined);
  child.stdout?.on("data", (bytes: Buffer) => out.push(bytes));
  child.stderr?.on("data", (bytes: Buffer) => err.push(bytes));
  const reports = (): Report[] => decodeReports(Buffer.concat(said));
  const stdout = (): string => Buffer.concat(out).toString();
  const closed = (emitter: NodeJS.EventEmitter): Promise<void> => new Promise((resolve) => emitter.once("close", () => resolve()));
  const heard = closed(control);
  const outcome = closed(child).then(async (): Promise<Outcome> => {
    await heard;
    return { exitCode: child.exitCode, reports: reports(), stdout: stdout(), stderr: Buffer.concat(err).toString() };
  });
  return { process: child, control, reports, stdout, outcome };
}

const toSteps = (ops: readonly PlainOp<Op>[]): Step[] => ops.map((op) => ({ op: op as Op, origin: "test" }));

/** The bytes of a whole program. */
export function program(
  main: readonly PlainOp<Op>[],
  cleanup: readonly PlainOp<Op>[] = [],
  ...children: (readonly PlainOp<Op>[])[]
): Buffer {
  return encodeProgram({ main: toSteps(main), cleanup: toSteps(cleanup), children: children.map(toSteps) });
}

/** Runs a whole program to its end. */
export function run(
  main: readonly PlainOp<Op>[],
  cleanup: readonly PlainOp<Op>[] = [],
  ...children: (readonly PlainOp<Op>[])[]
): Promise<Outcome> {
  return start(program(main, cleanup, ...children)).outcome;
}

/** Fields as tests write them: names are literals, one character per byte. */
type Plain<Value> = Value extends ByteString ? string : Value extends readonly ByteString[] ? readonly string[] : Value;
type PlainOp<One> = One extends Op ? { readonly [Key in keyof One]: Plain<One[Key]> } : never;

/** An op, or the chunks of the file before it. */
export type TreeOp =
  | PlainOp<Op>
  | { readonly op: "chunks"; readonly chunks: readonly (readonly [offset: number, data: string | Uint8Array])[] };

/** The bytes of a streamed program with its header; no `end` is added. */
export function stream(ops: readonly TreeOp[]): Buffer {
  const writer = new RecordWriter();
  writeStreamHeader(writer);
  for (const op of ops) {
    if (op.op !== "chunks") encodeOp(writer, op as Op);
    else for (const [offset, data] of op.chunks) writer.chunk(offset, Buffer.from(data));
  }
  return writer.take();
}

/** Runs the bytes of a streamed program through a pipe. */
export async function runStream(bytes: Uint8Array): Promise<Outcome> {
  const started = follow(spawn(executorPath(), [], { stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"] }));
  const input = started.process.stdio[3] as Duplex;
  input.on("error", () => undefined);
  input.end(bytes);
  return await started.outcome;
}

/** Runs tree ops chrooted into `root`, with `end`. */
export function applyTree(root: string, ops: readonly TreeOp[]): Promise<Outcome> {
  return runStream(stream([{ op: "enter-root", path: root }, ...ops, { op: "end" }]));
}

/** The first failure of a run as [op index, errno]. */
export function failureOf(outcome: Outcome): [number, number] | undefined {
  const failed = outcome.reports.find((report) => report.kind === "failed");
  return failed === undefined ? undefined : [failed.opIndex, failed.value];
}

/** Makes a root file system of busybox at `path`. */
export function makeRootfs(path: string): void {
  mkdirSync(join(path, "bin"), { recursive: true });
  for (const name of ["proc", "dev", "tmp"]) mkdirSync(join(path, name));
  cpSync("/bin/busybox", join(path, "bin/busybox"));
  for (const name of ["sh", "cat", "echo", "ls", "sleep", "true", "id", "mount", "kill"]) symlinkSync("busybox", join(path, "bin", name));
}

/** Waits until `condition` holds. @throws after thirty seconds, naming what was waited for */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + patient(30_000);
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
