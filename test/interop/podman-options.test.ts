/** podman's options, one by one, as seen inside the container: what they ask the runtime for must hold. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { hasV1 } from "../root/gantry-harness.ts";
import { missing, Podman, runtimeName, title } from "./clients.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
const reason = missing("podman");
const podman = reason === undefined ? new Podman() : (undefined as unknown as Podman);
const volume = reason === undefined ? join(podman.directory, "volume") : "";

interface Case {
  readonly options: readonly string[];
  readonly script: string;
  readonly stdout?: string | RegExp;
  readonly stderr?: RegExp;
  readonly code?: number;
  /** A peer that cannot do it, and why. */
  readonly not?: Readonly<Record<string, string>>;
}

/** What `toEqual` compares with: the text itself, or anything that has the form. */
function matching(wanted: string | RegExp | undefined): string {
  return wanted instanceof RegExp ? (expect.stringMatching(wanted) as string) : (wanted ?? "");
}

const capabilities = "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status | busybox tr -d ' \\t\\n'";
const all = (bits: string): string => `CapPrm:${bits}CapEff:${bits}CapBnd:${bits}`;
const own = (kind: string): string => (reason === undefined ? readlinkSync(`/proc/self/ns/${kind}`) : "");

const privileges: readonly Case[] = [
  { options: ["--cap-drop", "all", "--cap-add", "net_admin"], script: capabilities, stdout: all("0000000000001000") },
  { options: ["--cap-drop", "all"], script: capabilities, stdout: all("0000000000000000") },
  {
    options: ["--cap-add", "sys_time", "--cap-drop", "chown"],
    script: capabilities,
    stdout: /CapEff:0{8}[0-9a-f][2367abef][0-9a-f]{5}[02468ace]Cap/,
  },
  {
    options: ["--privileged"],
    script: "grep -E 'Seccomp:' /proc/self/status; test -e /dev/kmsg && echo all",
    stdout: "Seccomp:\t0\nall\n",
  },
  { options: ["--user", "12:34"], script: "id -u; id -g", stdout: "12\n34\n" },
  { options: ["--group-add", "55"], script: "id -G", stdout: "0 55\n" },
  { options: ["--security-opt", "no-new-privileges"], script: "grep NoNewPrivs /proc/self/status", stdout: "NoNewPrivs:\t1\n" },
  { options: [], script: "grep Seccomp: /proc/self/status", stdout: "Seccomp:\t2\n" },
  { options: ["--security-opt", "seccomp=unconfined"], script: "grep Seccomp: /proc/self/status", stdout: "Seccomp:\t0\n" },
  {
    options: ["--security-opt", `seccomp=${volume}/seccomp.json`],
    script: "mkdir /tmp/x",
    code: 1,
    stderr: /Operation not supported/,
  },
  { options: ["--security-opt", "label=disable"], script: "echo on", stdout: "on\n" },
  { options: ["--security-opt", "apparmor=unconfined"], script: "echo on", stdout: "on\n" },
  { options: ["--security-opt", "mask=/etc/passwd:/usr"], script: "cat /etc/passwd; ls /usr", stdout: "" },
  { options: ["--security-opt", "unmask=ALL"], script: "grep -c ' /proc/' /proc/mounts", code: 1, stdout: "0\n" },
  { options: ["--security-opt", "proc-opts=hidepid=2"], script: "grep -c 'proc /proc proc.*hidepid=' /proc/mounts", stdout: "1\n" },
  { options: ["--umask", "0077"], script: "umask", stdout: "0077\n" },
  { options: ["--oom-score-adj", "500"], script: "cat /proc/self/oom_score_adj", stdout: "500\n" },
  {
    // Those that podman would set itself are given, as raising them may not be allowed here.
    options: ["core=0:0", "nofile=100:200", "nproc=4096:4096"].flatMap((limit) => ["--ulimit", limit]),
    script: "ulimit -c; ulimit -n; ulimit -Hn",
    stdout: "0\n100\n200\n",
  },
  { options: ["--unsetenv-all", "--env", "X=1"], script: "echo $X${container-gone}", stdout: "1gone\n" },
  {
    options: ["--personality", "LINUX32"],
    script: "busybox uname -m",
    stdout: process.arch === "arm64" ? "armv8l\n" : "i686\n",
    not: { runc: "1.1 has no personality" },
  },
];

