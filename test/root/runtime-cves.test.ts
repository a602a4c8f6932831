/** Published weaknesses of container runtimes, attacked: paths, mounts and /proc. Guards and CVEs are told in docs/security.md. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../support/images/commands.ts";
import { attack, attackEach, type AttackConfig, grant, type Mount, removeTargets, subject, Target, whyNot } from "./attack-harness.ts";
import { execute } from "./gantry-harness.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
afterAll(removeTargets);

const terminalHelper = new URL("../support/terminal.py", import.meta.url).pathname;

/** Without the tmpfs at /dev, so that the image's own /dev is the container's. */
const withOwnDev = (config: AttackConfig): void => {
  config.mounts = config.mounts.filter(({ destination }) => !/^\/dev($|\/shm|\/mqueue)/.test(destination));
};
const withoutMount = (config: AttackConfig, place: string): void => {
  config.mounts = config.mounts.filter(({ destination }) => destination !== place && !destination.startsWith(`${place}/`));
};

describe.skipIf(whyNot !== undefined)("an image whose links lead to the host", () => {
  /** What is asked for at or below /trap, which is such a link. */
  const wishes: readonly (readonly [cve: string, what: string, ask: (config: AttackConfig, target: Target) => void])[] = [
    ["CVE-2021-30465", "a mount", ({ mounts }) => mounts.push({ destination: "/trap", type: "tmpfs", source: "attack" })],
    ["CVE-2024-45310", "a missing mount point", ({ mounts }) => mounts.push({ destination: "/trap/a/b", type: "tmpfs", source: "tmpfs" })],
    ["CVE-2019-18837", "a bound file", ({ mounts }, { bundle }) => mounts.push(bind(join(bundle, "config.json"), "/trap/file"))],
    ["CVE-2019-18837", "a bound directory", ({ mounts }, { bundle }) => mounts.push(bind(bundle, "/trap/directory"))],
    ["CVE-2024-45310", "a working directory", ({ process }) => (process.cwd = "/trap/cwd")],
    [
      "CVE-2021-30465",
      "a device",
      ({ linux }) => (linux.devices = [{ path: "/trap/device", type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0 }]),
    ],
  ];

  for (const form of ["absolute", "relative"] as const) {
    attackEach(wishes)(`%s: %s goes nowhere else through an ${form} one`, async (_, what, ask) => {
      await using target = new Target("cat /proc/self/mountinfo", ask);
      const { outside, rootfs } = target;
      symlinkSync(form === "absolute" ? outside : `${"../".repeat(20)}${outside.slice(1)}`, join(rootfs, "trap"));
      const { code, stdout } = await target.run();
      expect(target.reached()).toEqual([]);
      // Either the link means a place of the image, or the runtime says no. A mount that was made elsewhere is not to be seen.
      if (code === 0 && what === "a mount") expect(stdout).toContain(" - tmpfs attack ");
    });
  }

  attack("CVE-2021-30465, CVE-2026-41579, CVE-2026-47766: the image's /dev as such a link gets no devices there", async () => {
    await using target = new Target("true", withOwnDev);
    rmSync(join(target.rootfs, "dev"), { recursive: true });
    symlinkSync(target.outside, join(target.rootfs, "dev"));
    await target.run();
    expect(target.reached()).toEqual([]);
  });

  attack("CVE-2021-30465: nothing is copied from there into a tmpfs", async () => {
    await using target = new Target("cat /trap/secret", ({ mounts }) => {
      mounts.push({ destination: "/trap", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] });
    });
    writeFileSync(join(target.outside, "secret"), "of the host");
    symlinkSync(target.outside, join(target.rootfs, "trap"));
    expect((await target.run()).stdout).not.toContain("of the host");
  });

  attack(
    "CVE-2021-30465, CVE-2024-45310: another process swaps the place in a shared volume, and the mount is made inside or not at all",
    async () => {
      const script = "cat /proc/self/mountinfo";
      await using target = new Target(script, ({ mounts }, { directory, bundle }) => {
        mounts.push(bind(join(directory, "volume"), "/volume"));
        mounts.push({ destination: "/volume/place/inner", type: "tmpfs", source: "swapped" });
        mounts.push(bind(join(bundle, "config.json"), "/volume/place/file"));
      });
      const volume = join(target.directory, "volume");
      mkdirSync(join(volume, "place"), { recursive: true });
      symlinkSync(target.outside, join(volume, "link"));
      const swap = `
      const { renameSync } = require("node:fs");
      const [place, link, aside] = ["place", "link", "aside"].map((name) => process.env.VOLUME + "/" + name);
      for (;;) { renameSync(place, aside); renameSync(link, place); renameSync(place, link); renameSync(aside, place); }`;
      const racer = Bun.spawn([process.execPath, "-e", swap], { stdio: ["ignore", "ignore", "ignore"], env: { VOLUME: volume } });
      try {
        let made = 0;
        for (let attempt = 0; attempt < 40; attempt++) {
          const { code, stdout } = await target.run();
          expect(target.reached()).toEqual([]);
          if (code !== 0) continue;
          made++;
          expect(stdout).toContain(" - tmpfs swapped ");
          await target.runtime(["delete", "--force", target.id]);
        }
        // Had none been made, nothing would have been tried.
        expect(made).toBeGreaterThan(0);
      } finally {
        racer.kill("SIGKILL");
        await racer.exited;
      }
    },
  );
});

