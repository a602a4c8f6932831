import { expect, test } from "bun:test";
import { capabilityMasks } from "./credentials.ts";
import { capabilityNames } from "./kernel.ts";

const everything = 2 ** 41 - 1;
const bit = (name: string): number => 2 ** capabilityNames.indexOf(name);

function masks(
  sets: Parameters<typeof capabilityMasks>[0],
  grantable = everything,
): { masks: ReturnType<typeof capabilityMasks>; warnings: string[] } {
  const warnings: string[] = [];
  return { masks: capabilityMasks(sets, { grantable, warn: (sentence) => warnings.push(sentence) }), warnings };
}

test("the table of capabilities has the kernel's numbers", () => {
  expect(capabilityNames.indexOf("CAP_SYS_ADMIN")).toBe(21);
  expect(capabilityNames.indexOf("CAP_SETFCAP")).toBe(31);
  expect(capabilityNames.indexOf("CAP_CHECKPOINT_RESTORE")).toBe(40);
  expect(new Set(capabilityNames).size).toBe(41);
});

test("capabilityMasks() gives no capability that is not asked for", () => {
  expect(masks({})).toEqual({ masks: { bounding: 0, permitted: 0, effective: 0, inheritable: 0, ambient: 0 }, warnings: [] });
});

test("capabilityMasks() holds all 41 capabilities exactly", () => {
  const { masks: all, warnings } = masks({ bounding: capabilityNames, permitted: capabilityNames, effective: capabilityNames });
  expect(all.bounding).toBe(everything);
  expect(all.effective).toBe(everything);
  expect(warnings).toEqual([]);
});

test("capabilityMasks() warns of an unknown capability and leaves it out", () => {
  const { masks: some, warnings } = masks({ bounding: ["CAP_KILL", "CAP_FLY"] });
  expect(some.bounding).toBe(bit("CAP_KILL"));
  expect(warnings).toEqual(['ignored /process/capabilities/bounding: "CAP_FLY" is no capability']);
});

test("capabilityMasks() warns once of a capability that cannot be granted and leaves it out of every set", () => {
  const names = ["CAP_KILL", "CAP_SYS_RESOURCE"];
  const { masks: some, warnings } = masks({ bounding: names, permitted: names, effective: names }, everything - bit("CAP_SYS_RESOURCE"));
  expect(some).toEqual({ bounding: bit("CAP_KILL"), permitted: bit("CAP_KILL"), effective: bit("CAP_KILL"), inheritable: 0, ambient: 0 });
  expect(warnings).toEqual(["ignored /process/capabilities/bounding: CAP_SYS_RESOURCE cannot be granted here"]);
});

test("capabilityMasks() cuts each set to those that the kernel wants around it", () => {
  const { masks: cut, warnings } = masks({
    bounding: ["CAP_KILL"],
    permitted: ["CAP_KILL", "CAP_CHOWN"],
    effective: ["CAP_KILL", "CAP_FOWNER"],
    inheritable: ["CAP_KILL", "CAP_CHOWN"],
    ambient: ["CAP_KILL", "CAP_CHOWN"],
  });
  expect(cut).toEqual({
    bounding: bit("CAP_KILL"),
    permitted: bit("CAP_KILL") + bit("CAP_CHOWN"),
    effective: bit("CAP_KILL"),
    inheritable: bit("CAP_KILL"),
    ambient: bit("CAP_KILL"),
  });
  expect(warnings).toEqual([
    "ignored /process/capabilities/effective: CAP_FOWNER cannot be effective without being permitted",
    "ignored /process/capabilities/inheritable: CAP_CHOWN cannot be inheritable without being in the bounding set",
    "ignored /process/capabilities/ambient: CAP_CHOWN cannot be ambient without being permitted and inheritable",
  ]);
});
