/** The dialogue with criu, with a stand-in that says what a test wants: these tests need no criu that works here. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../support/images/commands.ts";
import { eventually, execute, hasRunc, makeBundle, runtimePath, unable, type BundleConfig, type Ended } from "./gantry-harness.ts";

interface TalkConfig extends BundleConfig {
  hooks?: Record<string, { path: string; args: string[] }[]>;
}

const standIn = new URL("../support/criu.py", import.meta.url).pathname;
const reason = unable ?? (hasRunc ? undefined : "runc is not installed") ?? (installed("python3") ? undefined : "python3 is not installed");
const scratch = reason === undefined ? mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-criu-")) : "";
afterAll(() => {
  if (scratch !== "") rmSync(scratch, { recursive: true, force: true });
});
let count = 0;

/** A bundle, an image and what the stand-in is to do with them. */
class Talk implements AsyncDisposable {
  readonly id: string = `criu-${process.pid}-${count++}`;
  readonly directory: string = join(scratch, this.id);
  readonly image: string = join(this.directory, "image");
  readonly bundle: string;

  constructor(change: (config: TalkConfig, directory: string) => void = () => undefined) {
    mkdirSync(this.image, { recursive: true });
    writeFileSync(join(this.image, "descriptors.json"), '["/dev/null","pipe:[1]","pipe:[2]"]');
    this.bundle = makeBundle(join(this.directory, "bundle"), (config) => {
      config.process.args = ["/bin/busybox", "sleep", "1000"];
      change(config, this.directory);
    });
  }

  run(...words: readonly string[]): Promise<Ended> {
    return execute([runtimePath, "--root", join(this.directory, "state"), "--criu", standIn, ...words]);
  }

  plan(...lines: readonly string[]): void {
    writeFileSync(join(this.image, "plan"), lines.join("\n"));
  }

  restore(...words: readonly string[]): Promise<Ended> {
    return this.run("restore", "--bundle", this.bundle, "--image-path", this.image, ...words, this.id);
  }

