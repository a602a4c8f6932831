/** One place for how patient tests are: GANTRY_TEST_SLOWNESS says by what factor a machine is slow (an emulated CPU: 5). */

const told = Number(process.env["GANTRY_TEST_SLOWNESS"] ?? "1");

/** A limit in milliseconds as this machine needs it: `patient(30_000)`. */
export function patient(limitMs: number): number {
  return Number.isFinite(told) && told > 1 ? Math.round(limitMs * told) : limitMs;
}
