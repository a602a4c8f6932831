import { describe, expect, test } from "bun:test";
import { resolveUser } from "./user.ts";

const passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/srv/web:/bin/sh\n1000:x:77:78::/:/bin/sh\n";
const group = "root:x:0:\nweb:x:1001:\nlogs:x:50:web,other\naudio:x:60:web\n";

describe("resolveUser()", () => {
  test("V3 gives a named user its default and supplementary groups", () => {
    expect(resolveUser("web", passwd, group)).toEqual({ uid: 1000, gid: 1001, additionalGids: [50, 60], home: "/srv/web" });
  });

  test("C4 gives no supplementary groups when a group is named (image-spec config.md, User)", () => {
    expect(resolveUser("web:logs", passwd, group)).toMatchObject({ uid: 1000, gid: 50, additionalGids: [] });
  });

  test("takes a name made of digits before a number", () => {
    expect(resolveUser("1000", passwd, group).uid).toBe(77);
  });

  test("takes numbers that no line knows as they are", () => {
    expect(resolveUser("4000:5000", passwd, group)).toMatchObject({ uid: 4000, gid: 5000 });
    expect(resolveUser("4000", undefined, undefined)).toMatchObject({ uid: 4000, gid: 0, home: undefined });
  });

  test("means root when nothing is said", () => {
    expect(resolveUser("", passwd, group)).toMatchObject({ uid: 0, gid: 0, home: "/root" });
  });

  test("V3 refuses names that the image does not know, naming them", () => {
    expect(() => resolveUser("nobody-here", passwd, group)).toThrow(
      'cannot run as user "nobody-here": the image\'s /etc/passwd has no such user',
    );
    expect(() => resolveUser("web:nope", passwd, group)).toThrow('cannot run as group "nope"');
  });

  test("C4 refuses ids that would wrap around to root (CVE-2024-40635)", () => {
    for (const user of ["4294967295", "4294967296", "0:4294967296", "-1"])
      expect(() => resolveUser(user, passwd, group)).toThrow("cannot run as");
  });
});