  /** A container that runs, to be written to files. */
  async start(): Promise<void> {
    const command = [runtimePath, "--root", join(this.directory, "state"), "run", "--detach", "--bundle", this.bundle, this.id];
    expect(await Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"] }).exited).toBe(0);
  }

  checkpoint(...words: readonly string[]): Promise<Ended> {
    return this.run("checkpoint", "--image-path", this.image, ...words, this.id);
  }

  heard(): string {
    return readFileSync(join(this.image, "heard"), "latin1");
  }

  async status(): Promise<string> {
    const { code, stdout } = await this.run("state", this.id);
    return code === 0 ? (JSON.parse(stdout) as { status: string }).status : "none";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run("delete", "--force", this.id);
  }
}

describe.skipIf(reason !== undefined)(`talking to criu${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  test("every notification is agreed to, and the container goes when criu is done", async () => {
    await using one = new Talk();
    await one.start();
    one.plan("notify pre-dump", "notify network-lock", "notify post-dump", "result");
    expect(await one.checkpoint("--tcp-established")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(one.heard()).toContain("pre-dump 08061801\nnetwork-lock 08061801\npost-dump 08061801\nleft alone\n");
    expect(one.heard()).toContain("dump.log");
    expect(await one.status()).toBe("none");
  });

  test("a dump that fails leaves the container as it is, and says what criu's log says", async () => {
    for (const [plan, says] of [
      ["fail 16", "device or resource busy"],
      ["fail 0", "criu failed"],
      ["die", "criu ended without an answer"],
      ["bytes 0803", "criu failed"],
      ["bytes ffffffffffffffffffffff", "bad message"],
      ["bytes 2a7f00", "bad message"],
      [`bytes ${"00".repeat(9000)}`, "message too long"],
    ] as const) {
      await using one = new Talk();
      await one.start();
      one.plan(plan);
      const { code, stderr } = await one.checkpoint();
      expect(code).toBe(1);
      expect(stderr).toContain(`cannot checkpoint container "${one.id}": criu failed: `);
      expect(stderr.toLowerCase()).toContain(says);
      expect(await one.status()).toBe("running");
      writeFileSync(join(one.image, "dump.log"), "(00.1) Error (criu/x.c:1): the reason\n");
      expect((await one.checkpoint()).stderr).toContain("criu failed: Error (criu/x.c:1): the reason (see");
    }
  });

  test("what criu restores is the container: in the foreground its exit code is ours", async () => {
    await using one = new Talk();
    one.plan("make echo restored; exit 9", "notify setup-namespaces", "notify post-restore", "result");
    expect(await one.restore()).toEqual({ code: 9, stdout: "restored\n", stderr: "" });
    expect(await one.status()).toBe("none");
  });

  test("with --detach it is found, signalled and deleted as any container", async () => {
    await using one = new Talk();
    one.plan("make exec sleep 1000 >/dev/null 2>&1", "notify post-restore", "result");
    expect(await one.restore("--detach", "--pid-file", join(one.directory, "pid"))).toMatchObject({ code: 0, stderr: "" });
    const pid = readFileSync(join(one.directory, "pid"), "utf8");
    expect(JSON.parse((await one.run("state", one.id)).stdout)).toMatchObject({ status: "running", pid: Number(pid) });
    expect(await eventually(() => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n")).toBe(true);
    expect((await one.run("kill", one.id, "KILL")).code).toBe(0);
    expect(await eventually(async () => (await one.status()) === "stopped")).toBe(true);
    expect((await one.run("delete", one.id)).code).toBe(0);
  });

  test("a restore that fails leaves nothing, and criu is let end by itself", async () => {
    for (const plan of [["fail 17"], ["notify pre-restore", "die"], ["result"]]) {
      await using one = new Talk();
      one.plan(...plan);
      expect((await one.restore("--detach")).code).toBe(1);
      expect(readdirSync(join(one.directory, "state"))).toEqual([]);
    }
  });

  test("hooks are told the process before it runs, and their failure ends the restore", async () => {
    for (const [exit, code] of [
      [0, 0],
      [1, 1],
    ] as const) {
      await using one = new Talk((config, directory) => {
        const script = `cat > ${directory}/state.json; exit ${exit}`;
        config.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", script] }] };
      });
      one.plan("make exec sleep 1000 >/dev/null 2>&1", "notify setup-namespaces", "notify post-restore", "result");
      expect((await one.restore("--detach")).code).toBe(code);
      const { pid } = JSON.parse(readFileSync(join(one.directory, "state.json"), "utf8")) as { pid: number };
      expect(one.heard().includes("post-restore")).toBe(code === 0);
      expect(await eventually(() => existsSync(`/proc/${pid}`) === (code === 0))).toBe(true);
    }
  });

  test("a terminal in the foreground is relayed", async () => {
    await using one = new Talk((config) => {
      config.process.terminal = true;
    });
    one.plan("make sleep 2", "terminal", "notify post-restore", "result");
    expect(await one.restore()).toMatchObject({ code: 0, stdout: expect.stringContaining("made by criu") as string });
  });

  test("--status-fd gets a byte when lazy pages can be asked for", async () => {
    await using one = new Talk();
    await one.start();
    one.plan("notify status-ready", "result");
    const words = ["--root", join(one.directory, "state"), "--criu", standIn, "checkpoint", "--image-path", one.image];
    const script = '"$@" 7>"$0"';
    const told = join(one.directory, "told");
    const command = ["sh", "-c", script, told, runtimePath, ...words, "--lazy-pages", "--status-fd", "7", one.id];
    expect(await execute(command)).toMatchObject({ code: 0, stderr: "" });
    expect([...readFileSync(told)]).toEqual([0]);
  });

  test("a criu that is not there is said to be so", async () => {
    await using one = new Talk();
    await one.start();
    const { code, stderr } = await one.run("--criu", "no-such-criu", "checkpoint", "--image-path", one.image, one.id);
    expect(code).toBe(1);
    expect(stderr).toContain("no-such-criu");
    expect(await one.status()).toBe("running");
  });
});
