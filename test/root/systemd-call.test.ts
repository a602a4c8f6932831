/** The op `systemd-call` against a small systemd of our own: what goes over the socket, and what becomes of its answers. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { marshalCall } from "#runtime/compile/cgroup/dbus.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { failureOf, notRoot, type Outcome, program, start } from "./executor-harness.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
if (notRoot !== undefined) console.log(`skipped: ${notRoot}`);

/** A message of the types that a server sends; the marshaller makes calls, so type and fields are put in here. */
// eslint-disable-next-line max-params -- they are the fields of a message, in its order
function reply(
  type: 2 | 3 | 4,
  fields: readonly (readonly [code: number, type: "u" | "s", value: number | string])[],
  body: readonly string[],
  lead?: number,
): Buffer {
  const parts: number[] = [];
  const align = (list: number[], to: number): void => {
    while (list.length % to !== 0) list.push(0);
  };
  const word = (list: number[], value: number): void => {
    list.push(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);
  };
  const text = (list: number[], value: string): void => {
    align(list, 4);
    word(list, value.length);
    list.push(...Buffer.from(value), 0);
  };
  for (const [code, kind, value] of fields) {
    align(parts, 8);
    parts.push(code, 1, kind.charCodeAt(0), 0);
    if (typeof value === "number") word(parts, value);
    else text(parts, value);
  }
  const signature = `${lead === undefined ? "" : "u"}${"s".repeat(body.length)}`;
  if (signature !== "") {
    // As systemd: last, and so short that the fields end with it.
    align(parts, 8);
    parts.push(8, 1, "g".charCodeAt(0), 0, signature.length, ...Buffer.from(signature), 0);
  }
  const payload: number[] = [];
  if (lead !== undefined) word(payload, lead);
  for (const one of body) text(payload, one);
  const header: number[] = ["l".charCodeAt(0), type, 0, 1];
  word(header, payload.length);
  word(header, 99);
  word(header, parts.length);
  header.push(...parts);
  align(header, 8);
  return Buffer.from([...header, ...payload]);
}

const job = "/org/freedesktop/systemd1/job/7";
const done = (result: string): Buffer => reply(4, [[3, "s", "JobRemoved"]], [job, "a.scope", result], 7);
const otherJob = reply(4, [[3, "s", "JobRemoved"]], ["/org/freedesktop/systemd1/job/6", "b.scope", "failed"], 6);
const returned = (serial: number): Buffer => reply(2, [[5, "u", serial]], [job]);
const refused = (serial: number, name: string): Buffer =>
  reply(
    3,
    [
      [4, "s", name],
      [5, "u", serial],
    ],
    ["no"],
  );

const call = marshalCall({
  destination: "org.freedesktop.systemd1",
  path: "/org/freedesktop/systemd1",
  interface: "org.freedesktop.systemd1.Manager",
  member: "StartTransientUnit",
  serial: 1,
  body: [
    { type: "s", value: "a.scope" },
    { type: "properties", value: [{ name: "PIDs", value: { type: "pid" } }] },
  ],
});

/** Runs the op in a program with a child, against a server that answers each message with the next of `answers`. */
async function ask(
  answers: readonly (readonly Buffer[])[],
  wish: { waits?: number; missing?: number; recovery?: Uint8Array } = {},
): Promise<{ outcome: Outcome; line: string; heard: Buffer }> {
  using scratch = scratchDirectory();
  const socket = join(scratch.path, "private");
  let [line, heard, turn] = ["", Buffer.alloc(0), 0];
  const serve = (peer: Socket): void => {
    peer
      .on("error", () => undefined)
      .on("data", (bytes: Buffer) => {
        const rest = line === "" ? bytes.subarray(bytes.indexOf("BEGIN\r\n") + 7) : bytes;
        if (line === "") {
          line = bytes.subarray(0, bytes.length - rest.length).toString("latin1");
          peer.write("OK 0123456789abcdef\r\n");
        }
        if (rest.length === 0) return;
        heard = Buffer.concat([heard, rest]);
        // One byte at a time: the reader must put together what comes apart.
        for (const answer of answers[turn++] ?? []) for (const byte of answer) peer.write(Buffer.of(byte));
      });
  };
  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const { waits = 1, missing = 0, recovery = new Uint8Array() } = wish;
  const bytes = program(
    [
      { op: "clone", section: 2, flags: 0, cgroup: "" },
      { op: "systemd-call", socket, greeting: new Uint8Array(), call: call.bytes, pidAt: call.pidAt, waits, missing, recovery },
      { op: "release-child" },
      { op: "supervise" },
    ],
    [],
    [{ op: "await-parent" }, { op: "exec", candidates: ["/bin/true"], argv: ["true"], env: [] }],
  );
  const outcome = await start(bytes).outcome;
  server.close();
  return { outcome, line, heard };
}

