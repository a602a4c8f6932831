/** Programs that are kept for the next container: used when everything is the same but names, and never otherwise. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { sumOf } from "#runtime/cache/entry.ts";
import { patient } from "../support/slowness.ts";
import {
  eventually,
  execute,
  hasV1,
  hasRunc,
  makeBundle,
  removeCgroup,
  runtimePath,
  unable,
  writeConfig,
  type BundleConfig,
  type Ended,
} from "./gantry-harness.ts";

const reason = unable ?? (hasRunc ? undefined : "runc is not installed, which writes the configs of these tests");
const scratch = reason === undefined ? mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-cache-")) : "";
afterAll(() => {
  if (scratch !== "") rmSync(scratch, { recursive: true, force: true });
});
let count = 0;
const longAgo = new Date("2001-02-03");

/** On a machine with cgroup v2 alone `runc spec` adds a cgroup namespace, in which a container would not see its name. */
function withoutCgroupNamespace(config: BundleConfig): void {
  const linux = config.linux as unknown as { namespaces: { readonly type: string }[] };
  linux.namespaces = linux.namespaces.filter(({ type }) => type !== "cgroup");
}

type Config = BundleConfig & { mounts: object[]; annotations?: Record<string, string>; hooks?: object };

/** A bundle and a state root of its own. */
class Subject {
  readonly directory = join(scratch, `subject-${count++}`);
  readonly root = join(this.directory, "state");
  readonly bundle: string;
  readonly programs = join(this.directory, "cache");
  readonly env: Readonly<Record<string, string>> = { GANTRY_CACHE: this.programs };

  constructor(script: string, change: (config: Config) => void = () => undefined) {
    this.bundle = makeBundle(join(this.directory, "bundle"), (config) => {
      withoutCgroupNamespace(config);
      config.process.args = ["/bin/busybox", "sh", "-c", script];
      change(config as Config);
    });
  }

  run(id: string, options: { words?: readonly string[]; env?: Record<string, string>; before?: readonly string[] } = {}): Promise<Ended> {
    const { words = [], env = {}, before = [] } = options;
    return execute([...before, runtimePath, "--root", this.root, "run", "--bundle", this.bundle, ...words, id], {
      env: { ...this.env, ...env },
    });
  }

  /** The kept programs; waits until there are `wanted`, since they are written when the container is under way already. */
  async entries(wanted: number): Promise<string[]> {
    const found = (): string[] =>
      existsSync(this.programs) ? readdirSync(this.programs).filter((name) => /^[0-9a-f]{16}$/.test(name)) : [];
    await eventually(() => found().length >= wanted);
    return found().map((name) => join(this.programs, name));
  }

  /** Runs a container whose program is kept, and returns the path of that. */
  async keep(id: string): Promise<string> {
    expect((await this.run(id)).code).toBe(0);
    const [path] = await this.entries(1);
    if (path === undefined) throw new Error("no program was kept");
    utimesSync(path, longAgo, longAgo);
    return path;
  }
}

/** Whether the kept program was used since `keep`: using one renews its time. One that is written anew has another inode. */
async function isUsed(path: string, act: () => Promise<unknown>): Promise<boolean> {
  const before = statSync(path);
  await act();
  const after = statSync(path, { throwIfNoEntry: false });
  return after?.ino === before.ino && after.mtime > longAgo;
}

/** Changes the bytes of a kept program and makes its checksum right again. */
function forge(path: string, change: (entry: Buffer) => void): void {
  const entry = readFileSync(path);
  change(entry);
  entry.writeBigUInt64LE(sumOf(entry.subarray(16)), 8);
  writeFileSync(path, entry);
  utimesSync(path, longAgo, longAgo);
}

/** Writes another word of the same length everywhere: only who uses the entry shows it. */
function replaceAll(entry: Buffer, word: string, other: string): void {
  // The form, in which the config is, stays.
  for (let at = entry.indexOf(word, 64 + entry.readUInt32LE(48)); at >= 0; at = entry.indexOf(word, at + 1)) entry.write(other, at);
}

