/** The record of a container as text: JSON; bytes, which only the ops of its cleanup have, are written as latin1, so that names in them can be seen. */
import { CodedError } from "#base/errors.ts";
import type { Step } from "#program/encode.ts";
import type { Op } from "#program/ops.gen.ts";
import { readOwnTextIfThere } from "#sys/small-files.ts";
import type { ContainerRecord } from "./compile/lifecycle.ts";

/** The text of `container.json`. */
export function formatRecord(record: ContainerRecord): string {
  return JSON.stringify({ ...record, cleanup: record.cleanup.map(({ op, origin }) => ({ op: withBytesAs(op, toText), origin })) });
}

/**
 * Reads the record that `create` wrote; undefined when there is none. SECURITY: it holds steps that are run, so that of another user
 * is refused: with --root in a place of theirs they could have root run them.
 * @throws CodedError `corrupt` when it is no record, `permission-denied` when it is not this user's
 */
export function readRecord(path: string): ContainerRecord | undefined {
  const text = readOwnTextIfThere(path);
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as ContainerRecord;
    return { ...record, cleanup: record.cleanup.map(({ op, origin }): Step => ({ op: withBytesAs(op, toBytes) as Op, origin })) };
  } catch (cause) {
    throw new CodedError("corrupt", `cannot read ${path}: it is no record of a container`, { cause });
  }
}

/** No op has a field that is an object, but for bytes. */
function withBytesAs(op: Op, convert: (value: unknown) => unknown): object {
  return Object.fromEntries(Object.entries(op).map(([name, value]) => [name, convert(value)]));
}

function toText(value: unknown): unknown {
  return value instanceof Uint8Array ? { bytes: Buffer.from(value).toString("latin1") } : value;
}

function toBytes(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("bytes" in value)) return value;
  return Buffer.from(String(value.bytes), "latin1");
}
