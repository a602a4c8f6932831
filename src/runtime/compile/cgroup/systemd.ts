/**
 * Calls to systemd's manager that make, change and stop the unit of a container.
 * @see org.freedesktop.systemd1(5): StartTransientUnit, StopUnit, SetUnitProperties, ResetFailedUnit
 */
import type { Step } from "#program/encode.ts";
import type { LinuxResources } from "#spec/runtime-config.ts";
import { byDefault, step, type Context } from "../context.ts";
import { marshalCall, type DbusArgument, type DbusMessage, type DbusProperty } from "./dbus.ts";
import { systemdUnit, type SystemdUnit } from "./systemd-unit.ts";
import { annotatedProperties, deviceProperties, resourceProperties } from "./systemd-properties.ts";

const none = new Uint8Array();

/** What of a context the unit follows from. */
type UnitContext = Pick<Context, "linux" | "facts" | "id" | "isPrivileged">;

/** Makes the scope with the child in it, and waits until it is there. */
export function compileScopeStart(context: Context, origin: string): Step[] {
  const unit = systemdUnit(context);
  const isUnified = context.facts.cgroup.version === "v2";
  const properties: DbusProperty[] = [
    { name: "Description", value: { type: "s", value: `container ${context.id}` } },
    ...(unit.name.endsWith(".slice")
      ? [{ name: "Wants", value: { type: "as", value: [unit.slice] } } as const]
      : [
          { name: "Slice", value: { type: "s", value: unit.slice } } as const,
          // Without it systemd may change what we and the container do in its cgroup.
          { name: "Delegate", value: { type: "b", value: true } } as const,
          { name: "PIDs", value: { type: "pid" } } as const,
        ]),
    ...["MemoryAccounting", "CPUAccounting", isUnified ? "IOAccounting" : "BlockIOAccounting", "TasksAccounting"].map(
      (name): DbusProperty => ({ name, value: { type: "b", value: true } }),
    ),
    // At shutdown the container's engine stops it; systemd alone would do so before.
    { name: "DefaultDependencies", value: { type: "b", value: false } },
    ...deviceProperties(context.linux.resources?.devices ?? []),
    ...resourceProperties(context.linux.resources ?? {}, isUnified),
    ...annotatedProperties(context.config.annotations ?? {}),
  ];
  const call = managerCall("StartTransientUnit", [
    { type: "s", value: unit.name },
    { type: "s", value: "replace" },
    { type: "properties", value: properties },
    { type: "units" },
  ]);
  return [systemdStep(unit, call, { origin, waits: true, recovery: resetFailed(unit).bytes })];
}

/** Stops the unit, if it has not gone by itself with its last process, and forgets that it failed. */
export function compileUnitStop(context: UnitContext, origin: string): Step[] {
  const unit = systemdUnit(context);
  const stop = managerCall("StopUnit", [
    { type: "s", value: unit.name },
    { type: "s", value: "replace" },
  ]);
  return [
    systemdStep(unit, stop, { origin, waits: true, missing: true }),
    systemdStep(unit, resetFailed(unit), { origin: byDefault("a unit that failed would stay"), missing: true }),
  ];
}

/** Tells systemd of changed limits, until the unit ends. */
export function compileUnitChange(context: UnitContext, resources: LinuxResources): Step[] {
  const unit = systemdUnit(context);
  const properties = resourceProperties(resources, context.facts.cgroup.version === "v2");
  if (properties.length === 0) return [];
  const call = managerCall("SetUnitProperties", [
    { type: "s", value: unit.name },
    { type: "b", value: true },
    { type: "properties", value: properties },
  ]);
  return [systemdStep(unit, call, { origin: "/linux/resources" })];
}

function resetFailed({ name }: SystemdUnit): DbusMessage {
  return managerCall("ResetFailedUnit", [{ type: "s", value: name }], 2);
}

function managerCall(member: string, body: readonly DbusArgument[], serial = 1): DbusMessage {
  return marshalCall({
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member,
    serial,
    body,
  });
}

/** On the manager's own socket there is no bus, so nothing precedes the call, and every signal comes unasked. */
function systemdStep(
  { socket }: SystemdUnit,
  { bytes, pidAt }: DbusMessage,
  how: { readonly origin: string; readonly waits?: boolean; readonly missing?: boolean; readonly recovery?: Uint8Array },
): Step {
  const { origin, waits = false, missing = false, recovery = none } = how;
  return step(
    { op: "systemd-call", socket, greeting: none, call: bytes, pidAt, waits: waits ? 1 : 0, missing: missing ? 1 : 0, recovery },
    origin,
  );
}
