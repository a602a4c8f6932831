/** The life of a container from create to delete, the same for every runtime that is here; then what is Gantry's own. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { concerns, type PeerDifference } from "./known-differences.ts";
import { patient } from "../support/slowness.ts";
import { subjects } from "./subjects.ts";
import { eventually, hasRunc, makeBundle, runtimePath, unable, unableHere, writeConfig, type BundleConfig } from "./gantry-harness.ts";

interface State {
  readonly status: string;
  readonly pid: number;
  readonly id: string;
  readonly bundle: string;
}

interface HookedConfig extends BundleConfig {
  hooks?: Record<string, { path: string; args: string[]; env?: string[]; timeout?: number }[]>;
}

const reason = unableHere ?? (hasRunc ? undefined : "runc is not installed, which writes the configs of these tests");
const scratch = reason === undefined ? mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-lifecycle-")) : "";
afterAll(() => {
  if (scratch !== "") rmSync(scratch, { recursive: true, force: true });
});
let count = 0;

/** One runtime with a state root and a bundle of its own. Output goes to files: a created container keeps them open. */
class Subject {
  readonly root: string;
  readonly bundle: string;
  readonly id: string = `life-${process.pid}-${count++}`;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;

  constructor(command: readonly string[], change: (config: HookedConfig) => void, environment: Readonly<Record<string, string>> = {}) {
    this.root = join(scratch, this.id, "state");
    this.bundle = makeBundle(join(scratch, this.id), change);
    this.command = command;
    this.environment = environment;
  }

  async run(...words: readonly string[]): Promise<{ code: number; output: string; errors: string }> {
    const call = count++;
    const [output, errors] = [join(this.bundle, `out-${call}`), join(this.bundle, `err-${call}`)];
    const child = Bun.spawn([...this.command, "--root", this.root, ...words], {
      stdin: "ignore",
      stdout: Bun.file(output),
      stderr: Bun.file(errors),
      timeout: patient(60_000),
      env: { ...process.env, ...this.environment },
    });
    const code = await child.exited;
    return { code, output: readFileSync(output, "utf8"), errors: readFileSync(errors, "utf8") };
  }

  async state(): Promise<State> {
    return JSON.parse((await this.run("state", this.id)).output) as State;
  }

  create(): Promise<{ code: number; output: string; errors: string }> {
    return this.run("create", "--bundle", this.bundle, this.id);
  }
}

const script = (text: string): ((config: HookedConfig) => void) => {
  return (config) => {
    config.process.args = ["/bin/busybox", "sh", "-c", text];
    config.root.readonly = false;
  };
};

