import { expect, test } from "bun:test";
import { isKernelAtLeast, parseCgroups, parseMountinfo, parseStatus, readHostFacts } from "./facts.ts";

const hybridMounts = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 /docker/abc /sys/fs/cgroup/pids rw master:1 - cgroup cgroup rw,pids
34 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
35 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
36 27 8:1 / /mnt/with\\040space rw - ext4 /dev/sda1 rw
`;

test("parseMountinfo() reads lines with any number of optional fields, and escapes", () => {
  const entries = parseMountinfo(hybridMounts);
  expect(entries.length).toBe(6);
  expect(entries[1]).toEqual({
    id: 32,
    device: "0:29",
    root: "/",
    mountPoint: "/sys/fs/cgroup/cpu,cpuacct",
    type: "cgroup",
    superOptions: ["rw", "cpu", "cpuacct"],
  });
  expect(entries[5]?.mountPoint).toBe("/mnt/with space");
});

test("parseCgroups() finds hybrid hierarchies, shared controllers, names, and our place below a mounted subtree", () => {
  const facts = parseCgroups(parseMountinfo(hybridMounts), "9:name=systemd:/user\n5:cpu,cpuacct:/\n3:pids:/docker/abc/inner\n0::/user\n");
  expect(facts).toEqual({
    version: "hybrid",
    hierarchies: [
      { controllers: ["cpu", "cpuacct"], mountPoint: "/sys/fs/cgroup/cpu,cpuacct", own: "/" },
      { controllers: ["pids"], mountPoint: "/sys/fs/cgroup/pids", own: "/inner" },
      { controllers: [], name: "systemd", mountPoint: "/sys/fs/cgroup/systemd", own: "/user" },
    ],
    unified: { mountPoint: "/sys/fs/cgroup/unified", own: "/user", controllers: [] },
  });
});

test("parseCgroups() tells v2, v1 and no cgroups apart", () => {
  const v2 = parseMountinfo("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  expect(parseCgroups(v2, "0::/system.slice/x.service\n")).toEqual({
    version: "v2",
    hierarchies: [],
    unified: { mountPoint: "/sys/fs/cgroup", own: "/system.slice/x.service", controllers: [] },
  });
  const v1 = parseMountinfo("32 31 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n");
  expect(parseCgroups(v1, "3:pids:/\n0::/\n").version).toBe("v1");
  expect(parseCgroups([], "0::/\n")).toEqual({ version: "none", hierarchies: [] });
});

test("parseCgroups() takes a place outside our cgroup namespace for the top", () => {
  const v1 = parseMountinfo("32 31 0:29 /../.. /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n");
  expect(parseCgroups(v1, "3:pids:/../other\n").hierarchies[0]?.own).toBe("/");
});

test("parseStatus() takes effective ids and masks of 41 bits", () => {
  const status = "Name:\tx\nUid:\t1000\t1001\t1002\t1003\nGid:\t5\t6\t7\t8\nCapEff:\t000001fffeffffff\nCapBnd:\t000001ffffffffff\n";
  expect(parseStatus(status)).toEqual({ uid: 1001, gid: 6, effective: 0x1fffeffffff, bounding: 2 ** 41 - 1 });
  expect(() => parseStatus("Uid:\t0\t0\t0\t0\n")).toThrow("it has no line Gid");
});

test("isKernelAtLeast() compares versions as numbers", () => {
  expect(isKernelAtLeast("6.18.44-cloud", 6, 8)).toBe(true);
  expect(isKernelAtLeast("6.8.0", 6, 18)).toBe(false);
  expect(isKernelAtLeast("5.15-rc1", 6, 0)).toBe(false);
});

test("readHostFacts() reads this machine", () => {
  const facts = readHostFacts();
  expect(facts.uid).toBe(process.geteuid?.() ?? -1);
  expect(facts.namespaces).toContain("mnt");
  expect(facts.mountPoints).toContain("/proc");
  expect(facts.capabilities.last).toBeGreaterThanOrEqual(39);
  expect([facts.isDirectory("/"), facts.isDirectory("/proc/self/status"), facts.isDirectory("/no/such/place")]).toEqual([
    true,
    false,
    undefined,
  ]);
  expect(facts.findCpuset("/no/such/place")).toBeUndefined();
  expect(facts.isSetgroupsDenied("/run/netns/x")).toBe(false);
});
