/**
 * The systemd unit that a container's cgroup is: `cgroupsPath` is then SLICE:PREFIX:NAME, and the unit
 * PREFIX-NAME.scope in SLICE, or NAME itself when that is a slice.
 * @see systemd.slice(5); systemd.unit(5), "String Escaping"; the format is runc's (docs/systemd.md), and Kubernetes' by it
 */
import { CodedError } from "#base/errors.ts";
import type { LinuxConfig } from "#spec/runtime-config.ts";
import type { HostFacts } from "../../facts.ts";
import { joinPath } from "../context.ts";

/** A unit, and where systemd has it. */
export interface SystemdUnit {
  readonly name: string;
  readonly slice: string;
  /** The cgroup below each mount point, starting with "/". */
  readonly path: string;
  /** The socket on which the manager of the unit takes calls without a bus. */
  readonly socket: string;
}

const at = "/linux/cgroupsPath";

/** The unit of a container. @throws CodedError `invalid-spec` for a path that is no SLICE:PREFIX:NAME, `unsupported` without systemd */
export function systemdUnit(wish: {
  readonly linux: LinuxConfig;
  readonly facts: HostFacts;
  readonly id: string;
  readonly isPrivileged: boolean;
}): SystemdUnit {
  const { linux, facts, id, isPrivileged } = wish;
  const systemd = facts.cgroupFiles.systemd();
  if (systemd === undefined) {
    throw new CodedError("unsupported", "cannot make control groups by systemd: the machine was not booted with it");
  }
  if (!isPrivileged && facts.cgroup.version !== "v2") {
    throw new CodedError("unsupported", "cannot make control groups by systemd: without root that needs cgroup v2");
  }
  const { slice, name } = parseUnitPath(linux.cgroupsPath ?? "", { id, slice: isPrivileged ? "system.slice" : "user.slice" });
  const root = isPrivileged ? systemd.root : userManagerPath(facts);
  return {
    name,
    slice,
    path: joinPath(root, `${expandSlice(slice)}/${name}`),
    socket: isPrivileged ? "/run/systemd/private" : `/run/user/${facts.uid}/systemd/private`,
  };
}

/** The slice and the unit of SLICE:PREFIX:NAME; an empty path means the defaults. @throws CodedError `invalid-spec` */
export function parseUnitPath(
  path: string,
  defaults: { readonly id: string; readonly slice: string },
): { readonly slice: string; readonly name: string } {
  const parts = path === "" ? ["", "gantry", defaults.id] : path.split(":");
  const [slice = "", prefix = "", name = ""] = parts;
  if (parts.length !== 3 || name === "") {
    throw new CodedError("invalid-spec", `cannot use ${at}: "${path}" is no SLICE:PREFIX:NAME, which systemd needs`, {
      details: { pointer: at },
    });
  }
  const unit = name.endsWith(".slice") ? name : prefix === "" ? `${name}.scope` : `${prefix}-${name}.scope`;
  // SECURITY: the name becomes that of a directory.
  if (!/^[A-Za-z0-9:_.\\@-]{1,255}$/.test(unit)) {
    throw new CodedError("invalid-spec", `cannot use ${at}: "${unit}" is no name of a unit`, { details: { pointer: at } });
  }
  return { slice: slice === "" ? defaults.slice : slice, name: unit };
}

/** The nested directories of a slice: "a-b.slice" is in "a.slice". "-.slice" is the root. @throws CodedError `invalid-spec` */
export function expandSlice(slice: string): string {
  const stem = slice.endsWith(".slice") ? slice.slice(0, -".slice".length) : "";
  if (stem === "-") return "";
  const words = stem.split("-");
  if (stem.includes("/") || words.some((word) => word === "")) {
    throw new CodedError("invalid-spec", `cannot use ${at}: "${slice}" is no name of a slice`, { details: { pointer: at } });
  }
  return words.map((_, index) => `/${words.slice(0, index + 1).join("-")}.slice`).join("");
}

/** The cgroup of the user's own systemd: ours is in it, unless we are in a session beside it. */
function userManagerPath({ cgroup, uid }: HostFacts): string {
  const own = cgroup.unified?.own ?? "/";
  const manager = `/user@${uid}.service`;
  const end = own.indexOf(manager);
  return end === -1 ? `/user.slice/user-${uid}.slice${manager}` : own.slice(0, end + manager.length);
}
