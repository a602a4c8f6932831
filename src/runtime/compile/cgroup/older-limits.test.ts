import { expect, test } from "bun:test";
import { limitsOfVersion } from "./older-limits.ts";

test("a pids limit of 0 is none until 1.2 and no processes since 1.3", () => {
  const resources = { pids: { limit: 0 }, cpu: { shares: 2 } };
  for (const version of ["1.0.0", "1.0.2-dev", "1.2.1"]) expect(limitsOfVersion(resources, version)).toEqual({ cpu: { shares: 2 } });
  for (const version of ["1.3.0", "1.3.0+dev", "1.10.0", "2.0.0"]) expect(limitsOfVersion(resources, version)).toEqual(resources);
});

test("other limits are left alone", () => {
  expect(limitsOfVersion({ pids: { limit: -1 } }, "1.0.0")).toEqual({ pids: { limit: -1 } });
  expect(limitsOfVersion({ pids: { limit: 5 } }, "1.0.0")).toEqual({ pids: { limit: 5 } });
});
