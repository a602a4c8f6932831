/** Boots a guest and runs one command in it. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { environment, GuestError } from "./host.ts";
import type { GuestImage } from "./image.ts";

/** One boot. */
export interface Boot {
  readonly image: GuestImage;
  /** The disk with the project. */
  readonly project: string;
  /** A directory of this run for disks, the console's log and what the guest writes to its disks. */
  readonly scratch: string;
  /** What a shell of the guest reads. */
  readonly script: string;
  readonly memory: string;
}

/** Pure cgroup v2; of the security modules AppArmor; after a panic qemu ends (with -no-reboot). */
const kernelWords = [
  "root=/dev/vda",
  "rw",
  "console=ttyS0",
  "quiet",
  "panic=-1",
  "gantry.guest",
  "systemd.unified_cgroup_hierarchy=1",
  "systemd.show_status=0",
  "apparmor=1",
  "security=apparmor",
  "mitigations=off",
];

function disk(path: string, id: string): string[] {
  // With snapshot=on, writes go to a file without a name in $TMPDIR.
  return ["-drive", `file=${path},format=raw,if=none,id=${id},snapshot=on`, "-device", `virtio-blk-pci,drive=${id},serial=${id}`];
}

function machine(boot: Boot, words: readonly string[]): string[] {
  const command = join(boot.scratch, "command");
  const bytes = Buffer.from(`${boot.script}\n`);
  // A disk has whole sectors: the rest is empty lines.
  writeFileSync(command, Buffer.concat([bytes, Buffer.alloc(512 - (bytes.length % 512), "\n")]));
  return [
    // qemu ends when we do, however we end.
    "setpriv",
    "--pdeathsig",
    "KILL",
    "qemu-system-x86_64",
    "-machine",
    "q35",
    "-nodefaults",
    "-display",
    "none",
    "-no-reboot",
    // Bun needs AVX2, which `max` has.
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max",
    "-smp",
    "2",
    "-m",
    boot.memory,
    "-monitor",
    "none",
    "-device",
    "virtio-rng-pci",
    "-kernel",
    boot.image.kernel,
    "-initrd",
    boot.image.initrd,
    "-append",
    [...kernelWords, ...words].join(" "),
    // The order makes the root disk /dev/vda.
    ...disk(boot.image.disk, "root"),
    ...disk(boot.project, "project"),
    ...disk(command, "command"),
  ];
}

function start(command: readonly string[], scratch: string, stdio: ("ignore" | "inherit" | "pipe")[]): ChildProcess {
  const [program = "", ...rest] = command;
  const child = spawn(program, rest, { stdio, env: { ...environment, TMPDIR: scratch } });
  // Ctrl-C ends qemu too, and then we clean up.
  const end = (): boolean => child.kill("SIGKILL");
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, end);
  return child;
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("close", () => resolve());
    child.once("error", (error) => reject(new GuestError(`cannot run qemu: ${error.message}`)));
  });
}

/** What a guest that runs a command is connected to: qemu's own output, and the three ports. */
type Pipes = [out: Readable, err: Readable, guestOut: Readable, guestErr: Readable, result: Readable];

function collect(stream: Readable): { text: () => string } {
  const chunks: Buffer[] = [];
  stream.on("data", (bytes: Buffer) => chunks.push(bytes));
  return { text: () => Buffer.concat(chunks).toString() };
}

function lastLines(path: string, count: number): string {
  try {
    return readFileSync(path, "latin1")
      .replaceAll(/\x1b\[[0-9;?]*[A-Za-z]|\r/g, "")
      .trimEnd()
      .split("\n")
      .slice(-count)
      .join("\n");
  } catch {
    return "(it has none)";
  }
}

/**
 * Runs the script, with its output on ours as it comes. Returns its exit code.
 * @throws {GuestError} when the guest takes longer than `limitMs`, or ends without telling an exit code
 */
export async function runCommand(boot: Boot, limitMs: number): Promise<number> {
  const log = join(boot.scratch, "console.log");
  const ports = ["stdout", "stderr", "result"].flatMap((name, index) => [
    "-chardev",
    `socket,id=${name},fd=${index + 3}`,
    "-device",
    `virtserialport,chardev=${name},name=${name}`,
  ]);
  const command = [...machine(boot, []), "-serial", `file:${log}`, "-device", "virtio-serial-pci", ...ports];
  const child = start(command, boot.scratch, ["ignore", "pipe", "pipe", "pipe", "pipe", "pipe"]);
  const [, out, err, guestOut, guestErr, result] = child.stdio as unknown as [null, ...Pipes];
  const complaints = [collect(out), collect(err)];
  const told = collect(result);
  show(guestOut, process.stdout);
  show(guestErr, process.stderr);
  let late = false;
  const timer = setTimeout(() => (late = child.kill("SIGKILL")), limitMs);
  await ended(child);
  clearTimeout(timer);
  const code = Number.parseInt(told.text(), 10);
  if (!Number.isNaN(code)) return code;
  const why = late ? `it took longer than ${limitMs / 1000} s` : `it ended without telling an exit code (qemu: ${describe(child)})`;
  const words = complaints.map(({ text }) => text().trim()).filter((text) => text !== "");
  throw new GuestError([`the guest failed: ${why}`, ...words, "the end of its console:", lastLines(log, 25)].join("\n"));
}

function show(from: Readable, to: Writable): void {
  from.on("data", (bytes: Buffer) => to.write(bytes)).on("error", () => undefined);
}

function describe(child: ChildProcess): string {
  return child.signalCode ?? `exit code ${child.exitCode ?? "unknown"}`;
}

/** Runs the script on our terminal until it ends. */
export async function runShell(boot: Boot): Promise<void> {
  const command = [...machine(boot, ["gantry.shell"]), "-chardev", "stdio,id=terminal,signal=off", "-serial", "chardev:terminal"];
  await ended(start(command, boot.scratch, ["inherit", "inherit", "inherit"]));
}
