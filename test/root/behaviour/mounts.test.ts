/** Mounts: what is where in a container, with which options, and who sees it. */
import { describe, setDefaultTimeout } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { patient } from "../../support/slowness.ts";
import { hasV1 } from "../gantry-harness.ts";
import { type Case, type Config, type Difference, noBehaviour, type Place, runBundle, testCases } from "./harness.ts";

setDefaultTimeout(patient(120_000));

type Bundle = Omit<Place, "config">;

/** A directory of the host's with a file, and a tmpfs mounted below it in the container's own view: made by two mounts. */
function given({ bundle }: Bundle): string {
  const path = join(bundle, "given");
  mkdirSync(join(path, "sub"), { recursive: true });
  writeFileSync(join(path, "file"), "given\n");
  writeFileSync(join(path, "tool"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  return path;
}

const bind = (config: Config, place: Bundle, ...options: string[]): void => {
  config.mounts.push({ destination: "/m", source: given(place), type: "bind", options });
};
/** The options of /m as the kernel tells them, one by one. */
const told = (...names: string[]): string =>
  names.map((name) => `awk '$5=="/m"{print $6}' /proc/self/mountinfo | grep -cw ${name}`).join("; ");

const flags: readonly Case[] = [
  {
    name: "bind shows a directory, writable",
    change: (config, place) => bind(config, place, "bind"),
    script: "cat /m/file; touch /m/x && echo written",
    expected: "given\nwritten\n",
  },
  {
    name: "ro is read-only",
    change: (config, place) => bind(config, place, "bind", "ro"),
    script: "touch /m/x 2>/dev/null || echo refused",
    expected: "refused\n",
  },
  {
    name: "noexec runs nothing",
    change: (config, place) => bind(config, place, "bind", "noexec"),
    script: "/m/tool 2>/dev/null || echo refused",
    expected: "refused\n",
  },
  ...["nosuid", "nodev", "noexec", "noatime", "nodiratime", "ro"].map((option): Case => ({
    name: `bind with ${option}`,
    change: (config, place) => bind(config, place, "bind", option),
    script: told(option),
    expected: "1\n",
  })),
  {
    name: "relatime is what the kernel tells",
    change: (config, place) => bind(config, place, "bind", "relatime"),
    script: told("relatime"),
    expected: "1\n",
  },
  {
    name: "the last of two that contradict each other counts",
    change: (config, place) => bind(config, place, "bind", "ro", "noexec", "nosuid", "rw", "exec", "suid"),
    script: "touch /m/x && /m/tool",
    expected: "ran\n",
    differs: [{ peer: "crun", why: "crun stays with ro when rw follows it; config.md#linux-mount-options" }],
  },
  {
    name: "several at once",
    change: (config, place) => bind(config, place, "bind", "nosuid", "nodev", "noexec", "ro"),
    script: told("nosuid,nodev,noexec") + " || true; " + told("ro"),
    expected: "1\n1\n",
  },
  {
    name: "a file is bound onto a file that is made for it",
    change: (config, place) =>
      config.mounts.push({ destination: "/etc/new/name", source: join(given(place), "file"), type: "bind", options: ["bind"] }),
    script: "cat /etc/new/name",
    expected: "given\n",
  },
  {
    name: "a relative source is below the bundle",
    change: (config, place) => {
      given(place);
      config.mounts.push({ destination: "/m", source: "given", type: "bind", options: ["bind"] });
    },
    script: "cat /m/file",
    expected: "given\n",
  },
  {
    name: "a bind of nothing makes no container",
    change: (config) => config.mounts.push({ destination: "/m", source: "/no/such/source", type: "bind", options: ["bind"] }),
    code: 1,
    expected: /no such file/i,
  },
  {
    name: "a type that the kernel does not know makes no container",
    change: (config) => config.mounts.push({ destination: "/m", source: "x", type: "nofs" }),
    code: 1,
    expected: /no such device/i,
  },
  {
    name: "later mounts are made over earlier ones",
    change: (config, place) => {
      bind(config, place, "bind");
      config.mounts.push({ destination: "/m", type: "tmpfs", source: "tmpfs" }, { destination: "/m/in", type: "tmpfs", source: "tmpfs" });
    },
    script: "ls /m; grep -c ' /m' /proc/self/mountinfo",
    expected: "in\n3\n",
  },
  {
    name: "links in the root file system do not lead out of it",
    change: (config, place) => {
      symlinkSync("/../../../../../../etc", join(place.rootfs, "way"));
      config.mounts.push({ destination: "/way/inside", source: given(place), type: "bind", options: ["bind"] });
    },
    script: "cat /etc/inside/file",
    act: async (place) => [(await runBundle(place)).stdout, existsSync("/etc/inside")],
    expected: ["given\n", false],
  },
];

/** A tree with a mount in it: a bind of /given that has a tmpfs at /given/sub, which only rbind takes along. */
function nested(options: readonly string[]): (config: Config, place: Bundle) => void {
  return (config, place) => {
    const source = given(place);
    config.root.readonly = false;
    // The case runs behind `unshare -m`, which mounts the tmpfs; see `inTree`.
    config.mounts.push({ destination: "/m", source, type: "bind", options: [...options] });
  };
}

/** Runs the bundle where a tmpfs with a file and a tool lies on given/sub. */
async function inTree(place: Place): Promise<unknown> {
  const { subject, bundle, stateRoot, id } = place;
  const script =
    'mount -t tmpfs tmpfs "$0/given/sub" && echo deep > "$0/given/sub/deep" && cp "$0/given/tool" "$0/given/sub/" && exec "$@"';
  const words = [...subject.command, "--root", stateRoot, "run", "--bundle", bundle, id];
  const child = Bun.spawn(["unshare", "-m", "sh", "-c", script, bundle, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...subject.environment },
  });
  const [stdout, stderr] = [await new Response(child.stdout).text(), await new Response(child.stderr).text()];
  await child.exited;
  return stderr === "" ? stdout : [stdout, stderr];
}

const inside = (name: string): string => `awk '$5=="/m/sub"{print $6}' /proc/self/mountinfo | grep -cw ${name}`;
const noAccessTimes: readonly Difference[] = [
  {
    peer: "crun",
    why: "crun fails at rnoatime and rnodiratime, as mount_setattr(2) wants the other access times cleared; config.md#linux-mount-options",
  },
];
const trees: readonly Case[] = [
  { name: "bind leaves the mounts below behind", change: nested(["bind"]), script: "ls /m/sub | wc -l", act: inTree, expected: "0\n" },
  { name: "rbind takes them along", change: nested(["rbind"]), script: "cat /m/sub/deep", act: inTree, expected: "deep\n" },
  {
    name: "ro of rbind is for the top alone",
    change: nested(["rbind", "ro"]),
    script: "touch /m/x 2>/dev/null || echo refused; touch /m/sub/x && echo written",
    act: inTree,
    expected: "refused\nwritten\n",
  },
  {
    name: "rro is for all below too",
    change: nested(["rbind", "rro"]),
    script: "touch /m/x 2>/dev/null || echo refused; touch /m/sub/x 2>/dev/null || echo refused",
    act: inTree,
    expected: "refused\nrefused\n",
  },
  ...["nosuid", "nodev", "noexec", "noatime", "nodiratime"].map((option): Case => ({
    name: `r${option} is for all below too`,
    change: nested(["rbind", `r${option}`]),
    script: `${told(option)}; ${inside(option)}`,
    act: inTree,
    expected: "1\n1\n",
    ...(option.endsWith("atime") ? { differs: noAccessTimes } : {}),
  })),
];

// Where the host's mount is shared, as under systemd, runc makes the bind mount its slave first; crun does not.
const sharing = /^(master )?shared $/;
const shared = (): string => "awk '$5==\"/m\"{for(i=7;$i!=\"-\";i++)print $i}' /proc/self/mountinfo | sed 's/:.*//' | sort | tr '\\n' ' '";
const runcPropagation: readonly Difference[] = [
  { peer: "runc", until: "1.2.0", why: "until then runc leaves the root private; config-linux.md#rootfs-mount-propagation" },
];
const propagation: readonly Case[] = [
  ...(
    [
      ["rprivate", ""],
      ["private", ""],
      ["shared", sharing],
      ["rshared", sharing],
      ["unbindable", "unbindable "],
      ["runbindable", "unbindable "],
    ] as const
  ).map(([option, expected]): Case => ({
    name: `a mount is ${option}`,
    change: (config, place) => bind(config, place, "rbind", option),
    script: shared(),
    expected,
    ...(expected === ""
      ? {}
      : {
          differs: [
            { peer: "crun", why: "crun makes shared and unbindable mounts private again with the root; config.md#linux-mount-options" },
          ],
        }),
  })),
  ...(["private", "slave"] as const).map((value): Case => ({
    name: `rootfsPropagation ${value} shares nothing with the host`,
    change: ({ linux }) => (linux["rootfsPropagation"] = value),
    script: 'awk \'$5=="/"{for(i=7;$i!="-";i++)print $i}\' /proc/self/mountinfo | grep -c shared',
    code: 1,
    expected: "0\n",
  })),
  {
    name: "rootfsPropagation shared shares what is mounted inside with mounts of the container",
    change: ({ linux }) => (linux["rootfsPropagation"] = "shared"),
    script: 'awk \'$5=="/"{for(i=7;$i!="-";i++)print $i}\' /proc/self/mountinfo | grep -c shared',
    expected: "1\n",
    differs: runcPropagation,
  },
  {
    name: "rootfsPropagation unbindable",
    change: ({ linux }) => (linux["rootfsPropagation"] = "unbindable"),
    script: 'awk \'$5=="/"{for(i=7;$i!="-";i++)print $i}\' /proc/self/mountinfo | grep -c unbindable',
    expected: "1\n",
    differs: runcPropagation,
  },
];

const tmpfs =
  (...options: string[]) =>
  (config: Config): unknown =>
    config.mounts.push({ destination: "/m", type: "tmpfs", source: "tmpfs", options });
const kinds: readonly Case[] = [
  {
    name: "tmpfs: mode, owner and group",
    change: tmpfs("mode=1750", "uid=5", "gid=6"),
    script: "stat -c '%a %u %g' /m",
    expected: "1750 5 6\n",
  },
  {
    name: "tmpfs: size",
    change: tmpfs("size=64k"),
    script: "df -k /m | awk 'END{print $2}'; dd if=/dev/zero of=/m/x bs=1k count=100 2>/dev/null || echo full",
    expected: "64\nfull\n",
  },
  {
    name: "tmpfs: number of files",
    change: tmpfs("nr_inodes=3"),
    script: "touch /m/a /m/b; touch /m/c 2>/dev/null || echo full",
    expected: "full\n",
  },
  {
    name: "tmpfs: flags beside data",
    change: tmpfs("nosuid", "size=1m", "noexec", "mode=700"),
    script: `${told("nosuid", "noexec")}; stat -c %a /m`,
    expected: "1\n1\n700\n",
  },
  {
    name: "tmpfs: an option that there is not makes no container",
    change: tmpfs("no_such_option=1"),
    code: 1,
    expected: /invalid argument/i,
  },
  {
    name: "tmpcopyup fills a tmpfs with what was there",
    change: (config, { rootfs }) => {
      mkdirSync(join(rootfs, "m/deep"), { recursive: true });
      writeFileSync(join(rootfs, "m/deep/file"), "below\n");
      chmodSync(join(rootfs, "m/deep/file"), 0o640);
      chownSync(join(rootfs, "m/deep/file"), 7, 8);
      config.mounts.push({ destination: "/m", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] });
    },
    script: "cat /m/deep/file; stat -c '%a %u %g' /m/deep/file; touch /m/x && echo written",
    expected: "below\n640 7 8\nwritten\n",
  },
  {
    name: "proc: hidepid",
    change: ({ mounts }) => (mounts[0] = { destination: "/proc", type: "proc", source: "proc", options: ["hidepid=2"] }),
    script: "grep -c 'proc /proc proc.*hidepid=' /proc/mounts",
    expected: "1\n",
  },
  {
    name: "mqueue and sysfs",
    change: ({ mounts }) =>
      mounts.push(
        { destination: "/dev/mqueue", type: "mqueue", source: "mqueue" },
        { destination: "/sys", type: "sysfs", source: "sysfs", options: ["ro"] },
      ),
    script: "grep -c '^mqueue /dev/mqueue' /proc/mounts; ls -d /sys/class/net/lo",
    expected: "1\n/sys/class/net/lo\n",
  },
  { name: "devpts is its own, and ptmx leads to it", script: "ls /dev/pts; readlink /dev/ptmx", expected: "ptmx\npts/ptmx\n" },
  {
    name: "the cgroups are shown, read-only",
    change: ({ mounts }) => mounts.push({ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid"] }),
    script: "cat /sys/fs/cgroup/pids/cgroup.procs | grep -cx 1; mkdir /sys/fs/cgroup/pids/x 2>/dev/null || echo refused",
    expected: "1\nrefused\n",
    unable: hasV1 ? undefined : "there is no pids controller on cgroup v1",
  },
];

function mapsTmpfs(): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major > 6 || (major === 6 && minor >= 3);
}

const mapped: readonly Case[] = [
  {
    name: "idmapped mount: files have the owners of the user namespace",
    change: (config, place) => {
      const source = given(place);
      config.linux.namespaces.push({ type: "user" });
      config.linux["uidMappings"] = config.linux["gidMappings"] = [{ containerID: 0, hostID: 100000, size: 1000 }];
      const maps = [{ containerID: 0, hostID: 100000, size: 1000 }];
      config.mounts.push({ destination: "/m", source, type: "bind", options: ["bind", "idmap"], uidMappings: maps, gidMappings: maps });
      mkdirSync(join(place.rootfs, "m"));
      mkdirSync(join(place.rootfs, "tmp"), { recursive: true });
    },
    script: "stat -c %u:%g /m/file; touch /m/new; stat -c %u:%g /m/new",
    act: async (place) => {
      const { stdout, stderr } = await runBundle(place);
      return [stdout, stderr, Bun.spawnSync(["stat", "-c", "%u:%g", `${place.bundle}/given/new`]).stdout.toString()];
    },
    expected: ["0:0\n0:0\n", "", "0:0\n"],
    differs: [{ peer: "runc", until: "1.2.0", why: "until then runc has no idmapped mounts; config.md#mounts" }],
    unable: mapsTmpfs() ? undefined : "tmpfs, where the bundles are, can map ids since Linux 6.3",
  },
];

describe.skipIf(noBehaviour !== undefined)("the mounts of a container", () => {
  testCases([...flags, ...trees, ...propagation, ...kinds, ...mapped]);
});
