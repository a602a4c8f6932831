/**
 * Who the process is: user, groups, capabilities.
 *
 * The order is the kernel's: the bounding set while we have CAP_SETPCAP, groups before the user (who may not change
 * them), capabilities kept over the change of user and set after it, ambient ones last. @see capabilities(7), credentials(7)
 */
import type { Step } from "#program/encode.ts";
import type { ConfigCapabilities, ConfigProcess } from "#spec/runtime-config.ts";
import { byDefault, isNewNamespace, step, unsupported, type Context } from "./context.ts";
import { capabilityNames } from "./kernel.ts";
import { isMapped, isSetgroupsDenied } from "./namespaces.ts";
import { needsAdministratorForFilter } from "./seccomp/seccomp.ts";

/** Masks of the five sets, one bit per capability number. */
export interface CapabilityMasks {
  readonly bounding: number;
  readonly permitted: number;
  readonly effective: number;
  readonly inheritable: number;
  readonly ambient: number;
}

/** Compiles `process.user` and `process.capabilities`. */
export function compileCredentials(context: Context, process: ConfigProcess): Step[] {
  const { uid = 0, gid = 0, additionalGids = [] } = process.user ?? {};
  const masks = capabilityMasks(process.capabilities ?? {}, { grantable: grantable(context), warn: context.warn });
  const admin = keepsAdministrator(context);
  const origin = process.capabilities === undefined ? byDefault("no capabilities are asked for") : "/process/capabilities";
  const who = process.user === undefined ? byDefault("no user is asked for") : "/process/user";
  return [
    step({ op: "bounding", keep: masks.bounding }, origin === "/process/capabilities" ? `${origin}/bounding` : origin),
    ...(uid === 0 ? [] : [step({ op: "keep-capabilities" }, byDefault("a change of user would lose what is granted below"))]),
    ...compileGroups(context, additionalGids),
    step({ op: "gid", gid }, who),
    step({ op: "uid", uid }, who),
    step(
      {
        op: "capabilities",
        effective: withBit(masks.effective, admin),
        permitted: withBit(masks.permitted, admin),
        inheritable: masks.inheritable,
      },
      origin,
    ),
    step({ op: "ambient", mask: masks.ambient }, origin === "/process/capabilities" ? `${origin}/ambient` : origin),
  ];
}

/** With this annotation, which crun brought and podman's `--group-add keep-groups` writes, the caller's groups stay. */
const keepGroupsAnnotation = "run.oci.keep_original_groups";
/** The number of CAP_SYS_ADMIN when it is kept up to execve(), for the filter's sake, and can be. */
function keepsAdministrator(context: Context): number | undefined {
  const isThere = context.isPrivileged || context.hasUserNamespace;
  return isThere && needsAdministratorForFilter(context) ? capabilityNames.indexOf("CAP_SYS_ADMIN") : undefined;
}

/** Not `&`: there are more capabilities than 32. */
function hasBit(mask: number, bit: number): boolean {
  return Math.floor(mask / 2 ** bit) % 2 === 1;
}

function withBit(mask: number, bit: number | undefined): number {
  return bit === undefined || hasBit(mask, bit) ? mask : mask + 2 ** bit;
}

function compileGroups(context: Context, additionalGids: readonly number[]): Step[] {
  if (context.config.annotations?.[keepGroupsAnnotation] !== undefined) {
    if (additionalGids.length > 0)
      context.warn(`ignored /process/user/additionalGids: /annotations/${keepGroupsAnnotation} keeps the caller's groups`);
    return [];
  }
  if (isSetgroupsDenied(context)) {
    if (additionalGids.length > 0) throw unsupported("/process/user/additionalGids", "the user namespace denies further groups");
    return [];
  }
  const { gidMappings } = context.linux;
  const unmapped = isNewNamespace(context.linux, "user") ? additionalGids.findIndex((gid) => !isMapped(gidMappings, gid)) : -1;
  if (unmapped !== -1)
    throw unsupported(`/process/user/additionalGids/${unmapped}`, "the user namespace has no such group (/linux/gidMappings)");
  const gids = Buffer.alloc(additionalGids.length * 4);
  for (const [index, gid] of additionalGids.entries()) gids.writeUInt32LE(gid, index * 4);
  const origin = additionalGids.length > 0 ? "/process/user/additionalGids" : byDefault("the caller's groups are not the container's");
  return [step({ op: "groups", gids }, origin)];
}

/** KERNEL: user_namespaces(7): whoever enters a user namespace has every capability in it. */
function grantable({ facts, hasUserNamespace }: Context): number {
  return hasUserNamespace ? 2 ** (facts.capabilities.last + 1) - 1 : facts.capabilities.bounding;
}

/**
 * The masks of `sets`, cut to what can be granted; what is cut is said through `warn`, once per name.
 * @see runtime-spec config.md#linux-process: what cannot be granted is a warning, not a failure
 */
export function capabilityMasks(
  sets: ConfigCapabilities,
  { grantable, warn }: { grantable: number; warn: (sentence: string) => void },
): CapabilityMasks {
  const said = new Set<string>();
  const warnOnce = (name: string, sentence: string): void => {
    if (!said.has(name)) warn(sentence);
    said.add(name);
  };
  const read = (set: keyof ConfigCapabilities): bigint => {
    let mask = 0;
    for (const name of sets[set] ?? []) {
      const number = capabilityNames.indexOf(name);
      if (number === -1) warnOnce(name, `ignored /process/capabilities/${set}: ${JSON.stringify(name.slice(0, 80))} is no capability`);
      else if (!hasBit(grantable, number)) warnOnce(name, `ignored /process/capabilities/${set}: ${name} cannot be granted here`);
      else if (!hasBit(mask, number)) mask += 2 ** number;
    }
    return BigInt(mask);
  };
  const cut = (set: keyof ConfigCapabilities, limits: bigint, why: string): bigint => {
    const mask = read(set);
    const beyond = Number(mask & ~limits);
    const names = beyond === 0 ? [] : capabilityNames.filter((_, number) => hasBit(beyond, number));
    if (names.length > 0) warn(`ignored /process/capabilities/${set}: ${names.join(", ")} cannot be ${set} without being ${why}`);
    return mask & limits;
  };
  const bounding = read("bounding");
  const permitted = read("permitted");
  // KERNEL: capset(2), prctl(2) PR_CAP_AMBIENT_RAISE: each set must lie within others, or the call fails with EPERM.
  const effective = cut("effective", permitted, "permitted");
  const inheritable = cut("inheritable", bounding, "in the bounding set");
  const ambient = cut("ambient", permitted & inheritable, "permitted and inheritable");
  return {
    bounding: Number(bounding),
    permitted: Number(permitted),
    effective: Number(effective),
    inheritable: Number(inheritable),
    ambient: Number(ambient),
  };
}
