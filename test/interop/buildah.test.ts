/** buildah, which runs its containers by the runtime itself, without a monitor of its own in between. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../support/images/commands.ts";
import { drive } from "../support/terminal.ts";
import type { Ended } from "../root/gantry-harness.ts";
import { missing, Podman, runtime, title } from "./clients.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
const reason = missing("buildah", "podman");
const store = reason === undefined ? new Podman() : (undefined as unknown as Podman);
const isolation = ["--runtime", runtime, "--isolation", "oci", "--network", "none"];

describe.skipIf(reason !== undefined)(title("buildah", reason), () => {
  let container = "";
  const command = (...words: readonly string[]): string[] => ["buildah", ...store.store, ...words];
  const buildah = (...words: readonly string[]): Promise<Ended> => store.execute(command(...words));
  const run = (options: readonly string[], ...words: readonly string[]): Promise<Ended> =>
    buildah("run", ...isolation, ...options, container, "--", ...words);

  /** Builds an image from a Containerfile and takes it away again. */
  async function build(lines: readonly string[], ...options: readonly string[]): Promise<Ended> {
    const directory = join(store.directory, "context");
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "Containerfile"), ["FROM localhost/tiny", ...lines, ""].join("\n"));
    return buildah("build", ...isolation, "--no-cache", ...options, "-f", join(directory, "Containerfile"), directory);
  }

  beforeAll(async () => {
    await store.load();
    container = (await buildah("from", "localhost/tiny")).stdout.trim();
  });
  afterAll(async () => {
    await buildah("rm", "-a");
    await store.close();
  });

  test("run: output, exit codes, and a program that is not there", async () => {
    expect(await run([], "/bin/sh", "-c", "echo out; id -u")).toMatchObject({ code: 0, stdout: "out\n0\n" });
    expect((await run([], "/bin/sh", "-c", "exit 5")).code).toBe(5);
    const none = await run([], "no-such-program");
    expect(none.code).toBe(1);
    expect(none.stderr).toContain("no-such-program");
  });

  test.each<[readonly string[], string, string]>([
    [["--user", "3:4", "--workingdir", "/tmp", "--env", "A=b"], "id -u; id -g; pwd; echo $A", "3\n4\n/tmp\nb\n"],
    [["--hostname", "there"], "hostname", "there\n"],
    [["--mount", "type=tmpfs,dst=/t"], "grep -c ' /t tmpfs' /proc/mounts", "1\n"],
    [["--cap-drop", "all"], "grep CapEff /proc/self/status", "CapEff:\t0000000000000000\n"],
    [["--no-pivot"], "echo on", "on\n"],
  ])("run %j", async (options, script, stdout) => {
    expect(await run(options, "/bin/sh", "-c", script)).toMatchObject({ code: 0, stdout });
  });

  test("what a run writes stays in the container, and a volume is read-only when asked for", async () => {
    writeFileSync(join(store.directory, "given"), "given\n");
    const options = ["-v", `${store.directory}:/v:ro`];
    expect(await run(options, "/bin/sh", "-c", "cat /v/given; echo kept > /kept; touch /v/x")).toMatchObject({
      code: 1,
      stdout: "given\n",
    });
    expect((await run([], "cat", "/kept")).stdout).toBe("kept\n");
  });

  test.skipIf(!installed("python3"))("run -t has a terminal", async () => {
    const script = "busybox tty; read x; echo got $x; exit 3";
    const words = command("run", ...isolation, "-t", container, "--", "/bin/busybox", "sh", "-c", script);
    const ended = await drive([["/dev/pts/0", "send", "line\r"]], words, store.environment);
    expect(ended.text).toContain("got line\r\n");
    expect(ended.code).toBe(3);
  });

  test("build: RUN in the shell and without, as a user, with a mount of its own", async () => {
    const { code, stdout } = await build([
      "RUN echo made > /made && id -u",
      "RUN --mount=type=tmpfs,target=/scratch touch /scratch/x",
      'RUN ["/bin/sh", "-c", "cat /made; ls -d /scratch/x || echo empty"]',
      "USER 12:13",
      "WORKDIR /tmp",
      "ENV A=b",
      "RUN echo $A; id -u; pwd",
    ]);
    expect(code).toBe(0);
    for (const text of ["\nmade\n", "\nempty\n", "\nb\n12\n/tmp\n"]) expect(stdout).toContain(text);
  });

  test("build: a RUN that fails ends the build with its exit code", async () => {
    expect((await build(["RUN exit 9"])).code).toBe(9);
  });

  test("build: limits", async () => {
    const limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    const { code, stdout } = await build([`RUN ulimit -c; ${limit}`], "--memory", "64m", "--ulimit", "core=0:0");
    expect(code).toBe(0);
    expect(stdout).toContain("\n0\n67108864\n");
  });
});