/** What callers look for when there is no such container; crun before 1.9 names a file instead. */
const isUnknown = /does not exist|\/status`: No such file or directory/;
const deaf: PeerDifference = {
  peer: "crun",
  why: "its first process has no handler, so the kernel drops it; no section: pid_namespaces(7)",
};

/** Tests of what only Gantry does. */
const own = test.skipIf(unable !== undefined);

describe.skipIf(reason !== undefined)(`the life of a container${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  for (const asked of subjects) {
    const { name, command, environment } = asked;
    const subject = (change: (config: HookedConfig) => void): Subject => new Subject(command, change, environment);

    test(`${name}: created, running, stopped, gone`, async () => {
      const one = subject(script("exec /bin/busybox sleep 100"));
      expect(await one.create()).toMatchObject({ code: 0 });
      expect(await one.state()).toMatchObject({ status: "created", id: one.id, bundle: one.bundle });
      expect((await one.run("start", one.id)).code).toBe(0);
      expect((await one.state()).status).toBe("running");
      expect((await one.run("kill", one.id, "KILL")).code).toBe(0);
      expect(await eventually(async () => (await one.state()).status === "stopped")).toBe(true);
      expect((await one.run("delete", one.id)).code).toBe(0);
      expect((await one.run("state", one.id)).errors).toMatch(isUnknown);
      expect(existsSync(join(one.root, one.id))).toBe(false);
    });

    test(`${name}: what the state does not allow is refused`, async () => {
      const one = subject(script("exec /bin/busybox sleep 100"));
      expect((await one.run("start", one.id)).code).toBe(1);
      expect((await one.run("kill", one.id, "9")).code).toBe(1);
      expect((await one.run("delete", one.id)).code).toBe(1);
      expect((await one.run("delete", "--force", one.id)).code).toBe(0);
      await one.create();
      expect((await one.create()).code).toBe(1);
      await one.run("start", one.id);
      expect((await one.run("start", one.id)).code).toBe(1);
      expect((await one.run("delete", one.id)).code).toBe(1);
      expect((await one.state()).status).toBe("running");
      expect((await one.run("delete", "--force", one.id)).code).toBe(0);
      expect((await one.run("kill", one.id, "9")).errors).toMatch(isUnknown);
    });

    test(`${name}: a created container that gets SIGTERM ends${concerns(deaf, asked) ? ` (differs: ${deaf.why})` : ""}`, async () => {
      const one = subject(script("exec /bin/busybox sleep 100"));
      await one.create();
      await one.run("kill", one.id, "TERM");
      if (concerns(deaf, asked)) {
        await Bun.sleep(300);
        expect((await one.state()).status).toBe("created");
        expect((await one.run("delete", "--force", one.id)).code).toBe(0);
        return;
      }
      expect(await eventually(async () => (await one.state()).status === "stopped")).toBe(true);
      expect((await one.run("delete", one.id)).code).toBe(0);
    });

    test(`${name}: a program that is not there is known at create, and nothing is left`, async () => {
      const one = subject((config) => {
        config.process.args = ["no-such-program"];
      });
      const { code, errors } = await one.create();
      expect(code).toBe(1);
      expect(errors).toMatch(/executable file .*not found in \$PATH/);
      const left = existsSync(one.root) ? readdirSync(one.root) : [];
      // crun keeps things of its own here.
      expect(left.filter((found) => !found.startsWith("."))).toEqual([]);
    });

    test(`${name}: exec joins the container and ends with the exit code of its process`, async () => {
      const one = subject(script("echo here > /tmp/mark; exec /bin/busybox sleep 100"));
      await one.create();
      await one.run("start", one.id);
      const look = "i=0; until [ -s /tmp/mark ] || [ $i -ge 100 ]; do i=$((i+1)); sleep 0.2; done; cat /tmp/mark; exit 9";
      expect(await one.run("exec", one.id, "/bin/busybox", "sh", "-c", look)).toMatchObject({ code: 9, output: "here\n" });
      await one.run("delete", "--force", one.id);
    });

    test(`${name}: pause holds the container, resume lets it go`, async () => {
      const one = subject(script("exec /bin/busybox sleep 100"));
      await one.create();
      await one.run("start", one.id);
      expect((await one.run("pause", one.id)).code).toBe(0);
      expect((await one.state()).status).toBe("paused");
      expect((await one.run("resume", one.id)).code).toBe(0);
      expect((await one.state()).status).toBe("running");
      await one.run("delete", "--force", one.id);
    });
  }

  own("hooks run in their order, with the state on standard input", async () => {
    const one = new Subject([runtimePath], script("echo program >> /log"));
    const log = join(one.bundle, "rootfs", "log");
    const note = (word: string): { path: string; args: string[] } => ({
      path: "/bin/sh",
      args: ["sh", "-c", `read -r state; echo "${word} $(echo "$state" | sed 's/.*"status":"\\([a-z]*\\)".*/\\1/')" >> ${log}`],
    });
    writeConfig(one.bundle, (config: HookedConfig) => {
      script("echo program >> /log; exec /bin/busybox sleep 100")(config);
      const kinds = ["prestart", "createRuntime", "createContainer", "poststart"];
      config.hooks = Object.fromEntries(kinds.map((kind) => [kind, [note(kind)]]));
      // The container's files are gone by then.
      config.hooks["poststop"] = [{ path: "/bin/sh", args: ["sh", "-c", `echo poststop >> ${log}`] }];
    });
    expect(await one.create()).toMatchObject({ code: 0 });
    expect((await one.run("start", one.id)).code).toBe(0);
    await eventually(() => readFileSync(log, "utf8").includes("program"));
    await one.run("delete", "--force", one.id);
    const lines = readFileSync(log, "utf8").trim().split("\n");
    expect(lines.slice(0, 3)).toEqual(["prestart created", "createRuntime created", "createContainer created"]);
    expect(lines.slice(3, 5).toSorted()).toEqual(["poststart running", "program"]);
    expect(lines[5]).toBe("poststop");
  });

  own("a hook that fails or takes too long stops the container, and what it wrote is shown", async () => {
    for (const [hook, says] of [
      [{ path: "/bin/sh", args: ["sh", "-c", "echo this is why; exit 3"] }, "this is why"],
      [{ path: "/bin/sleep", args: ["sleep", "60"], timeout: 1 }, "timed out"],
      [{ path: "/no/such/hook", args: ["x"] }, "no such file"],
    ] as const) {
      const one = new Subject([runtimePath], script("true"));
      writeConfig(one.bundle, (config: HookedConfig) => {
        config.hooks = { createRuntime: [{ ...hook, args: [...hook.args] }] };
      });
      const { code, errors } = await one.create();
      expect(code).toBe(1);
      expect(errors).toContain(says);
      expect(readdirSync(one.root)).toEqual([]);
    }
  });

  own("a poststop hook that fails is warned of by delete and run, in the log too, and nothing is left", async () => {
    for (const environment of [{}, { GANTRY_NO_CACHE: "1" }, { GANTRY_NO_FRONT: "1" }]) {
      const one = new Subject([runtimePath], script("true"), environment);
      writeConfig(one.bundle, (config: HookedConfig) => {
        script("true")(config);
        config.hooks = { poststop: [{ path: "/bin/sh", args: ["sh", "-c", "echo this is why >&2; exit 3"] }] };
      });
      const log = join(one.bundle, "log");
      await one.create();
      await one.run("start", one.id);
      await eventually(async () => (await one.state()).status === "stopped");
      const deleted = await one.run("--log", log, "--log-format", "json", "delete", one.id);
      expect(deleted.code).toBe(0);
      expect(deleted.errors).toMatch(
        /^this is why\ngantry-runtime: warning: cannot run the hook .* it ended with exit code 3 \(\/hooks\/poststop\/0\)\n$/,
      );
      expect(JSON.parse(readFileSync(log, "utf8"))).toMatchObject({ level: "warning" });
      // The config may be gone by then; the second time the program comes from the cache.
      for (let time = 0; time < 2; time++) {
        const ran = await one.run("run", "--bundle", one.bundle, one.id);
        expect(ran).toMatchObject({ code: 0, errors: deleted.errors });
      }
      expect(readdirSync(one.root)).toEqual([]);
    }
  });

  own("a prepared program that others could have written is not run", async () => {
    const one = new Subject([runtimePath], script("exec /bin/busybox sleep 100"));
    await one.create();
    writeFileSync(join(one.root, one.id, "state.program"), "GNTRYPRG nonsense", { mode: 0o666 });
    Bun.spawnSync(["chmod", "666", join(one.root, one.id, "state.program")]);
    expect((await one.state()).status).toBe("created");
    await one.run("delete", "--force", one.id);
  });
});
