/** Containers that share namespaces: pods, `container:NAME`, and pods from a Kubernetes document. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../root/gantry-harness.ts";
import { missing, Podman, title } from "./clients.ts";
import { patient } from "../support/slowness.ts";

setDefaultTimeout(patient(120_000));
const reason = missing("podman");
const podman = reason === undefined ? new Podman() : (undefined as unknown as Podman);

describe.skipIf(reason !== undefined)(title("pods of podman", reason), () => {
  beforeAll(() => podman.load());
  afterAll(() => podman.close());

  test("the containers of a pod share what it is told to share", async () => {
    const infra = ["--infra-image", "tiny", "--infra-command", "/bin/sleep 1000"];
    await podman.output(
      "pod",
      "create",
      "--name",
      "pod",
      "--network",
      "none",
      "--share",
      "ipc,uts,net,pid",
      "--hostname",
      "shared",
      ...infra,
    );
    await podman.output("run", "-d", "--pod", "pod", "--name", "member", "tiny", "sleep", "1000");
    // A program is executed shortly after `start` has returned.
    const comms = (): Promise<string> => podman.output("pod", "top", "pod", "comm");
    expect(await eventually(async () => /sleep\n+sleep/.test(await comms()))).toBe(true);
    const look = "hostname; ps | grep -c '[s]leep 1000'; for n in ipc uts net pid mnt; do busybox readlink /proc/self/ns/$n; done";
    const [host, sleepers, ...spaces] = (await podman.output("run", "--rm", "--pod", "pod", "tiny", "/bin/sh", "-c", look)).split("\n");
    expect([host, sleepers]).toEqual(["shared", "2"]);
    const read = "for n in ipc uts net pid mnt; do busybox readlink /proc/self/ns/$n; done";
    const others = (await podman.output("exec", "member", "/bin/sh", "-c", read)).split("\n");
    expect(spaces.map((space, index) => space === others[index])).toEqual([true, true, true, true, false]);
    await podman.output("pod", "pause", "pod");
    expect(await podman.output("pod", "ps", "--format", "{{.Status}}")).toBe("Paused");
    await podman.output("pod", "unpause", "pod");
    const counts = (): Promise<string> => podman.output("pod", "stats", "--no-stream", "pod", "--format", "{{.PIDS}}");
    expect(await eventually(async () => (await counts()).split("\n").slice(-2).join() === "1,1")).toBe(true);
    await podman.output("pod", "stop", "-t", "0", "pod");
    await podman.output("pod", "start", "pod");
    expect(await eventually(async () => (await podman.output("pod", "ps", "--format", "{{.Status}}")) === "Running")).toBe(true);
    await podman.output("pod", "rm", "-f", "-t", "0", "pod");
  });

  test("a pod with podman's own first process", async () => {
    await podman.output("pod", "create", "--name", "plain", "--network", "none");
    expect(await podman.output("run", "--rm", "--pod", "plain", "tiny", "hostname")).toBe("plain");
    await podman.output("pod", "rm", "-f", "-t", "0", "plain");
  });

  test("a container joins the namespaces of another", async () => {
    await podman.start("host", "exec sleep 1000", "--hostname", "given");
    const joined = ["network", "pid", "ipc", "uts"].map((kind) => `--${kind}=container:host`);
    const look = "hostname; ps | grep -c '[s]leep 1000'; for n in ipc uts net pid; do busybox readlink /proc/self/ns/$n; done";
    const theirs = await podman.output("exec", "host", "/bin/sh", "-c", look);
    const { code, stdout } = await podman.podman("run", "--rm", ...joined, "tiny", "/bin/sh", "-c", look);
    expect({ code, stdout: stdout.trim() }).toEqual({ code: 0, stdout: theirs });
    await podman.output("rm", "-f", "-t", "0", "host");
  });

  test("a pod is played from a Kubernetes document", async () => {
    const [volume, document] = [join(podman.directory, "data"), join(podman.directory, "pod.json")];
    mkdirSync(volume);
    writeFileSync(join(volume, "x"), "data\n");
    const container = {
      name: "one",
      image: "localhost/tiny:latest",
      command: ["/bin/sh", "-c", "echo $KEY; cat /data/x; id -u; touch /x 2>/dev/null || echo read-only; grep CapEff /proc/self/status"],
      env: [{ name: "KEY", value: "value" }],
      resources: { limits: { memory: "64Mi", cpu: "500m" } },
      securityContext: { runAsUser: 12, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
      volumeMounts: [{ name: "data", mountPath: "/data" }],
    };
    const spec = {
      hostNetwork: true,
      restartPolicy: "Never",
      containers: [container],
      volumes: [{ name: "data", hostPath: { path: volume } }],
    };
    writeFileSync(document, JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: "kube" }, spec }));
    await podman.output("play", "kube", document);
    const expected = "value\ndata\n12\nread-only\nCapEff:\t0000000000000000";
    expect(await eventually(async () => (await podman.output("logs", "kube-one")) === expected)).toBe(true);
    await podman.output("play", "kube", "--down", document);
    expect(await podman.output("ps", "-a", "-q")).toBe("");
  });
});