const namespaces: readonly Case[] = [
  { options: ["--pid", "host"], script: "test $$ -gt 50 && echo host", stdout: "host\n" },
  { options: ["--ipc", "host"], script: "busybox readlink /proc/self/ns/ipc", stdout: `${own("ipc")}\n` },
  { options: ["--uts", "host"], script: "hostname", stdout: `${hostname()}\n` },
  { options: ["--cgroupns", "private"], script: "test $(busybox readlink /proc/self/ns/cgroup) != " + own("cgroup"), stdout: "" },
  { options: ["--hostname", "there"], script: "hostname; cat /etc/hostname", stdout: "there\nthere" },
  { options: ["--cgroupns", "private"], script: "busybox grep -vc ':/$' /proc/self/cgroup", code: 1, stdout: "0\n" },
  { options: ["--cgroupns", "host"], script: "grep -c :/libpod_parent/ /proc/self/cgroup", stdout: /^[1-9]/ },
  {
    options: ["--cgroups", "disabled"],
    script: "grep -c libpod /proc/self/cgroup",
    code: 1,
    stdout: "0\n",
    not: { runc: "it has no --cgroup-manager" },
  },
  { options: ["--uidmap", "0:100000:5000"], script: "busybox tr -s ' ' </proc/self/uid_map", stdout: " 0 100000 5000\n" },
  {
    options: ["--uidmap", "0:100000:10", "--uidmap", "10:200000:20", "--gidmap", "0:100000:30"],
    script: "busybox tr -s ' ' </proc/self/uid_map; busybox tr -s ' ' </proc/self/gid_map",
    stdout: " 0 100000 10\n 10 200000 20\n 0 100000 30\n",
  },
  { options: ["--init"], script: "busybox tr '\\0' ' ' </proc/1/cmdline; test $$ -ne 1", stdout: /^\/run\/podman-init/ },
  { options: ["--sysctl", "net.ipv4.ip_forward=1"], script: "cat /proc/sys/net/ipv4/ip_forward", stdout: "1\n" },
  { options: ["--sysctl", "kernel.shm_rmid_forced=1"], script: "cat /proc/sys/kernel/shm_rmid_forced", stdout: "1\n" },
];

const files: readonly Case[] = [
  { options: ["--read-only"], script: "touch /x; touch /tmp/x && echo tmp", stdout: "tmp\n", stderr: /Read-only/ },
  { options: ["--read-only", "--read-only-tmpfs=false"], script: "touch /tmp/x", code: 1, stderr: /Read-only/ },
  {
    options: ["--tmpfs", "/t:size=1m,mode=700,noexec"],
    script: "grep /t /proc/mounts; stat -c %a /t",
    stdout: /noexec.*size=1024k[^]*700\n$/,
  },
  { options: ["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=750"], script: "stat -c %a /t", stdout: "750\n" },
  { options: ["--shm-size", "1m"], script: "busybox df /dev/shm | busybox awk 'END{print $2}'", stdout: "1024\n" },
  { options: ["-v", `${volume}:/v:Z`], script: "cat /v/given", stdout: "given\n" },
  {
    options: ["-v", `${volume}:/v:ro,noexec,nosuid,nodev`],
    script: "grep /v /proc/mounts; touch /v/x",
    code: 1,
    stdout: / ro,nosuid,nodev,noexec/,
  },
  { options: ["-v", `${volume}/owned:/v:U`, "--user", "77"], script: "stat -c %u /v", stdout: "77\n" },
  { options: ["-v", `${volume}:/v:O`], script: "touch /v/new; ls /v | grep -c new", stdout: "1\n" },
  { options: ["-v", "named:/v"], script: "touch /v/new; ls /v", stdout: "new\n" },
  { options: ["-v", `${volume}:/v:rslave`], script: "echo on", stdout: "on\n" },
  {
    options: ["--mount", `type=bind,src=${volume},dst=/v,ro=true,bind-propagation=rprivate`],
    script: "touch /v/x",
    code: 1,
    stderr: /Read-only/,
  },
  { options: ["--mount", "type=image,src=tiny,dst=/v"], script: "ls /v/etc", stdout: "group\npasswd\n" },
  { options: ["--mount", "type=devpts,dst=/pts"], script: "ls /pts", stdout: "ptmx\n" },
  {
    options: ["--uidmap", "0:100000:1000", "--gidmap", "0:100000:1000", "-v", `${volume}/mapped:/v:idmap`],
    script: "stat -c %u:%g /v",
    stdout: "0:0\n",
    not: { runc: "1.1 has no idmapped mounts" },
  },
  { options: ["--uidmap", "0:100000:1000", "-v", `${volume}/mapped:/v`], script: "stat -c %u /v", stdout: "65534\n" },
  {
    options: ["--device", "/dev/kmsg:/dev/log:r"],
    script: "stat -c '%F %t,%T' /dev/log; echo x >/dev/log",
    code: 1,
    stdout: "character special file 1,b\n",
  },
  { options: ["--device-cgroup-rule", "c 42:* rwm"], script: "busybox mknod /tmp/n c 42 0 && echo made", stdout: "made\n" },
  {
    options: ["--tz", "Europe/Berlin"],
    script: "date +%Z",
    stdout: "CET\n",
    ...(existsSync("/usr/share/zoneinfo/Europe/Berlin") ? {} : { code: 125 }),
  },
  { options: ["--workdir", "/usr"], script: "pwd", stdout: "/usr\n" },
];

