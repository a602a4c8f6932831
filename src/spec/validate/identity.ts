/** Rules about what the document is and which tree it runs in: version, root, names. */
import { problemIf, type Check } from "./problem.ts";

/** SemVer 2.0.0 without build metadata being looked into. @see semver.org, "regular expression" */
const semver = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$/;

/** __NEW_UTS_LEN: longer names are refused by sethostname() and setdomainname() with EINVAL. */
const utsNameLimitBytes = 64;

export const identifierChecks: readonly Check[] = [
  {
    name: "ociVersion is SemVer 2.0.0 of major version 1",
    find: ({ ociVersion }) => {
      if (!semver.test(ociVersion)) {
        return [{ at: "/ociVersion", says: `${JSON.stringify(ociVersion.slice(0, 80))} is no SemVer 2.0.0 version` }];
      }
      return problemIf(!ociVersion.startsWith("1."), "/ociVersion", `version ${ociVersion} is not one of 1.x`);
    },
  },
  {
    name: "root is given and has a path",
    find: ({ root }) => {
      if (root === undefined) return [{ at: "/root", says: "it is missing" }];
      return problemIf(root.path === "", "/root/path", "it is empty");
    },
  },
  {
    name: "hostname and domainname need a UTS namespace",
    find: (config) => {
      const hasUts = (config.linux?.namespaces ?? []).some(({ type }) => type === "uts");
      const says = "there is no uts namespace in /linux/namespaces, so the host's name would change";
      return [
        ...problemIf((config.hostname ?? "") !== "" && !hasUts, "/hostname", says),
        ...problemIf((config.domainname ?? "") !== "" && !hasUts, "/domainname", says),
      ];
    },
  },
  {
    name: "hostname and domainname fit into the kernel",
    find: (config) =>
      (["hostname", "domainname"] as const).flatMap((key) =>
        problemIf(Buffer.byteLength(config[key] ?? "") > utsNameLimitBytes, `/${key}`, `it is longer than ${utsNameLimitBytes} bytes`),
      ),
  },
];
