/** The root file system, masked and read-only paths, and devices. */
import { describe, setDefaultTimeout } from "bun:test";
import { patient } from "../../support/slowness.ts";
import { type Case, type Config, noBehaviour, testCases } from "./harness.ts";

setDefaultTimeout(patient(120_000));

const paths: readonly Case[] = [
  { name: "root.readonly", script: "touch /x 2>/dev/null || echo refused", expected: "refused\n" },
  { name: "a writable root", change: ({ root }) => (root.readonly = false), script: "touch /x && echo written", expected: "written\n" },
  {
    name: "a masked file is empty, a masked directory too, and one that is not there is nothing",
    change: ({ linux }) => (linux["maskedPaths"] = ["/proc/version", "/proc/fs", "/no/such/path", "/etc/passwd"]),
    script: "cat /proc/version /etc/passwd | wc -c; ls /proc/fs | wc -l; touch /proc/fs/x 2>/dev/null || echo refused",
    expected: "0\n0\nrefused\n",
  },
  {
    name: "a read-only path is read-only, with all below it",
    change: ({ linux }) => (linux["readonlyPaths"] = ["/proc/sys", "/tmp", "/no/such/path"]),
    script:
      "cat /proc/sys/kernel/ostype; echo x >/proc/sys/kernel/hostname 2>/dev/null || echo refused; touch /tmp/x 2>/dev/null || echo refused",
    expected: "Linux\nrefused\nrefused\n",
  },
];

/** Reading the kernel's messages needs this capability where they are restricted. */
function mayReadMessages({ process }: Config): void {
  const all = ["CAP_SYSLOG", "CAP_MKNOD"];
  process.capabilities = { bounding: all, effective: all, permitted: all };
}

const devices: readonly Case[] = [
  {
    name: "the default devices are there",
    script: "for d in null zero full random urandom tty; do stat -c '%n %F %t,%T %a' /dev/$d; done",
    expected: ["null 1,3", "zero 1,5", "full 1,7", "random 1,8", "urandom 1,9", "tty 5,0"]
      .map((line) => line.split(" "))
      .map(([name, number]) => `/dev/${name} character special file ${number} 666\n`)
      .join(""),
  },
  {
    name: "the default links are there",
    script: "for l in fd stdin stdout stderr; do readlink /dev/$l; done",
    expected: "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n",
  },
  {
    name: "the default devices may be used",
    script: "echo x >/dev/null && head -c 3 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c",
    expected: "3\n4\n",
  },
  {
    name: "devices of the config: kind, number, mode and owner",
    change: ({ linux }) =>
      (linux["devices"] = [
        { path: "/dev/c", type: "c", major: 1, minor: 3, fileMode: 0o640, uid: 5, gid: 6 },
        { path: "/dev/deep/b", type: "b", major: 7, minor: 200, fileMode: 0o600 },
        { path: "/dev/p", type: "p", fileMode: 0o622 },
        { path: "/dev/u", type: "u", major: 1, minor: 5 },
      ]),
    script: "stat -c '%F %t,%T %a %u:%g' /dev/c /dev/deep/b; stat -c '%F %a' /dev/p; stat -c '%F %t,%T' /dev/u",
    expected: "character special file 1,3 640 5:6\nblock special file 7,c8 600 0:0\nfifo 622\ncharacter special file 1,5\n",
  },
  {
    name: "a device that no rule allows cannot be opened",
    change: (config) => {
      mayReadMessages(config);
      config.linux["devices"] = [{ path: "/dev/f", type: "c", major: 1, minor: 11, fileMode: 0o666 }];
    },
    script: "(exec 3</dev/f) 2>/dev/null || echo refused",
    expected: "refused\n",
  },
  {
    name: "one that a rule allows for reading can be read and not written",
    change: (config) => {
      mayReadMessages(config);
      const { linux } = config;
      linux["devices"] = [{ path: "/dev/f", type: "c", major: 1, minor: 11, fileMode: 0o666 }];
      linux["resources"] = {
        devices: [
          { allow: false, access: "rwm" },
          { allow: true, type: "c", major: 1, minor: 11, access: "r" },
        ],
      };
    },
    script: "exec 3</dev/f && echo read; (echo x >/dev/f) 2>/dev/null || echo refused",
    expected: "read\nrefused\n",
  },
];

describe.skipIf(noBehaviour !== undefined)("the paths and devices of a container", () => {
  testCases([...paths, ...devices]);
});
