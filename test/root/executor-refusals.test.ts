/** What the executor refuses before it runs anything, and how it says where. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { failureOf, notRoot, type Outcome, program, runStream, start, stream } from "./executor-harness.ts";

const headerBytes = 32 + 3 * 8;

async function refusal(bytes: Buffer, change: (copy: Buffer) => Buffer | undefined): Promise<number | undefined> {
  const copy = Buffer.from(bytes);
  const outcome = await start(change(copy) ?? copy).outcome;
  expect(outcome.exitCode).toBe(125);
  return malformedAt(outcome);
}

const malformedAt = (outcome: Outcome): number | undefined => outcome.reports.find((report) => report.kind === "malformed")?.value;

const sample = (path: string): Buffer =>
  program(
    [
      { op: "lock", path, exclusive: 1 },
      { op: "clone", section: 2, flags: 0, cgroup: "" },
    ],
    [],
    [{ op: "exec", candidates: ["/bin/true"], argv: ["true"], env: [] }],
  );

describe.skipIf(notRoot !== undefined)("refusals", () => {
  test("a whole program is refused for any byte that is not as it should be, and nothing of it runs", async () => {
    using scratch = scratchDirectory();
    const path = join(scratch.path, "lock");
    const good = sample(path);
    const clone = headerBytes + good.readUInt32LE(headerBytes + 4);
    const exec = clone + good.readUInt32LE(clone + 4);
    const set = (at: number, value: number) => (copy: Buffer) => {
      copy[at] = value;
      return undefined;
    };
    expect(await refusal(good, set(0, 0x58))).toBe(0); // magic
    expect(await refusal(good, set(8, 99))).toBe(0); // version
    expect(await refusal(good, set(24, 17))).toBe(0); // sections
    expect(await refusal(good, set(28, 9))).toBe(0); // ops
    expect(await refusal(good, set(32, 1))).toBe(0); // section 0 begins late
    expect(await refusal(good, (copy) => copy.subarray(0, copy.length - 8))).toBe(0); // cut
    expect(await refusal(good, (copy) => Buffer.concat([copy, Buffer.alloc(8)]))).toBe(0); // trailing bytes
    expect(await refusal(good, set(headerBytes, 200))).toBe(headerBytes); // unknown op
    expect(await refusal(good, set(headerBytes + 2, 1))).toBe(headerBytes); // reserved
    expect(await refusal(good, set(headerBytes + 4, 12))).toBe(headerBytes); // length not a multiple of 8
    expect(await refusal(good, set(headerBytes + 13, 0))).toBe(headerBytes); // a NUL in a text
    expect(await refusal(good, set(clone - 1, 1))).toBe(headerBytes); // padding
    expect(await refusal(good, set(clone + 8, 1))).toBe(clone); // a child may not be the cleanup section
    expect(await refusal(good, set(clone + 8, 3))).toBe(clone); // no such section
    expect(await refusal(good, set(exec, 5))).toBe(exec); // an op of the parent in a child
    expect(await refusal(good, set(exec + 16, 1))).toBe(exec); // a pointer slot that is not zero
    expect(existsSync(path)).toBe(false);
  });

  test("the size in the header is limited", async () => {
    const good = sample("/nowhere");
    expect(
      await refusal(good, (copy) => {
        copy.writeBigUInt64LE(1n << 40n, 16);
        return undefined;
      }),
    ).toBe(0);
  });

  test("a stream is refused at the byte that is wrong; what came before has run", async () => {
    using scratch = scratchDirectory();
    const enter = { op: "enter-root", path: scratch.path } as const;
    const parents = { op: "parents", path: "made" } as const;
    const before = stream([enter, parents]);
    const wrong = Buffer.concat([before, Buffer.from([93, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])]);
    expect(malformedAt(await runStream(wrong))).toBe(before.length);
    expect(existsSync(join(scratch.path, "made"))).toBe(true);
    const trailing = Buffer.concat([stream([enter, { op: "end" }]), Buffer.alloc(8)]);
    expect(malformedAt(await runStream(trailing))).toBe(trailing.length - 8);
  });

  test("chunks that fall back, overlap or leave the file are refused", async () => {
    using scratch = scratchDirectory();
    const file = { op: "file", path: "f", mode: 0o600, uid: 0, gid: 0, seconds: 0, nanos: 0, size: 8, keepParent: 0 } as const;
    const withChunks = (...chunks: [number, string][]): Buffer =>
      stream([{ op: "enter-root", path: scratch.path }, file, { op: "chunks", chunks }]);
    const none = withChunks().length;
    expect(malformedAt(await runStream(withChunks([4, "ab"], [0, "a"])))).toBe(none + 24);
    expect(malformedAt(await runStream(withChunks([0, "abc"], [2, "a"])))).toBe(none + 24);
    expect(malformedAt(await runStream(withChunks([6, "abc"])))).toBe(none);
  });

  test("a stream that stops before its end has failed with EPROTO where it stopped", async () => {
    using scratch = scratchDirectory();
    const outcome = await runStream(
      stream([
        { op: "enter-root", path: scratch.path },
        { op: "parents", path: "a" },
      ]),
    );
    expect(failureOf(outcome)).toEqual([2, 71]);
    expect(outcome.exitCode).toBe(125);
    const cut = stream([{ op: "enter-root", path: scratch.path }]);
    expect(failureOf(await runStream(cut.subarray(0, cut.length - 8)))).toEqual([0, 71]);
  });

  test("ops that need a child are refused in a stream", async () => {
    const bytes = stream([{ op: "clone", section: 2, flags: 0, cgroup: "" }, { op: "end" }]);
    expect(malformedAt(await runStream(bytes))).toBe(32);
  });
});