describe.skipIf(reason !== undefined)(`the program cache${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  test("the next container of a bundle is made without the compiler, with a name of its own", async () => {
    const subject = new Subject("cat /proc/self/cgroup");
    // On cgroup v2 the first container of a machine changes what the compiler has asked: controllers are handed down from then on.
    await subject.run("before", { env: { GANTRY_NO_CACHE: "1" } });
    const path = await subject.keep("first");
    let second: Ended | undefined;
    expect(await isUsed(path, async () => (second = await subject.run("other")))).toBe(true);
    expect(second?.stdout).toContain("/other");
    expect(second?.stdout).not.toContain("/first");
    expect((await subject.run("a-longer-name")).stdout).toContain("/a-longer-name");
  });

  test("so is a container of another bundle, when only names differ that an engine has made up", async () => {
    const ids = ["1a".repeat(32), "2b".repeat(32)] as const;
    const root = join(scratch, `engine-${count++}`, "state");
    const cache = join(root, "../cache");
    const outputs: string[] = [];
    const paths: string[] = [];
    for (const [number, id] of ids.entries()) {
      const bundle = makeBundle(join(root, "..", "bundles", id), (config) => {
        withoutCgroupNamespace(config);
        config.hostname = id.slice(0, 12);
        config.process.args = ["/bin/busybox", "sh", "-c", "hostname; cat /data/word; head -1 /proc/self/cgroup"];
        config.linux.cgroupsPath = `/gantry-test/${id}`;
        (config as Config).annotations = { "com.example.container": id };
        (config as Config).mounts.push({
          destination: "/data",
          type: "bind",
          source: join(root, "..", "bundles", id, "data"),
          options: ["rbind"],
        });
      });
      mkdirSync(join(bundle, "data"));
      writeFileSync(join(bundle, "data/word"), `data of ${number}\n`);
      const words = ["run", "--bundle", bundle, "--pid-file", join(bundle, "pid"), id];
      const ended = await execute([runtimePath, "--root", root, ...words], { env: { GANTRY_CACHE: cache } });
      expect([ended.code, ended.stderr]).toEqual([0, ""]);
      outputs.push(ended.stdout);
      await eventually(() => existsSync(cache) && readdirSync(cache).length > 0);
      paths.push(...readdirSync(cache));
      expect(readFileSync(join(bundle, "pid"), "utf8")).toMatch(/^\d+$/);
    }
    expect(paths[1]).toBe(paths[0] ?? "");
    expect(paths).toHaveLength(2);
    for (const [number, id] of ids.entries()) {
      expect(outputs[number]).toStartWith(`${id.slice(0, 12)}\ndata of ${number}\n`);
      expect(outputs[number]).toContain(`/gantry-test/${id}`);
    }
  });

  test("create, start, state, kill and delete of a container from the cache know its own name", async () => {
    const subject = new Subject("sleep 100");
    const call = (...words: string[]): Promise<Ended> => execute([runtimePath, "--root", subject.root, ...words], { env: subject.env });
    // Files: a created container would keep a pipe open.
    const create = async (id: string): Promise<number> => {
      const words = [runtimePath, "--root", subject.root, "create", "--bundle", subject.bundle, id];
      return Bun.spawn(words, { stdin: "ignore", stdout: "ignore", stderr: "ignore", env: { ...process.env, ...subject.env } }).exited;
    };
    expect(await create("one")).toBe(0);
    const [path = ""] = await subject.entries(1);
    utimesSync(path, longAgo, longAgo);
    expect(await isUsed(path, () => create("two"))).toBe(true);
    for (const id of ["one", "two"]) {
      expect(JSON.parse((await call("state", id)).stdout)).toMatchObject({ id, status: "created", bundle: subject.bundle });
      expect((await call("start", id)).code).toBe(0);
      expect((await call("kill", id, "KILL")).code).toBe(0);
    }
    const listed = JSON.parse((await call("list", "--format", "json")).stdout) as { id: string }[];
    expect(listed.map(({ id }) => id)).toEqual(["one", "two"]);
    for (const id of ["one", "two"]) {
      await eventually(async () => (await call("state", id)).stdout.includes('"stopped"'));
      expect((await call("delete", id)).code).toBe(0);
    }
    expect(readdirSync(subject.root)).toEqual([]);
  });

  test("an id that is taken is refused in the same words as without the cache", async () => {
    const subject = new Subject("true");
    await subject.keep("one");
    const words = [runtimePath, "--root", subject.root, "create", "--bundle", subject.bundle, "two"];
    await Bun.spawn(words, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited;
    const cached = await subject.run("two");
    expect(cached).toEqual(await subject.run("two", { env: { GANTRY_NO_CACHE: "1" } }));
    expect(cached.code).toBe(1);
    expect(cached.stderr).toContain("a container with that id exists");
    expect((await execute([runtimePath, "--root", subject.root, "delete", "--force", "two"])).code).toBe(0);
  });

  test("GANTRY_NO_CACHE=1 neither keeps programs nor uses them", async () => {
    const subject = new Subject("true");
    const env = { GANTRY_NO_CACHE: "1" };
    expect((await subject.run("one", { env })).code).toBe(0);
    await Bun.sleep(100);
    expect(existsSync(subject.programs)).toBe(false);
    const path = await subject.keep("two");
    expect(await isUsed(path, () => subject.run("three", { env }))).toBe(false);
  });

  test("who reads a container's output to its end does not wait until its program is kept", async () => {
    let isEarlier = 0;
    for (let run = 0; run < 10 && isEarlier === 0; run++) {
      const subject = new Subject("echo done");
      expect((await subject.run("one")).stdout).toContain("done");
      if (!existsSync(subject.programs) || readdirSync(subject.programs).length === 0) isEarlier++;
      await subject.entries(1);
    }
    expect(isEarlier).toBe(1);
  });

  test("GANTRY_NO_CACHE=1 leaves a container the programs that its own create has made, GANTRY_NO_FRONT=1 does not use them", async () => {
    const subject = new Subject("true");
    const call = (env: Readonly<Record<string, string>>, ...words: string[]): Promise<Ended> =>
      execute([runtimePath, "--root", subject.root, ...words], { env });
    const created = [runtimePath, "--root", subject.root, "create", "--bundle", subject.bundle, "one"];
    const env = { ...process.env, GANTRY_NO_CACHE: "1" };
    expect(await Bun.spawn(created, { env, stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited).toBe(0);
    // Only the compiler needs the record.
    renameSync(join(subject.root, "one/container.json"), join(subject.root, "one/kept"));
    expect((await call({ GANTRY_NO_CACHE: "1" }, "state", "one")).code).toBe(0);
    expect((await call({ GANTRY_NO_FRONT: "1" }, "state", "one")).code).toBe(1);
    expect((await call({ GANTRY_NO_CACHE: "1" }, "delete", "--force", "one")).code).toBe(0);
  });

  describe("is not used when", () => {
    test("the config is another", async () => {
      const subject = new Subject("echo one");
      const path = await subject.keep("a");
      writeConfig(subject.bundle, (config) => (config.process.args = ["/bin/busybox", "sh", "-c", "echo two"]));
      let second: Ended | undefined;
      expect(await isUsed(path, async () => (second = await subject.run("b")))).toBe(false);
      expect(second?.stdout).toBe("two\n");
    });

    test("what is to be mounted became a file where it was a directory", async () => {
      const source = join(scratch, `source-${count++}`);
      mkdirSync(source);
      const subject = new Subject("test -d /data && echo directory; test -f /data && echo file; true", (config) => {
        config.mounts.push({ destination: "/data", type: "bind", source, options: ["rbind"] });
        config.root.readonly = false;
      });
      const path = await subject.keep("a");
      rmSync(source, { recursive: true });
      rmSync(join(subject.bundle, "rootfs/data"), { recursive: true });
      writeFileSync(source, "");
      let second: Ended | undefined;
      expect(await isUsed(path, async () => (second = await subject.run("b")))).toBe(false);
      expect([second?.stdout, second?.stderr]).toEqual(["file\n", ""]);
    });

    test("the caller may do less", async () => {
      const subject = new Subject("grep CapBnd /proc/self/status");
      const path = await subject.keep("a");
      const before = ["setpriv", "--bounding-set", "-chown,-net_admin", "--inh-caps", "-all"];
      expect(await isUsed(path, () => subject.run("b", { before }))).toBe(false);
    });

    test("the caller sees other mounts of cgroups", async () => {
      const subject = new Subject("true");
      const path = await subject.keep("a");
      expect(await isUsed(path, () => subject.run("b", { before: ["unshare", "--mount"] }))).toBe(false);
    });

    test("the caller is in another cgroup", async () => {
      const subject = new Subject("true");
      const path = await subject.keep("a");
      const hierarchy = hasV1 ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup";
      const cgroup = join(hierarchy, `gantry-cache-test-${process.pid}`);
      mkdirSync(cgroup);
      const before = ["/bin/sh", "-c", `echo $$ > ${cgroup}/cgroup.procs && exec "$@"`, "sh"];
      expect(await isUsed(path, () => subject.run("b", { before }))).toBe(false);
      await removeCgroup(cgroup);
    });

    test("warnings would be told", async () => {
      const subject = new Subject("true", (config) => {
        (config.process as unknown as { capabilities: object }).capabilities = { ambient: ["CAP_KILL"] };
      });
      const path = await subject.keep("a");
      const log = join(subject.directory, "log");
      const told = (): Promise<Ended> =>
        execute([runtimePath, "--root", subject.root, "--log", log, "run", "--bundle", subject.bundle, "b"], { env: subject.env });
      for (let time = 1; time <= 2; time++) {
        expect(await isUsed(path, told)).toBe(false);
        expect(readFileSync(log, "utf8").match(/CAP_KILL/g)).toHaveLength(time);
      }
    });

    // A forged entry that is used makes the container say "evil": the tests that follow show that theirs is not.
    const forged = async (): Promise<{ subject: Subject; path: string }> => {
      const subject = new Subject("echo good");
      const path = await subject.keep("a");
      forge(path, (entry) => replaceAll(entry, "echo good", "echo evil"));
      return { subject, path };
    };

    test("(it would be, by who may write there)", async () => {
      const { subject } = await forged();
      expect((await subject.run("b")).stdout).toBe("evil\n");
    });

    test.each<readonly [string, (path: string) => void]>([
      ["its bytes are damaged", (path) => writeFileSync(path, readFileSync(path).fill(0, 2000, 2001 + 8))],
      ["a part of it is missing", (path) => writeFileSync(path, readFileSync(path).subarray(0, -8))],
      ["something follows it", (path) => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(8)]))],
      ["it is empty", (path) => writeFileSync(path, "")],
      ["its sizes lie", (path) => forge(path, (entry) => entry.writeUInt32LE(0xfffffff8, 56))],
      [
        "its holes lie outside",
        (path) => forge(path, (entry) => entry.writeUInt32LE(0xfffffff0, 64 + Math.ceil(entry.readUInt32LE(48) / 8) * 8)),
      ],
      ["another compiler has written it", (path) => forge(path, (entry) => entry.writeBigUInt64LE(entry.readBigUInt64LE(32) + 1n, 32))],
      ["it belongs to somebody else", (path) => chownSync(path, 65534, 65534)],
      ["others may read or write it", (path) => chmodSync(path, 0o644)],
      ["it is a link", (path) => (renameSync(path, `${path}.real`), symlinkSync(`${path}.real`, path))],
      ["its directory is open to others", (path) => chmodSync(join(path, ".."), 0o755)],
      ["its directory belongs to somebody else", (path) => chownSync(join(path, ".."), 65534, 65534)],
      [
        "its directory is a link",
        (path) => (renameSync(join(path, ".."), join(path, "../../real")), symlinkSync("real", join(path, ".."))),
      ],
    ])("%s", async (_, spoil) => {
      const { subject, path } = await forged();
      spoil(path);
      const { stdout, stderr, code } = await subject.run("b");
      expect([stdout, stderr, code]).toEqual(["good\n", "", 0]);
    });

    test("any one bit of it is another", async () => {
      const subject = new Subject("echo good");
      const path = await subject.keep("a");
      const entry = readFileSync(path);
      for (let sample = 0; sample < 24; sample++) {
        const bad = Buffer.from(entry);
        const at = Math.floor((entry.length * sample) / 24) + sample;
        bad.writeUInt8(bad.readUInt8(at) ^ (1 << (sample % 8)), at);
        writeFileSync(path, bad);
        chmodSync(path, 0o600);
        utimesSync(path, longAgo, longAgo);
        expect((await subject.run(`b${sample}`)).stdout).toBe("good\n");
      }
    });
  });

  const manyTest = async (): Promise<void> => {
    const subject = new Subject("true");
    for (let number = 0; number < 70; number++) {
      writeConfig(subject.bundle, (config) => {
        config.process.args = ["/bin/busybox", "true", String(number)];
      });
      await subject.run(`c${number}`);
    }
    expect(await eventually(() => readdirSync(subject.programs).length === 64)).toBe(true);
  };
  test("not more than 64 programs are kept", manyTest, patient(180_000));
});
