/** Images made of containers, bundles and images, by the commands that a user has; and that other tools read them alike. */
import { beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { installed } from "../support/images/commands.ts";
import { patient } from "../support/slowness.ts";
import { compareTrees, formatDifference, readTree } from "../support/tree.ts";
import { execute, gantryPath, runtimePath, unable, Workbench, type Ended } from "./gantry-harness.ts";

if (unable !== undefined) console.log(`skipped: images made of images: ${unable}`);

const limit = patient(60_000);

/** Throws with what was said when a command failed. */
function good(ended: Ended): string {
  if (ended.code !== 0) throw new Error(`exit code ${ended.code}: ${ended.stderr}`);
  return ended.stdout;
}

/** M5: nothing says what the root directory is like where no layer has an entry for it. */
const isRoot = ({ path }: { path: string }): boolean => path === ".";
/** umoci before 0.6 rounds times to whole seconds. */
const isRootOrRounded = (one: { path: string; field: string }): boolean =>
  isRoot(one) || (one.path === "by-umoci" && one.field === "mtimeNanos");

describe.skipIf(unable !== undefined)("images made of images", () => {
  const bench = unable === undefined ? new Workbench() : (undefined as unknown as Workbench);
  const gantry = async (...words: string[]): Promise<string> => good(await bench.gantry(...words));
  const at = (name: string): string => join(bench.directory, name);
  beforeAll(async () => bench.load(), limit);

  test(
    "diff lists what a container added, changed and deleted, and nothing that was made for its mounts",
    async () => {
      const script = "echo new >/new; rm /etc/greeting; mkdir /d; echo x >/d/x; chmod 700 /bin; touch /dev/shm/no";
      await gantry("run", "--name", "differs", "tiny", "/bin/busybox", "sh", "-c", script);
      const lines = (await gantry("diff", "differs")).trim().split("\n");
      expect(lines).toEqual(["C /bin", "A /d", "A /d/x", "C /etc", "D /etc/greeting", "A /new"]);
      expect(JSON.parse(await gantry("diff", "--format", "json", "differs"))).toContainEqual({ kind: "D", path: "/etc/greeting" });
    },
    limit,
  );

  test(
    "commit keeps a container's changes, and its command line can edit the config",
    async () => {
      await gantry("run", "--name", "committed", "tiny", "/bin/busybox", "sh", "-c", "echo kept >/kept; rm /etc/greeting; ln /kept /kept2");
      const change = ["--change", 'CMD ["/bin/busybox","cat","/kept2"]', "--change", "ENV A=b", "--message", "m", "--author", "me"];
      await gantry("commit", ...change, "committed", "made:one");
      expect(await gantry("run", "--rm", "made:one")).toBe("kept\n");
      const ended = await bench.gantry("run", "--rm", "made:one", "/bin/busybox", "cat", "/etc/greeting");
      expect(ended.code).toBe(1);
      const [image] = JSON.parse(await gantry("inspect", "--type", "image", "made:one")) as [{ config: Record<string, unknown> }];
      expect(image.config["author"]).toBe("me");
      expect(JSON.stringify(image.config["history"])).toContain('"comment":"m"');
    },
    limit,
  );

  test(
    "W5: commit of the same changes gives the same layer, whenever it is made",
    async () => {
      const env = { SOURCE_DATE_EPOCH: "1000000000" };
      const layers: string[] = [];
      for (const name of ["same1", "same2"]) {
        await gantry("run", "--name", name, "tiny", "/bin/busybox", "sh", "-c", "echo same >/same; mkdir /dir");
        const made = await execute(bench.command("commit", "--format", "json", name), { env });
        layers.push((JSON.parse(good(made)) as { layer: { digest: string } }).layer.digest);
      }
      expect(layers[0]).toBe(layers[1] ?? "");
    },
    limit,
  );

  test(
    "commit holds a running container still, and it goes on",
    async () => {
      const script = 'i=0; echo up; while [ ! -e /stop ]; do i=$((i+1)); echo $i >/a; echo $i >/b; done; echo "down"';
      const started = await bench.start("runs", script);
      await gantry("commit", "runs", "made:running");
      expect(await gantry("run", "--rm", "made:running", "/bin/busybox", "cat", "/a")).toMatch(/^(?:\d+\n)?$/);
      await gantry("rm", "--force", "runs");
      await started.process.exited;
    },
    limit,
  );

  test(
    "V1 V3: unpack makes a bundle that gantry-runtime, runc and crun run, and repack has what was changed",
    async () => {
      await gantry(
        "config",
        "tiny",
        "tiny:configured",
        "--cmd",
        '["/bin/busybox","cat","/etc/greeting"]',
        "--env",
        "A=b",
        "--expose",
        "80",
      );
      await gantry("unpack", "--quiet", "tiny:configured", at("bundle"));
      const config = JSON.parse(readFileSync(join(at("bundle"), "config.json"), "utf8")) as { annotations: Record<string, string> };
      expect(config.annotations["org.opencontainers.image.exposedPorts"]).toBe("80/tcp");
      for (const runtime of [runtimePath, ...["runc", "crun"].filter((name) => installed(name))]) {
        const name = `unpacked-${process.pid}-${runtime.split("/").at(-1) ?? ""}`;
        const ended = await execute([runtime, "--root", at("runtime"), "run", "-b", at("bundle"), name]);
        expect({ runtime, ...ended }).toEqual({ runtime, code: 0, stdout: "hello\n", stderr: "" });
      }
      const rootfs = join(at("bundle"), "rootfs");
      writeFileSync(join(rootfs, "etc/greeting"), "changed\n");
      symlinkSync("greeting", join(rootfs, "etc/link"));
      linkSync(join(rootfs, "etc/greeting"), join(rootfs, "etc/hard"));
      chmodSync(join(rootfs, "bin"), 0o711);
      await gantry("repack", at("bundle"), "tiny:repacked");
      await gantry("unpack", "--quiet", "tiny:repacked", at("again"));
      expect(compareTrees(readTree(rootfs), readTree(join(at("again"), "rootfs")), isRoot).map(formatDifference)).toEqual([]);
    },
    limit,
  );

  test(
    "repack asks for content only where metadata cannot tell: a copy of a bundle with all its times has no changes",
    async () => {
      await gantry("unpack", "--quiet", "tiny", at("copied"));
      const rootfs = join(at("copied"), "rootfs");
      good(await execute(["cp", "-a", rootfs, at("copy")]));
      rmSync(rootfs, { recursive: true });
      good(await execute(["mv", at("copy"), rootfs]));
      const nothing = JSON.parse(await gantry("repack", "--format", "json", at("copied"), "tiny:unchanged")) as { layer?: unknown };
      expect(nothing.layer).toBeUndefined();
      const greeting = join(rootfs, "etc/greeting");
      writeFileSync(greeting, "HELLO\n");
      utimesSync(greeting, 1_700_000_000, 1_700_000_000);
      const something = JSON.parse(await gantry("repack", "--format", "json", at("copied"), "tiny:hidden")) as { layer?: unknown };
      expect(something.layer).toBeDefined();
      expect(await gantry("run", "--rm", "tiny:hidden", "/bin/busybox", "cat", "/etc/greeting")).toBe("HELLO\n");
    },
    limit,
  );

  test(
    "a file that loses one of its names is as it was, unless its content is another; the same changes give the same bytes",
    async () => {
      const repack = async (name: string): Promise<{ digest: string; archiveBytes: number }> => {
        const printed = await gantry("repack", "--format", "json", at("linked"), name);
        return (JSON.parse(printed) as { layer: { digest: string; archiveBytes: number } }).layer;
      };
      await gantry("unpack", "--quiet", "tiny", at("linked"));
      const etc = join(at("linked"), "rootfs/etc");
      for (const name of ["one", "two", "three"]) linkSync(join(etc, "greeting"), join(etc, name));
      await gantry("repack", at("linked"), "tiny:linked");
      rmSync(at("linked"), { recursive: true });
      await gantry("unpack", "--quiet", "tiny:linked", at("linked"));
      const { mtimeMs } = statSync(join(etc, "one"));
      rmSync(join(etc, "three"));
      const first = await repack("tiny:fewer");
      expect(await repack("tiny:fewer")).toEqual(first);
      // etc/, its whiteout, and the end of the archive: no content.
      expect(first.archiveBytes).toBeLessThanOrEqual(4096);
      writeFileSync(join(etc, "one"), "HELLO\n");
      utimesSync(join(etc, "one"), mtimeMs / 1000, mtimeMs / 1000);
      await repack("tiny:hidden-link");
      expect(await gantry("run", "--rm", "tiny:hidden-link", "/bin/busybox", "cat", "/etc/two")).toBe("HELLO\n");
    },
    limit,
  );

  test(
    "append, squash and rebase give images that hold what they should",
    async () => {
      mkdirSync(at("more/etc"), { recursive: true });
      writeFileSync(at("more/etc/more"), "more\n");
      await gantry("append", "tiny", "tiny:more", at("more"));
      const cat = (image: string, path: string): Promise<Ended> => bench.gantry("run", "--rm", image, "/bin/busybox", "cat", path);
      expect((await cat("tiny:more", "/etc/more")).stdout).toBe("more\n");
      await gantry("squash", "tiny:more", "tiny:squashed");
      const report = JSON.parse(await gantry("layers", "--format", "json", "tiny:squashed")) as { layers: unknown[] };
      expect(report.layers.length).toBe(1);
      expect((await cat("tiny:squashed", "/etc/more")).stdout + (await cat("tiny:squashed", "/etc/greeting")).stdout).toBe("more\nhello\n");
      await gantry("append", "tiny", "tiny:app", at("more"));
      writeFileSync(at("more/etc/base"), "new base\n");
      await gantry("append", "tiny", "tiny:base2", at("more"));
      await gantry("rebase", "tiny:app", "tiny:rebased", "--old-base", "tiny", "--new-base", "tiny:base2");
      expect((await cat("tiny:rebased", "/etc/base")).stdout + (await cat("tiny:rebased", "/etc/more")).stdout).toBe("new base\nmore\n");
      const refused = await bench.gantry("rebase", "tiny", "x", "--old-base", "tiny:base2", "--new-base", "tiny");
      expect([refused.code, refused.stderr]).toEqual([
        1,
        "gantry: cannot rebase: the image does not begin with the layers of the old base\n",
      ]);
    },
    limit,
  );

  test(
    "layers shows what each layer does, and its page escapes what the image says",
    async () => {
      mkdirSync(at("odd"), { recursive: true });
      writeFileSync(join(at("odd"), "<script>alert(1)</script>".replaceAll("/", "_")), "x");
      await gantry("append", "tiny", "tiny:odd", at("odd"), "--created-by", '<b onclick="x">&');
      await gantry("layers", "tiny:odd", "--html", at("page.html"));
      const page = readFileSync(at("page.html"), "utf8");
      expect(page).not.toContain("<script");
      expect(page).toContain("&lt;b onclick=&quot;x&quot;&gt;&amp;");
      expect(page).not.toMatch(/(?:src|href)="(?!#)/);
      expect(await gantry("layers", "--tree", "tiny")).toContain("A greeting");
    },
    limit,
  );

  test.skipIf(!installed("umoci", "skopeo"))(
    "umoci unpacks a repacked layout to the same tree, skopeo copies it with the same digest, and gantry repacks what umoci made",
    async () => {
      const layout = at("peer-layout");
      await gantry("unpack", "--quiet", "tiny", at("peer"));
      const rootfs = join(at("peer"), "rootfs");
      writeFileSync(join(rootfs, "added"), "added\n");
      rmSync(join(rootfs, "etc/greeting"));
      const made = JSON.parse(await gantry("repack", "--format", "json", at("peer"), `oci:${layout}:new`)) as {
        manifest: { digest: string };
      };
      good(await execute(["umoci", "unpack", "--image", `${layout}:new`, at("umoci")]));
      expect(compareTrees(readTree(rootfs), readTree(join(at("umoci"), "rootfs")), isRoot).map(formatDifference)).toEqual([]);
      good(await execute(["skopeo", "--insecure-policy", "copy", `oci:${layout}:new`, `oci:${at("skopeo")}:new`]));
      expect(existsSync(join(at("skopeo"), "blobs", made.manifest.digest.replace(":", "/")))).toBe(true);
      writeFileSync(join(at("umoci"), "rootfs/by-umoci"), "umoci\n");
      good(await execute(["umoci", "repack", "--image", `${layout}:umoci`, at("umoci")]));
      await gantry("unpack", "--quiet", `oci:${layout}:umoci`, at("back"));
      expect(
        compareTrees(readTree(join(at("umoci"), "rootfs")), readTree(join(at("back"), "rootfs")), isRootOrRounded).map(formatDifference),
      ).toEqual([]);
    },
    limit,
  );

  test(
    "without root, unpack and repack work on what one user can own, and give it back to root in the image",
    async () => {
      const user = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"];
      const home = mkdtempSync("/dev/shm/gantry-test-user-");
      try {
        cpSync(bench.layout, join(home, "layout"), { recursive: true });
        good(await execute(["chown", "-R", "12345:12345", home]));
        const mine = (...words: string[]): Promise<Ended> => execute([...user, gantryPath, "--root", join(home, "root"), ...words]);
        if ((await mine("--version")).code !== 0) return console.log("skipped: another user cannot execute what was built");
        good(await mine("unpack", "--quiet", `oci:${home}/layout`, join(home, "bundle")));
        expect(statSync(join(home, "bundle/rootfs/etc/greeting")).uid).toBe(12345);
        good(await execute([...user, "sh", "-c", `echo mine >${home}/bundle/rootfs/etc/mine`]));
        good(await mine("repack", join(home, "bundle"), `oci:${home}/out:new`));
        await gantry("unpack", "--quiet", `oci:${home}/out:new`, at("by-user"));
        expect(statSync(join(at("by-user"), "rootfs/etc/mine")).uid).toBe(0);
        const report = JSON.parse(await gantry("layers", "--format", "json", `oci:${home}/out:new`)) as { layers: { files: unknown[] }[] };
        expect(report.layers.at(-1)?.files.length).toBeLessThanOrEqual(2);
      } finally {
        rmSync(home, { recursive: true });
      }
    },
    limit,
  );

  test(
    "the store is clean after all of it",
    async () => {
      expect(await gantry("verify")).toBe("clean\n");
    },
    limit,
  );
});