/** Reads files of the container's cgroup; the host's are bound read-only at /sys/fs/cgroup by podman. */
const cgroup = (...names: string[]): string => `cat ${names.map((name) => `/sys/fs/cgroup/${name}`).join(" ")}`;

const limits: readonly Case[] = hasV1
  ? [
      {
        options: ["-m", "64m", "--memory-swap", "128m", "--memory-reservation", "32m", "--memory-swappiness", "10"],
        script: cgroup(
          "memory/memory.limit_in_bytes",
          "memory/memory.memsw.limit_in_bytes",
          "memory/memory.soft_limit_in_bytes",
          "memory/memory.swappiness",
        ),
        stdout: "67108864\n134217728\n33554432\n10\n",
      },
      {
        options: ["--cpus", "0.5", "--cpu-shares", "100"],
        script: cgroup("cpu/cpu.cfs_quota_us", "cpu/cpu.shares"),
        stdout: "50000\n100\n",
      },
      {
        options: ["--cpuset-cpus", "0", "--cpuset-mems", "0"],
        script: cgroup("cpuset/cpuset.cpus", "cpuset/cpuset.mems"),
        stdout: "0\n0\n",
      },
      { options: ["--pids-limit", "30"], script: cgroup("pids/pids.max"), stdout: "30\n" },
      { options: ["--pids-limit", "-1"], script: cgroup("pids/pids.max"), stdout: "max\n" },
      {
        options: ["-m", "32m", "--oom-kill-disable"],
        script: `${cgroup("memory/memory.oom_control")} | busybox head -1`,
        stdout: "oom_kill_disable 1\n",
      },
    ]
  : [
      { options: ["-m", "64m", "--memory-swap", "128m"], script: cgroup("memory.max", "memory.swap.max"), stdout: "67108864\n67108864\n" },
      { options: ["--cpus", "0.5"], script: cgroup("cpu.max"), stdout: "50000 100000\n" },
      { options: ["--pids-limit", "30"], script: cgroup("pids.max"), stdout: "30\n" },
    ];

describe.skipIf(reason !== undefined)(title("options of podman", reason), () => {
  beforeAll(async () => {
    for (const name of ["owned", "mapped"]) mkdirSync(join(volume, name), { recursive: true });
    writeFileSync(join(volume, "given"), "given\n");
    const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }];
    writeFileSync(join(volume, "seccomp.json"), JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls }));
    await podman.load();
  });
  afterAll(() => podman.close());

  const rows = [...privileges, ...namespaces, ...files, ...limits];
  for (const row of rows) {
    const cannot = row.not?.[runtimeName];
    const name = `${row.options.map((word) => word.replace(volume, "DIR")).join(" ") || "no option"}: ${row.script}`;
    test.skipIf(cannot !== undefined)(`${name}${cannot === undefined ? "" : ` (skipped: ${cannot})`}`, async () => {
      const { code, stdout, stderr } = await podman.run(row.script, ...row.options);
      expect({ code, stderr: row.stderr === undefined ? "" : stderr, stdout }).toEqual({
        code: row.code ?? 0,
        stderr: matching(row.stderr),
        stdout: matching(row.stdout),
      });
    });
  }
});
