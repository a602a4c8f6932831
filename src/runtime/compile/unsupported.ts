/** What the config may ask for and this version cannot do: refused by name, never passed over. */
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { unsupported } from "./context.ts";

/** Refuses a config that asks for what is not done here. @throws CodedError `unsupported` naming the JSON Pointer. */
export function refuseUnsupported(config: RuntimeConfig): void {
  if (config.vm !== undefined)
    throw unsupported("/vm", "containers run on this machine's kernel, and none of their own is started for them");
}

/** Sections that only other platforms read: they may be there, and are nothing to this one. */
const otherPlatforms = ["freebsd", "solaris", "windows", "zos"] as const;

/** Says which sections of other platforms are passed over. @see runtime-spec config.md#platform-specific-configuration, #extensibility */
export function warnOfOtherPlatforms(config: RuntimeConfig, warn: (sentence: string) => void): void {
  for (const name of otherPlatforms) if (config[name] !== undefined) warn(`ignored /${name}: it is for another platform`);
}
