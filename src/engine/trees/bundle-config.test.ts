import { describe, expect, test } from "bun:test";
import { parseImageConfig } from "#spec/image-config.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import type { ResolvedUser } from "../containers/user.ts";
import { makeBundleConfig } from "./bundle-config.ts";

const root: ResolvedUser = { uid: 0, gid: 0, additionalGids: [], home: "/root" };

/** The config.json of an image with `fields` and, in its execution parameters, `config`. */
function convert(config: object, fields: object = {}, user: ResolvedUser = root): RuntimeConfig {
  const document = { architecture: "arm64", os: "linux", rootfs: { type: "layers", diff_ids: [] }, config, ...fields };
  return makeBundleConfig({ image: parseImageConfig(Buffer.from(JSON.stringify(document)), "c"), user });
}

describe("makeBundleConfig()", () => {
  test("V1 WorkingDir, Env, Entrypoint and Cmd become cwd, env and args", () => {
    const { process } = convert({ WorkingDir: "/srv", Env: ["A=b", "PATH=/x"], Entrypoint: ["/e", "1"], Cmd: ["2"] });
    expect(process?.cwd).toBe("/srv");
    expect(process?.args).toEqual(["/e", "1", "2"]);
    expect(process?.env).toEqual(["A=b", "PATH=/x", "HOME=/root"]);
    expect(convert({ Cmd: ["only"] }).process?.args).toEqual(["only"]);
    expect(convert({ Entrypoint: ["only"] }).process?.args).toEqual(["only"]);
    expect(convert({}).process?.cwd).toBe("/");
  });

  test("V2 what the image says of itself becomes annotations, and its labels win over them", () => {
    const fields = {
      variant: "v8",
      "os.version": "10",
      "os.features": ["one", "two"],
      author: "me",
      created: "2026-01-01T00:00:00Z",
    };
    const Labels = { "org.opencontainers.image.author": "by label", "": "empty", own: "" };
    expect(convert({ StopSignal: "SIGQUIT", Labels }, fields).annotations).toEqual({
      "org.opencontainers.image.os": "linux",
      "org.opencontainers.image.architecture": "arm64",
      "org.opencontainers.image.variant": "v8",
      "org.opencontainers.image.os.version": "10",
      "org.opencontainers.image.os.features": "one,two",
      "org.opencontainers.image.author": "by label",
      "org.opencontainers.image.created": "2026-01-01T00:00:00Z",
      "org.opencontainers.image.stopSignal": "SIGQUIT",
      "": "empty",
      own: "",
    });
  });

  test("V3 numbers are taken as they are, and groups with them", () => {
    const user = { uid: 4_294_967_294, gid: 7, additionalGids: [8, 9], home: undefined };
    expect(convert({ User: "4294967294" }, {}, user).process?.user).toEqual({ uid: 4_294_967_294, gid: 7, additionalGids: [8, 9] });
    expect(convert({}).process?.user).toEqual({ uid: 0, gid: 0 });
  });

  test("V4 ports become an annotation, and volumes become mounts, whose content no image gets", () => {
    const { annotations, mounts } = convert({ ExposedPorts: { "80/tcp": {}, "53/udp": {} }, Volumes: { "/data": {}, "/a b": {} } });
    expect(annotations?.["org.opencontainers.image.exposedPorts"]).toBe("53/udp,80/tcp");
    const volumes = mounts?.filter(({ destination }) => destination === "/data" || destination === "/a b");
    expect(volumes?.map(({ destination, type }) => [destination, type])).toEqual([
      ["/a b", "tmpfs"],
      ["/data", "tmpfs"],
    ]);
  });

  test("V5 defaults are added under names that the image does not have, and none of its own is taken away", () => {
    for (const Env of [
      ["HOME=/image", "PATH=/image", "A"],
      ["HOME=", "PATH="],
      ["HOME=/one", "HOME=/two", "PATH=/x"],
    ])
      expect(convert({ Env }).process?.env).toEqual(Env);
    const defaults = convert({ Env: ["HOMELY=1"] }).process?.env ?? [];
    expect(defaults.filter((entry) => /^(?:HOME|PATH|HOMELY)=/.test(entry))).toHaveLength(3);
  });
});
