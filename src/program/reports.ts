/** What the executor says on its control socket: fixed reports of 16 bytes (docs/program-format.md#reports). */

/** One report. `value` is a pid, a wait status, an errno or an offset, by kind. */
export interface Report {
  readonly kind: "started" | "created" | "exited" | "failed" | "warned" | "finished" | "malformed" | "reached";
  readonly opIndex: number;
  readonly value: number;
}

const reportBytes = 16;
const kinds: readonly (Report["kind"] | undefined)[] = [
  undefined,
  "started",
  "created",
  "exited",
  "failed",
  "warned",
  "finished",
  "malformed",
  "reached",
];

/** The whole reports in `bytes`; a cut one at the end (the executor was killed) is left out. */
export function decodeReports(bytes: Uint8Array): Report[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reports: Report[] = [];
  for (let at = 0; at + reportBytes <= bytes.length; at += reportBytes) {
    const kind = kinds[view.getUint32(at, true)];
    if (kind === undefined) break;
    reports.push({ kind, opIndex: view.getUint32(at + 4, true), value: view.getInt32(at + 8, true) });
  }
  return reports;
}