describe.skipIf(notRoot !== undefined)("systemd-call", () => {
  test("says who we are, sends the call with the child's pid and waits for the job that the reply names", async () => {
    const { outcome, line, heard } = await ask([[returned(1), otherJob, done("done")]]);
    expect(failureOf(outcome)).toBeUndefined();
    expect(line).toBe("\0AUTH EXTERNAL 30\r\nBEGIN\r\n");
    expect(heard.length).toBe(call.bytes.length);
    expect(heard.readUInt32LE(call.pidAt)).toBeGreaterThan(1);
    expect(Buffer.concat([heard.subarray(0, call.pidAt), heard.subarray(call.pidAt + 4)])).toEqual(
      Buffer.concat([Buffer.from(call.bytes.subarray(0, call.pidAt)), Buffer.from(call.bytes.subarray(call.pidAt + 4))]),
    );
  });

  test.each([
    ["org.freedesktop.DBus.Error.AccessDenied", 13],
    ["org.freedesktop.DBus.Error.InvalidArgs", 22],
    ["org.freedesktop.systemd1.UnitExists", 17],
    ["org.example.Unheard", 121],
  ])("fails when the answer is %s", async (name, errno) => {
    expect(failureOf((await ask([[refused(1, name)]])).outcome)).toEqual([1, errno]);
  });

  test("fails when the job does", async () => {
    expect(failureOf((await ask([[returned(1), done("failed")]])).outcome)).toEqual([1, 125]);
  });

  test("forgets a unit of that name that failed, and calls again", async () => {
    const recovery = marshalCall({
      destination: "d",
      path: "/p",
      interface: "i.i",
      member: "ResetFailedUnit",
      serial: 2,
      body: [{ type: "s", value: "a.scope" }],
    });
    const answers = [[refused(1, "org.freedesktop.systemd1.UnitExists")], [reply(2, [[5, "u", 2]], [])], [returned(1), done("done")]];
    const { outcome, heard } = await ask(answers, { recovery: recovery.bytes });
    expect(failureOf(outcome)).toBeUndefined();
    expect(heard.length).toBe(2 * call.bytes.length + recovery.bytes.length);
  });

  test("takes a unit that is not there as success when told so", async () => {
    const answers = [[refused(1, "org.freedesktop.systemd1.NoSuchUnit")]];
    expect(failureOf((await ask(answers, { missing: 1 })).outcome)).toBeUndefined();
    expect(failureOf((await ask(answers)).outcome)).toEqual([1, 2]);
  });

  test.each([
    ["of nonsense", Buffer.from("nonsense nonsense nonsense")],
    ["whose fields do not fit", Buffer.concat([reply(2, [[5, "u", 1]], []).subarray(0, 12), Buffer.from([255, 255, 255, 255])])],
    [
      "whose text does not fit",
      (() => {
        const bytes = reply(
          3,
          [
            [4, "s", "abc"],
            [5, "u", 1],
          ],
          [],
        );
        bytes.writeUInt32LE(0xfffffff0, 20);
        return bytes;
      })(),
    ],
  ])("fails on a message %s", async (_, bytes) => {
    expect(failureOf((await ask([[bytes]])).outcome)).toEqual([1, 71]);
  });
});
