import { expect, test } from "bun:test";
import type { CgroupFacts, HostFacts } from "../../facts.ts";
import { cpuWeight } from "./v2-limits.ts";
import { cgroupDirectories } from "./cgroup.ts";

const v1: CgroupFacts = { version: "v1", hierarchies: [{ controllers: ["pids"], mountPoint: "/sys/fs/cgroup/pids", own: "/session" }] };
const v2: CgroupFacts = {
  version: "v2",
  hierarchies: [],
  unified: { mountPoint: "/sys/fs/cgroup", own: "/user.slice/me.scope", controllers: [] },
};
const hybrid: CgroupFacts = {
  ...v1,
  version: "hybrid",
  unified: { mountPoint: "/sys/fs/cgroup/unified", own: "/session", controllers: [] },
};

function paths(cgroup: CgroupFacts, cgroupsPath?: string): string[] {
  const linux = cgroupsPath === undefined ? {} : { cgroupsPath };
  return cgroupDirectories({ linux, id: "web", facts: { cgroup } as HostFacts }).map(({ path }) => path);
}

test("an absolute cgroupsPath is relative to the mount of each hierarchy", () => {
  expect(paths(v1, "/pods/web")).toEqual(["/sys/fs/cgroup/pids/pods/web"]);
  expect(paths(v2, "/pods/web")).toEqual(["/sys/fs/cgroup/pods/web"]);
  expect(paths(hybrid, "/pods/web")).toEqual(["/sys/fs/cgroup/pids/pods/web", "/sys/fs/cgroup/unified/pods/web"]);
});

test("a relative cgroupsPath is below our own cgroup on v1, and beside it on v2, where ours cannot hand controllers down", () => {
  expect(paths(v1, "pods/web")).toEqual(["/sys/fs/cgroup/pids/session/pods/web"]);
  expect(paths(v2, "pods/web")).toEqual(["/sys/fs/cgroup/user.slice/pods/web"]);
  expect(paths(hybrid, "pods/web")).toEqual(["/sys/fs/cgroup/pids/session/pods/web", "/sys/fs/cgroup/unified/session/pods/web"]);
});

test("without a cgroupsPath the container's id is the name", () => {
  expect(paths(v1)).toEqual(["/sys/fs/cgroup/pids/session/web"]);
});

test("no cgroupsPath leads out of the place that it starts from", () => {
  expect(paths(v1, "../../../../../etc")).toEqual(["/sys/fs/cgroup/pids/session/etc"]);
  expect(paths(v1, "/../../etc")).toEqual(["/sys/fs/cgroup/pids/etc"]);
});

test("cpuWeight() maps the ends and the default of v1 to those of v2", () => {
  expect([2, 1024, 262144].map(cpuWeight)).toEqual([1, 100, 10000]);
  expect(cpuWeight(0)).toBe(1);
  expect(cpuWeight(1e9)).toBe(10000);
});
