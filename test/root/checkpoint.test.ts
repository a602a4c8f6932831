/** Containers as files and back, by criu: the same with every runtime that is here. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { whyNoCriu, whyNoTracking } from "../support/criu.ts";
import { installed } from "../support/images/commands.ts";
import { eventually, execute, hasRunc, makeBundle, runtimePath, unable, type BundleConfig, type Ended } from "./gantry-harness.ts";

interface CheckpointConfig extends BundleConfig {
  mounts: { destination: string; type?: string; source?: string; options?: string[] }[];
  hooks?: Record<string, { path: string; args: string[] }[]>;
  linux: BundleConfig["linux"] & {
    namespaces: { type: string; path?: string }[];
    uidMappings?: object[];
    gidMappings?: object[];
  };
}

const scratchRoot = existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp";

const reason = (await whyNoCriu()) ?? (hasRunc ? undefined : "runc is not installed, which writes the configs of these tests");
if (reason !== undefined) console.log(`skipped: ${reason}`);
const scratch = reason === undefined ? mkdtempSync(join(scratchRoot, "gantry-checkpoint-")) : "";
afterAll(() => {
  if (scratch !== "") rmSync(scratch, { recursive: true, force: true });
});
const noTracking = reason ?? (await whyNoTracking());
const skipped = (why: string | undefined): string => (why === undefined ? "" : ` (skipped: ${why})`);
let count = 0;

/** Counts in memory and tells a file on a volume how far it is. */
const counter = "i=0; while :; do i=$((i+1)); echo $i > /volume/n; /bin/busybox sleep 0.05; done";

/** One runtime with a container of its own. */
class Subject implements AsyncDisposable {
  readonly id: string = `checkpoint-${process.pid}-${count++}`;
  readonly directory: string = join(scratch, this.id);
  readonly bundle: string = join(this.directory, "bundle");
  readonly volume: string = join(this.directory, "volume");
  readonly image: string = join(this.directory, "image");
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;

  constructor(
    { command, environment }: Pick<Runtime, "command" | "environment">,
    script: string,
    change: (config: CheckpointConfig, directory: string) => void = () => undefined,
  ) {
    this.command = command;
    this.environment = environment;
    mkdirSync(this.volume, { recursive: true });
    makeBundle(this.bundle, (base) => {
      const config = base as CheckpointConfig;
      config.process.args = ["/bin/busybox", "sh", "-c", script];
      config.root.readonly = false;
      config.mounts.push({ destination: "/volume", type: "bind", source: this.volume, options: ["bind", "rw"] });
      change(config, this.directory);
    });
  }

  /** The same container with another runtime. */
  as({ command, environment }: Pick<Runtime, "command" | "environment">): Subject {
    return Object.assign(Object.create(Subject.prototype) as Subject, this, { command, environment });
  }

  run(...words: readonly string[]): Promise<Ended> {
    return execute([...this.command, "--root", join(this.directory, "state"), ...words], { env: this.environment });
  }

  /** Leaves a container in the background. Its output has to be a pipe for runc to write it to files; it goes to `output`. */
  async leave(...words: readonly string[]): Promise<{ code: number; output: string }> {
    const [output, status] = [join(this.directory, `output-${count++}`), join(this.directory, `status-${count++}`)];
    const line = [...this.command, "--root", join(this.directory, "state"), ...words].map((word) => `'${word}'`).join(" ");
    const script = `{ ${line} 2>&1; echo $? > ${status}.new; mv ${status}.new ${status}; } </dev/null | cat > ${output} &`;
    Bun.spawnSync(["sh", "-c", script], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
      env: { ...process.env, ...this.environment },
    });
    await eventually(() => existsSync(status), 30_000);
    const code = Number(readFileSync(status, "utf8"));
    // What it wrote is still on its way through the pipe.
    if (code !== 0) await eventually(() => readFileSync(output, "utf8") !== "");
    return { code, output: readFileSync(output, "utf8") };
  }

  start(...words: readonly string[]): Promise<{ code: number; output: string }> {
    return this.leave("run", "--detach", "--bundle", this.bundle, ...words, this.id);
  }

  checkpoint(...words: readonly string[]): Promise<Ended> {
    return this.run("checkpoint", "--image-path", this.image, "--work-path", join(this.directory, "work"), ...words, this.id);
  }

  restore(...words: readonly string[]): Promise<{ code: number; output: string }> {
    const paths = ["--bundle", this.bundle, "--image-path", this.image, "--work-path", join(this.directory, "work")];
    return this.leave("restore", "--detach", ...paths, ...words, this.id);
  }

  async status(): Promise<string> {
    const { code, stdout } = await this.run("state", this.id);
    return code === 0 ? (JSON.parse(stdout) as { status: string }).status : "none";
  }

  /** How far the counter is. */
  counted(): number {
    const path = join(this.volume, "n");
    // It is empty for a moment each time.
    for (let text = existsSync(path) ? "" : "0"; ; text = readFileSync(path, "utf8")) if (text !== "") return Number(text);
  }

  /** Waits until the counter has gone on; false when it does not. */
  goesOn(): Promise<boolean> {
    const before = this.counted();
    return eventually(() => this.counted() > before + 2);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run("delete", "--force", this.id);
  }
}

interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const gantry: Runtime = { name: "gantry-runtime", command: [runtimePath], environment: {} };
const runtimes: readonly Runtime[] = [
  gantry,
  { name: "gantry-runtime without prepared programs", command: [runtimePath], environment: { GANTRY_NO_FRONT: "1" } },
  ...(installed("runc") ? [{ name: "runc", command: ["runc"], environment: {} }] : []),
];

describe.skipIf(reason !== undefined)(`checkpoint and restore${skipped(reason)}`, () => {
  for (const runtime of runtimes) {
    const { name } = runtime;
    const subject = (script = counter, change?: (config: CheckpointConfig, directory: string) => void): Subject =>
      new Subject(runtime, script, change);

    test(`${name}: a container is gone after checkpoint, and goes on counting where it stopped after restore`, async () => {
      await using one = subject();
      expect(await one.start()).toEqual({ code: 0, output: "" });
      expect(await one.goesOn()).toBe(true);
      expect(await one.checkpoint()).toMatchObject({ code: 0 });
      expect(await one.status()).toBe("none");
      expect(readdirSync(one.image)).toContain("inventory.img");
      const stopped = one.counted();
      expect(stopped).toBeGreaterThan(2);
      expect(await one.restore("--pid-file", join(one.directory, "pid"))).toEqual({ code: 0, output: "" });
      let least = stopped;
      const look = (): boolean => {
        least = Math.min(least, one.counted());
        return one.counted() > stopped;
      };
      expect(await eventually(look)).toBe(true);
      expect(least).toBe(stopped);
      const { stdout } = await one.run("state", one.id);
      expect(JSON.parse(stdout)).toMatchObject({ status: "running", pid: Number(readFileSync(join(one.directory, "pid"), "utf8")) });
      expect(await one.run("exec", one.id, "/bin/busybox", "hostname")).toMatchObject({ code: 0, stdout: "runc\n" });
      expect((await one.run("ps", "--format", "json", one.id)).stdout).toContain(readFileSync(join(one.directory, "pid"), "utf8").trim());
      expect((await one.run("pause", one.id)).code).toBe(0);
      expect(await one.status()).toBe("paused");
      expect((await one.run("resume", one.id)).code).toBe(0);
      expect((await one.run("kill", one.id, "KILL")).code).toBe(0);
      expect(await eventually(async () => (await one.status()) === "stopped")).toBe(true);
      expect((await one.run("delete", one.id)).code).toBe(0);
    });

    test(`${name}: --leave-running lets it go on`, async () => {
      await using one = subject();
      await one.start();
      await one.goesOn();
      expect(await one.checkpoint("--leave-running")).toMatchObject({ code: 0 });
      expect(await one.status()).toBe("running");
      expect(await one.goesOn()).toBe(true);
      expect((await one.run("delete", "--force", one.id)).code).toBe(0);
      expect(await one.restore()).toEqual({ code: 0, output: "" });
      expect(await one.goesOn()).toBe(true);
    });

    test.skipIf(noTracking !== undefined)(
      `${name}: memory is written beforehand with --pre-dump, and only the rest later${skipped(noTracking)}`,
      async () => {
        await using one = subject();
        await one.start();
        await one.goesOn();
        const parent = join(one.directory, "before");
        expect(await one.run("checkpoint", "--pre-dump", "--image-path", parent, one.id)).toMatchObject({ code: 0 });
        expect(await one.status()).toBe("running");
        expect(await one.checkpoint("--parent-path", "/nowhere")).toMatchObject({ code: 1 });
        expect(await one.checkpoint("--parent-path", "../before")).toMatchObject({ code: 0 });
        expect(existsSync(join(one.image, "parent"))).toBe(true);
        expect(await one.restore()).toEqual({ code: 0, output: "" });
        expect(await one.goesOn()).toBe(true);
      },
    );

    test(`${name}: a paused container can be written to files`, async () => {
      await using one = subject();
      await one.start();
      await one.goesOn();
      await one.run("pause", one.id);
      expect(await one.checkpoint()).toMatchObject({ code: 0 });
      expect(await one.status()).toBe("none");
      expect(await one.restore()).toEqual({ code: 0, output: "" });
      expect(await one.goesOn()).toBe(true);
      expect(await one.status()).toBe("running");
    });

    test(`${name}: without --detach restore ends as the container does`, async () => {
      await using one = subject(`while [ ! -e /volume/end ]; do /bin/busybox sleep 0.05; done; echo the end; exit 7`);
      await one.start();
      expect(await one.checkpoint()).toMatchObject({ code: 0 });
      writeFileSync(join(one.volume, "end"), "");
      expect(await one.leave("restore", "--bundle", one.bundle, "--image-path", one.image, one.id)).toEqual({
        code: 7,
        output: "the end\n",
      });
      expect(await one.status()).toBe("none");
    });

    test(`${name}: what cannot be done is refused and changes nothing`, async () => {
      await using one = subject();
      const unknown = await one.checkpoint();
      expect(unknown.code).toBe(1);
      expect(unknown.stderr).toContain("does not exist");
      expect((await one.restore()).code).toBe(1);
      expect(await one.status()).toBe("none");
      await one.start();
      expect(await one.goesOn()).toBe(true);
      expect((await one.checkpoint("--leave-running")).code).toBe(0);
      expect((await one.restore()).output).toContain("exist");
      expect(await one.goesOn()).toBe(true);
      await one.run("kill", one.id, "KILL");
      await eventually(async () => (await one.status()) === "stopped");
      expect((await one.checkpoint()).code).toBe(1);
      expect(await one.status()).toBe("stopped");
      expect((await one.run("delete", one.id)).code).toBe(0);
      // An image that lost a part: nothing of the container is left.
      rmSync(join(one.image, "pstree.img"));
      const { code, output } = await one.restore();
      expect(code).toBe(1);
      if (runtime.name !== "runc") expect(output).toContain("criu failed");
      expect(await one.status()).toBe("none");
      expect(readdirSync(join(one.directory, "state"))).toEqual([]);
    });

    test.skipIf(!installed("python3"))(`${name}: a container keeps its terminal`, async () => {
      await using one = subject('while :; do echo ready; read -t 1 x && echo "got $x"; done', (config) => {
        config.process.terminal = true;
      });
      for (const [verb, ...words] of [["run"], ["restore", "--image-path", one.image]]) {
        const socket = join(one.directory, `${verb ?? ""}.sock`);
        const helper = new URL("../support/terminal.py", import.meta.url).pathname;
        const receiver = Bun.spawn(["python3", helper, "receive", socket], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
        const reader = receiver.stdout.getReader();
        const next = async (): Promise<string> => {
          for (let text = ""; ;) {
            const { value, done } = await reader.read();
            text += Buffer.from(value ?? new Uint8Array()).toString();
            if (done || text.endsWith("\n")) return text;
          }
        };
        expect(await next()).toBe("listening\n");
        const started = await one.leave(verb ?? "", "--detach", "--bundle", one.bundle, "--console-socket", socket, ...words, one.id);
        expect(started).toEqual({ code: 0, output: "" });
        expect((JSON.parse(await next()) as { text: string }).text).toContain("got hello");
        if (verb === "run") expect(await one.checkpoint()).toMatchObject({ code: 0 });
        await receiver.stdin.end();
        await receiver.exited;
      }
    });

    test(`${name}: createRuntime hooks run again, and are told the new process`, async () => {
      await using one = subject(counter, (config, directory) => {
        config.hooks = {
          createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", `cat >> ${directory}/hooks; echo >> ${directory}/hooks`] }],
        };
      });
      await one.start();
      await one.goesOn();
      await one.checkpoint();
      expect(await one.restore("--pid-file", join(one.directory, "pid"))).toEqual({ code: 0, output: "" });
      const states = readFileSync(join(one.directory, "hooks"), "utf8").trim().split("\n");
      expect(states.length).toBe(2);
      expect(JSON.parse(states[1] ?? "")).toMatchObject({ id: one.id, pid: Number(readFileSync(join(one.directory, "pid"), "utf8")) });
    });
  }

  test.skipIf(!installed("runc"))("an image of runc's can be restored", async () => {
    const runc = new Subject({ command: ["runc"], environment: {} }, counter);
    await runc.start();
    await runc.goesOn();
    expect(await runc.checkpoint()).toMatchObject({ code: 0 });
    const before = runc.counted();
    await using one = runc.as(gantry);
    expect(await one.restore()).toEqual({ code: 0, output: "" });
    expect(await eventually(() => one.counted() > before)).toBe(true);
  });

  test("a restored container lives in cgroups of its own with the config's limits, and leaves none", async () => {
    await using one = new Subject(gantry, counter, (config) => {
      Object.assign(config.linux, { resources: { pids: { limit: 33 } } });
    });
    await one.start();
    await one.goesOn();
    await one.checkpoint();
    await one.restore();
    const stored = JSON.parse(readFileSync(join(one.directory, "state", one.id, "container.json"), "utf8")) as { cgroups: string[] };
    const limits = stored.cgroups.map((path) => join(path, "pids.max")).filter((path) => existsSync(path));
    expect(limits.map((path) => readFileSync(path, "utf8"))).toEqual(["33\n"]);
    const { pid } = JSON.parse((await one.run("state", one.id)).stdout) as { pid: number };
    expect(readFileSync(join(stored.cgroups[0] ?? "", "cgroup.procs"), "utf8").split("\n")).toContain(String(pid));
    expect((await one.run("delete", "--force", one.id)).code).toBe(0);
    expect(stored.cgroups.filter((path) => existsSync(path))).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(one.directory);
  });

  test("a container in a user namespace, whose devices are the host's", async () => {
    await using one = new Subject(gantry, counter, (config) => {
      config.linux.namespaces.push({ type: "user" });
      config.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 65_536 }];
      config.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 65_536 }];
    });
    expect(await one.start()).toEqual({ code: 0, output: "" });
    await one.goesOn();
    expect(await one.checkpoint()).toMatchObject({ code: 0 });
    expect(await one.restore()).toEqual({ code: 0, output: "" });
    expect(await one.goesOn()).toBe(true);
  });

  // criu insists that a file has the size that it had, so it is the same one.
  test("a container whose output is a file of the host goes on writing to it", async () => {
    await using one = new Subject(gantry, counter.replace("do ", "do echo $i; "));
    const output = join(one.directory, "output");
    const start = (...words: readonly string[]): Promise<Ended> => {
      const command = [...gantry.command, "--root", join(one.directory, "state"), ...words, "--detach", "--bundle", one.bundle, one.id];
      return execute(["sh", "-c", '"$@" </dev/null >>"$0" 2>&1', output, ...command]);
    };
    expect((await start("run")).code).toBe(0);
    await one.goesOn();
    expect(await one.checkpoint()).toMatchObject({ code: 0 });
    const lines = (): string[] => readFileSync(output, "utf8").trim().split("\n");
    const before = lines().length;
    expect((await start("restore", "--image-path", one.image)).code).toBe(0);
    expect(await eventually(() => lines().length > before + 3)).toBe(true);
    expect(lines()).toEqual(lines().map((_, index) => String(index)));
  });

  test("a hook that fails during restore ends all that criu has made", async () => {
    await using one = new Subject(gantry, counter, (config, directory) => {
      config.hooks = {
        createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", `[ ! -e ${directory}/fail ] || { echo not today; exit 1; }`] }],
      };
    });
    await one.start();
    await one.goesOn();
    await one.checkpoint();
    const before = one.counted();
    writeFileSync(join(one.directory, "fail"), "");
    const { code, output } = await one.restore();
    expect(code).toBe(1);
    expect(output).toContain("not today");
    expect(readdirSync(join(one.directory, "state"))).toEqual([]);
    expect(one.counted()).toBe(before);
  });
});

test.skipIf(unable !== undefined)(`podman's questions are answered as it expects${skipped(unable)}`, async () => {
  expect((await execute([runtimePath, "checkpoint", "--help"])).code).toBe(0);
  const { code, stderr } = await execute([runtimePath, "restore", "--lsm-mount-context"]);
  expect(code).not.toBe(0);
  expect(stderr).toContain("flag needs an argument");
});