describe.skipIf(whyNot !== undefined)("/proc and /sys", () => {
  attackEach([
    ["a volume", (source: string): Mount => bind(source, "/proc")],
    ["a tmpfs", (): Mount => ({ destination: "/proc", type: "tmpfs", source: "tmpfs" })],
  ])("CVE-2019-16884: %s at /proc is refused", async (_, mount) => {
    await using target = new Target("true", (config, { outside }) => {
      withoutMount(config, "/proc");
      config.mounts.push(mount(outside));
    });
    expect((await target.run()).code).toBe(1);
  });

  attackEach([["/proc/self/attr"], ["/proc/sys/kernel"], ["/proc/1"]])(
    "CVE-2019-16884: a volume gets to %s by no link of the image",
    async (place) => {
      await using target = new Target(`cat ${place}/mark`, ({ mounts }, { outside }) => mounts.push(bind(outside, "/trap")));
      writeFileSync(join(target.outside, "mark"), "of the volume");
      symlinkSync(place, join(target.rootfs, "trap"));
      expect((await target.run()).stdout).not.toContain("of the volume");
    },
  );

  attackEach([["proc"], ["sys"]])(
    "CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /%s is no link of the image into a volume",
    async (name) => {
      await using target = new Target(`cat /${name}/mark /volume/${name}/mark`, (config, { outside }) => {
        config.mounts = [bind(outside, "/volume"), ...config.mounts.filter(({ type }) => type !== "cgroup")];
        config.linux.maskedPaths = [];
        config.linux.readonlyPaths = [];
      });
      mkdirSync(join(target.outside, name));
      writeFileSync(join(target.outside, name, "mark"), "of the volume");
      rmSync(join(target.rootfs, name), { recursive: true });
      symlinkSync(`volume/${name}`, join(target.rootfs, name));
      const { code, stderr } = await target.run();
      expect(code).toBe(1);
      expect(stderr).toMatch(/mount|link/);
    },
  );

  attack("CVE-2025-52881: kernel parameters are not written where the image's own /proc leads", async () => {
    await using target = new Target("true", (config) => {
      withoutMount(config, "/proc");
      config.linux.sysctl = { "net.ipv4.ip_forward": "1" };
      config.linux.maskedPaths = [];
      config.linux.readonlyPaths = [];
    });
    const decoy = join(target.outside, "decoy");
    writeFileSync(decoy, "untouched");
    mkdirSync(join(target.rootfs, "proc/sys/net/ipv4"), { recursive: true });
    cpSync(decoy, join(target.rootfs, "proc/sys/net/ipv4/ip_forward"));
    await target.run();
    expect(readFileSync(join(target.rootfs, "proc/sys/net/ipv4/ip_forward"), "utf8")).toBe("untouched");
  });

  attack("CVE-2025-52881: nor through a mount namespace in which one file of /proc lies over another", async () => {
    const victim = Bun.spawn(["sleep", "60"]);
    const score = `/proc/${victim.pid}/oom_score_adj`;
    const before = readFileSync(score, "utf8");
    const script = `mount --bind ${score} /proc/sys/kernel/msgmax && echo ready && exec sleep 60`;
    const trap = Bun.spawn(["unshare", "--mount", "--ipc", "sh", "-c", script], { stdout: "pipe" });
    try {
      await trap.stdout.getReader().read();
      await using target = new Target("cat /proc/sys/kernel/msgmax", ({ linux }) => {
        for (const [kind, name] of [
          ["mount", "mnt"],
          ["ipc", "ipc"],
        ])
          for (const namespace of linux.namespaces) if (namespace.type === kind) namespace.path = `/proc/${trap.pid}/ns/${name}`;
        linux.sysctl = { "kernel.msgmax": "500" };
      });
      const { code, stdout } = await target.run();
      expect(readFileSync(score, "utf8")).toBe(before);
      // Refused, or written past the other file.
      expect([1, "500\n"]).toContain(code === 0 ? stdout : code);
    } finally {
      trap.kill("SIGKILL");
      victim.kill("SIGKILL");
    }
  });

  attack("CVE-2023-25809: below a read-only /sys of the host, cgroups are read-only too", async () => {
    const script =
      "for at in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $at/planted 2>/dev/null && echo wrote to $at && rmdir $at/planted; done; echo done";
    await using target = new Target(script, (config) => {
      config.linux.namespaces = [
        ...config.linux.namespaces.filter(({ type }) => type !== "network" && type !== "cgroup"),
        { type: "user" },
      ];
      // The host's own ids: owners do not stand in the way, only the mounts.
      config.linux.uidMappings = config.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 65536 }];
      config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
      delete config.linux.resources;
    });
    chmodSync(target.directory, 0o755);
    const { code, stdout, stderr } = await target.run();
    expect({ code, stdout, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stdout: "done\n", stderr: "" });
  });
});

