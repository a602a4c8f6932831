/** Rules about `mounts`. */
import { problemIf, type Check } from "./problem.ts";

export const mountChecks: readonly Check[] = [
  {
    name: "a mount has a destination",
    find: ({ mounts = [] }) =>
      mounts.flatMap(({ destination }, index) => problemIf(destination === "", `/mounts/${index}/destination`, "it is empty")),
  },
  {
    name: "a bind mount has a source, every other mount a type",
    find: ({ mounts = [] }) =>
      mounts.flatMap((mount, index) => {
        const options = mount.options ?? [];
        const isBind = mount.type === "bind" || options.includes("bind") || options.includes("rbind");
        if (options.includes("remount")) return [];
        if (isBind) return problemIf((mount.source ?? "") === "", `/mounts/${index}/source`, "a bind mount needs one");
        return problemIf((mount.type ?? "") === "", `/mounts/${index}/type`, "a mount that is no bind mount needs one");
      }),
  },
  {
    name: "the id mappings of a mount come in pairs",
    find: ({ mounts = [] }) =>
      mounts.flatMap((mount, index) =>
        problemIf(
          (mount.uidMappings === undefined) !== (mount.gidMappings === undefined),
          `/mounts/${index}`,
          "uidMappings and gidMappings must be given together",
        ),
      ),
  },
];
