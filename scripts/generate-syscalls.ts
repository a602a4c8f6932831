/**
 * Makes src/runtime/compile/seccomp/syscalls.gen.ts, the numbers of system calls by name: `bun scripts/generate-syscalls.ts`.
 *
 * Not part of `npm run generate`: it asks this machine, which must have the kernel's headers (linux-libc-dev of x86_64) and
 * libseccomp's tools (Debian: seccomp, libseccomp-dev). The result is committed.
 */
import { readFileSync, writeFileSync } from "node:fs";

const output = new URL("../src/runtime/compile/seccomp/syscalls.gen.ts", import.meta.url).pathname;
const x32Bit = 0x4000_0000;

/** Younger than the headers of Debian 12 (Linux 6.1); from 424 on, numbers are the same on every architecture. */
const younger: Record<number, string> = {
  451: "cachestat",
  452: "fchmodat2",
  453: "map_shadow_stack",
  454: "futex_wake",
  455: "futex_wait",
  456: "futex_requeue",
  457: "statmount",
  458: "listmount",
  459: "lsm_get_self_attr",
  460: "lsm_set_self_attr",
  461: "lsm_list_modules",
  462: "mseal",
  463: "setxattrat",
  464: "getxattrat",
  465: "listxattrat",
  466: "removexattrat",
  467: "open_tree_attr",
  468: "file_getattr",
  469: "file_setattr",
  470: "listns",
  471: "rseq_slice_yield",
};
/** Only x86_64 and x32 have these two (Linux 6.11 and 6.18). */
const probes: Record<number, string> = { 335: "uretprobe", 336: "uprobe" };

/** Names by number, from one of the kernel's headers for x86. */
function fromHeader(name: string): Map<number, string> {
  const text = readFileSync(`/usr/include/x86_64-linux-gnu/asm/unistd_${name}.h`, "utf8");
  const found = new Map<number, string>();
  for (const [, call = "", number = ""] of text.matchAll(/^#define __NR_(\w+) (?:\(__X32_SYSCALL_BIT \+ )?(\d+)\)?$/gm)) {
    found.set(Number(number), call);
  }
  return found;
}

/** Names by number, from what libseccomp knows of `architecture`. */
function fromResolver(architecture: string): Map<number, string> {
  const names = [...readFileSync("/usr/include/seccomp-syscalls.h", "utf8").matchAll(/^#define __SNR_(\w+)/gm)].map(
    ([, name]) => name ?? "",
  );
  const found = new Map<number, string>();
  for (const name of new Set(names)) {
    const { stdout } = Bun.spawnSync(["scmp_sys_resolver", "-a", architecture, name]);
    const number = Number(stdout.toString());
    if (stdout.toString().trim() !== "" && number >= 0 && !found.has(number)) found.set(number, name);
  }
  return found;
}

/**
 * Calls that i386 can also make through `socketcall` (the number of the call plus 1) or `ipc` (that plus 32).
 * @see linux/net.h, SYS_*; linux/ipc.h
 */
function multiplexed(): Map<string, number> {
  const found = new Map<string, number>();
  const add = (first: number, calls: string): void => {
    for (const [index, call] of calls.split(" ").entries()) found.set(call, first + index + 1);
  };
  add(1, "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom");
  add(13, "shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg");
  add(32 + 1, "semop semget semctl semtimedop");
  add(32 + 11, "msgsnd msgrcv msgget msgctl");
  add(32 + 21, "shmat shmdt shmget shmctl");
  return found;
}

/**
 * The numbers of several interfaces by name, as JSON: its parser is native, and much faster than code that runs once. What a name stands for
 * is one integer: 10 bits for each interface, the first the lowest, with its number plus 1, or 0 where it has no such call.
 */
function formatTable(
  through: ReadonlyMap<string, number>,
  ...interfaces: readonly [ReadonlyMap<number, string>, Record<number, string>][]
): string {
  const packed = new Map<string, number>();
  for (const [place, [table, more]] of interfaces.entries()) {
    const entries = [...new Map([...table, ...Object.entries(more).map(([number, name]) => [Number(number), name] as const)])];
    for (const [number, name] of entries.toSorted(([a], [b]) => a - b)) {
      // Private calls of ARM have large numbers: only the last place has room for those.
      if (number >= 1023 && place < interfaces.length - 1) throw new Error(`${name} has the number ${number}`);
      packed.set(name, (packed.get(name) ?? 0) + (number + 1) * 2 ** (10 * place));
    }
  }
  for (const [name, code] of through) packed.set(name, (packed.get(name) ?? 0) + code * 2 ** 30);
  const lines: string[] = ["{"];
  for (const [name, number] of packed) {
    const entry = `${JSON.stringify(name)}:${number},`;
    if ((lines.at(-1) ?? "").length + entry.length > 130) lines.push("");
    lines[lines.length - 1] += entry;
  }
  return `${lines.join("\n").slice(0, -1)}}`;
}

const tables = [
  [
    "x86Calls",
    `SCMP_ARCH_X86_64, SCMP_ARCH_X32 (without the bit 0x${x32Bit.toString(16)}) and SCMP_ARCH_X86`,
    formatTable(
      multiplexed(),
      [fromHeader("64"), { ...younger, ...probes }],
      [fromHeader("x32"), { ...younger, ...probes }],
      [fromHeader("32"), younger],
    ),
  ],
  [
    "armCalls",
    "SCMP_ARCH_AARCH64 and SCMP_ARCH_ARM",
    formatTable(new Map(), [fromResolver("aarch64"), younger], [fromResolver("arm"), younger]),
  ],
] as const;

writeFileSync(
  output,
  `/**
 * GENERATED by scripts/generate-syscalls.ts from the kernel's headers and libseccomp's resolver. Do not edit.
 *
 * Numbers of system calls by name, as JSON: of several interfaces in one integer. Each has 10 bits, the first the lowest (the last has all
 * that are left), with the number plus 1; 0 where it has no such call. From bit 30 on: how i386 makes the call through another one.
 */
${tables.map(([name, title, text]) => `\n/** ${title}. */\nexport const ${name} = \`${text}\`;\n`).join("")}`,
);
