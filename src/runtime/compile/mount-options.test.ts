import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { mountAttributes as attr, propagationFlags as ms } from "./kernel.ts";
import { isKnownMountOption, parseMountOptions } from "./mount-options.ts";

/** The table of runtime-spec 1.3.0, config.md#linux-mount-options. */
const specOptions =
  "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec noiversion nolazytime " +
  "nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount rexec rnoatime rnodiratime " +
  "rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow " +
  "runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap";

test("every option of the runtime spec has a meaning and is not passed to the file system", () => {
  for (const word of specOptions.split(" ")) expect([word, isKnownMountOption(word)]).toEqual([word, true]);
});

test("parseMountOptions() sorts attributes, propagation and the file system's own options", () => {
  const options = parseMountOptions(["nosuid", "noexec", "ro", "rprivate", "mode=755", "size=64k", "rbind"]);
  expect(options.attributes).toEqual({ set: attr.noSuid | attr.noExec | attr.readOnly, clear: 0 });
  expect(options.recursiveAttributes).toEqual({ set: 0, clear: 0 });
  expect(options.propagations).toEqual([ms.private | ms.recursive]);
  expect(options.data).toEqual(["mode=755", "size=64k"]);
  expect(options.bind).toBe("recursive");
});

test("parseMountOptions() lets the later of two contradicting options hold", () => {
  expect(parseMountOptions(["ro", "rw"]).attributes).toEqual({ set: 0, clear: attr.readOnly });
  expect(parseMountOptions(["rw", "ro"]).attributes).toEqual({ set: attr.readOnly, clear: 0 });
  expect(parseMountOptions(["noatime", "strictatime"]).attributes).toEqual({ set: attr.strictAtime, clear: attr.atimeMask });
  expect(parseMountOptions(["strictatime", "relatime"]).attributes).toEqual({ set: 0, clear: attr.atimeMask });
});

test("parseMountOptions() keeps recursive attributes apart", () => {
  const options = parseMountOptions(["rro", "rnosuid", "rdev", "rnoatime"]);
  expect(options.attributes).toEqual({ set: 0, clear: 0 });
  expect(options.recursiveAttributes).toEqual({ set: attr.readOnly | attr.noSuid | attr.noAtime, clear: attr.noDev | attr.atimeMask });
});

test("parseMountOptions() names options without effect and options that are not implemented", () => {
  expect(parseMountOptions(["iversion", "mand"]).ineffective).toEqual(["iversion", "mand"]);
  expect(parseMountOptions(["idmap=uids=0-1-1"]).unsupported).toEqual(["idmap=uids=0-1-1"]);
});

test("parseMountOptions() never sets and clears one bit, but for the access time, which it clears as a whole", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...specOptions.split(" "))), (words) => {
      for (const { set, clear } of [parseMountOptions(words).attributes, parseMountOptions(words).recursiveAttributes]) {
        expect(set & clear & ~attr.atimeMask).toBe(0);
        expect([0, attr.atimeMask]).toContain(clear & attr.atimeMask);
        if ((set & attr.atimeMask) !== 0) expect(clear & attr.atimeMask).toBe(attr.atimeMask);
        expect(set & attr.atimeMask).not.toBe(attr.atimeMask);
      }
    }),
  );
});