describe.skipIf(whyNot !== undefined)("a volume that changes when the mounts are made", () => {
  attackEach([
    ["a link", "ln -s /etc/decoy null"],
    ["another file", "cp -p ../etc/decoy null"],
    ["another device", "mknod null c 1 5"],
    ["nothing", "true"],
  ])("CVE-2025-31133: %s in the place of /dev/null masks nothing, and nothing stays unmasked", async (_, replace) => {
    await using target = new Target("head -c 9 /proc/keys; stat -c %t:%T /proc/keys", (config, self) => {
      withOwnDev(config);
      config.linux.maskedPaths = ["/proc/keys"];
      self.whenMounted(config, `cd ${self.rootfs}/dev && rm null && ${replace}`);
    });
    writeFileSync(join(target.rootfs, "etc/decoy"), "a decoy");
    const { code, stdout } = await target.run();
    if (code === 0) expect(stdout).toBe("1:3\n");
    else expect(stdout).toBe("");
  });

  (installed("python3") ? attack : test.skip)(
    "CVE-2025-52565: a link in the place of /dev/console gets no terminal over what it leads to",
    async () => {
      await using target = new Target("cat /proc/self/mountinfo", (config, self) => {
        withOwnDev(config);
        config.process.terminal = true;
        self.whenMounted(config, `ln -sf /etc/decoy ${self.rootfs}/dev/console`);
      });
      writeFileSync(join(target.rootfs, "etc/decoy"), "a decoy");
      const command = [subject, "--root", target.state, "run", "--bundle", target.bundle, target.id];
      const { stdout } = await execute(["python3", terminalHelper, "drive", "[]", ...command]);
      expect(stdout).not.toContain("/etc/decoy");
    },
  );

  attack("CVE-2024-21626: a link in the place of the working directory leads nowhere else", async () => {
    await using target = new Target("cat mark", (config, self) => {
      config.process.cwd = "/work";
      self.whenMounted(config, `rmdir ${self.rootfs}/work && ln -s /proc/self/fd/7 ${self.rootfs}/work`);
    });
    writeFileSync(join(target.outside, "mark"), "of the host");
    const { stdout } = await target.fromShell(`exec 7<${target.outside}`, ["run", "--bundle", target.bundle, target.id]);
    expect(stdout).not.toContain("of the host");
  });
});

describe.skipIf(whyNot !== undefined || !existsSync("/dev/fuse"))("devices", () => {
  const allow = { allow: true, type: "c", major: 10, minor: 229, access: "rw" };
  attackEach([
    ["no rules", {}, "refused"],
    ["no list of rules", undefined, "refused"],
    ["a rule about another device", { devices: [{ ...allow, minor: 200 }] }, "refused"],
    ["a rule about it", { devices: [allow] }, "opened"],
    ["a rule about everything", { devices: [{ allow: true, access: "rwm" }] }, "opened"],
  ])("GHSA-g54h-m393-cpwq: a container that is given %s opens other devices of the host only by rules", async (_, resources, expected) => {
    await using target = new Target(
      "mknod /dev/probe c 10 229; if (: </dev/probe) 2>/dev/null; then echo opened; else echo refused; fi",
      (config) => {
        grant(config, "CAP_MKNOD");
        if (resources === undefined) delete config.linux.resources;
        else config.linux.resources = resources;
      },
    );
    symlinkSync("busybox", join(target.rootfs, "bin/mknod"));
    expect((await target.run()).stdout).toBe(`${expected}\n`);
  });
});

function bind(source: string, destination: string): Mount {
  return { destination, type: "bind", source, options: ["rbind"] };
}
