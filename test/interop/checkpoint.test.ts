/** podman's checkpoints: in place, and as an archive from which another container is made. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "../root/gantry-harness.ts";
import { whyNoCriu } from "../support/criu.ts";
import { missing, Podman, title } from "./clients.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(180_000));
const reason = missing("podman") ?? (await whyNoCriu());
if (reason !== undefined) console.log(`skipped: ${reason}`);
const podman = reason === undefined ? new Podman() : (undefined as unknown as Podman);
const counter = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done";

/** The last number that the container has written. */
async function counted(name: string): Promise<number> {
  const lines = (await podman.output("logs", name)).split("\n");
  return Number(lines.at(-1));
}

function status(name: string): Promise<string> {
  return podman.output("inspect", name, "--format", "{{.State.Status}}");
}

describe.skipIf(reason !== undefined)(title("podman container checkpoint", reason), () => {
  beforeAll(() => podman.load());
  afterAll(() => podman.close());

  test("a container goes on where it was when it is restored", async () => {
    await podman.start("one", counter);
    expect(await eventually(async () => (await counted("one")) > 3)).toBe(true);
    await podman.output("container", "checkpoint", "one");
    expect(await status("one")).toBe("exited");
    const before = await counted("one");
    await podman.output("container", "restore", "one");
    expect(await status("one")).toBe("running");
    expect(await eventually(async () => (await counted("one")) > before + 3)).toBe(true);
    // Nothing was left out, and nothing was counted twice.
    const lines = (await podman.output("logs", "one")).split("\n").map(Number);
    expect(lines).toEqual(lines.map((_, index) => index + 1));
    expect((await podman.podman("exec", "one", "sh", "-c", "exit 5")).code).toBe(5);
    await podman.output("rm", "-f", "-t", "0", "one");
  });

  test("--leave-running lets it go on", async () => {
    await podman.start("two", counter);
    expect(await eventually(async () => (await counted("two")) > 1)).toBe(true);
    await podman.output("container", "checkpoint", "--leave-running", "two");
    expect(await status("two")).toBe("running");
    const before = await counted("two");
    expect(await eventually(async () => (await counted("two")) > before)).toBe(true);
    await podman.output("rm", "-f", "-t", "0", "two");
  });

  test("an archive becomes another container, with the files that the first had written and its volumes", async () => {
    const archive = join(podman.directory, "three.tar.gz");
    await podman.output("volume", "create", "kept");
    await podman.start("three", `echo mine > /mark; echo shared > /kept/mark; ${counter}`, "-v", "kept:/kept");
    expect(await eventually(async () => (await counted("three")) > 3)).toBe(true);
    await podman.output("container", "checkpoint", "--export", archive, "--ignore-volumes", "three");
    const before = await counted("three");
    await podman.output("rm", "three");
    await podman.output("container", "restore", "--import", archive, "--ignore-volumes", "--name", "four");
    expect(await eventually(async () => (await counted("four")) > before)).toBe(true);
    expect(await podman.output("exec", "four", "cat", "/mark", "/kept/mark")).toBe("mine\nshared");
    await podman.output("rm", "-f", "-t", "0", "four");
  });
});
