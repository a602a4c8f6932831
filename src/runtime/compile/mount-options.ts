/** The table of mount options: what each word of mount(8) and of the runtime spec means to the mount API. */
import { mountAttributes as attr, propagationFlags as ms } from "./kernel.ts";

/** MOUNT_ATTR_* to set and to clear; no bit is in both but those of the access-time value. */
export interface AttributeChange {
  readonly set: number;
  readonly clear: number;
}

/** The options of one mount, sorted by what they are. */
export interface MountOptions {
  /** For the mount alone. */
  readonly attributes: AttributeChange;
  /** For the mount and all mounts below it. */
  readonly recursiveAttributes: AttributeChange;
  /** MS_* propagation flags, MS_REC included, in the order given. */
  readonly propagations: readonly number[];
  readonly bind: "no" | "plain" | "recursive";
  readonly isRemount: boolean;
  /** Whether ids are mapped, and whether those of the mounts below too. */
  readonly idMap: "no" | "plain" | "recursive";
  /** A tmpfs begins with what the image has at its place. */
  readonly isCopiedUp: boolean;
  /** Where the source of a bind mount is a symbolic link, a link like it is made instead. */
  readonly isLinkCopied: boolean;
  /** Options that go to the file system, `key` or `key=value`. */
  readonly data: readonly string[];
  /** Known options that have no effect on this kernel interface. */
  readonly ineffective: readonly string[];
  /** Known options that are not implemented. */
  readonly unsupported: readonly string[];
}

type Meaning =
  | { readonly does: "attribute"; readonly set: number; readonly clear: number; readonly isRecursive: boolean }
  | { readonly does: "propagation"; readonly flags: number }
  | { readonly does: "bind"; readonly how: "plain" | "recursive" }
  | { readonly does: "data"; readonly option: string }
  | { readonly does: "idMap"; readonly how: "plain" | "recursive" }
  | { readonly does: "switch"; readonly which: "isRemount" | "isCopiedUp" | "isLinkCopied" }
  | { readonly does: "nothing" | "ineffective" | "unsupported" };

/** Attribute words without the "r" of their recursive form: bits to set, bits to clear. */
const attributeWords: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  ro: [attr.readOnly, 0],
  rw: [0, attr.readOnly],
  nosuid: [attr.noSuid, 0],
  suid: [0, attr.noSuid],
  nodev: [attr.noDev, 0],
  dev: [0, attr.noDev],
  noexec: [attr.noExec, 0],
  exec: [0, attr.noExec],
  nosymfollow: [attr.noSymFollow, 0],
  symfollow: [0, attr.noSymFollow],
  nodiratime: [attr.noDirAtime, 0],
  diratime: [0, attr.noDirAtime],
  noatime: [attr.noAtime, attr.atimeMask],
  strictatime: [attr.strictAtime, attr.atimeMask],
  relatime: [0, attr.atimeMask],
  // KERNEL: relatime is the default since 2.6.30, so taking another value back means relatime.
  atime: [0, attr.atimeMask],
  norelatime: [0, attr.atimeMask],
  nostrictatime: [0, attr.atimeMask],
};

const meanings: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ...Object.entries(attributeWords).flatMap(([word, [set, clear]]): [string, Meaning][] => [
    [word, { does: "attribute", set, clear, isRecursive: false }],
    [`r${word}`, { does: "attribute", set, clear, isRecursive: true }],
  ]),
  ...(["shared", "slave", "private", "unbindable"] as const).flatMap((word): [string, Meaning][] => [
    [word, { does: "propagation", flags: ms[word] }],
    [`r${word}`, { does: "propagation", flags: ms[word] | ms.recursive }],
  ]),
  ["bind", { does: "bind", how: "plain" }],
  ["rbind", { does: "bind", how: "recursive" }],
  ["remount", { does: "switch", which: "isRemount" }],
  ["defaults", { does: "nothing" }],
  ["async", { does: "data", option: "async" }],
  ["sync", { does: "data", option: "sync" }],
  ["dirsync", { does: "data", option: "dirsync" }],
  ["lazytime", { does: "data", option: "lazytime" }],
  ["nolazytime", { does: "data", option: "nolazytime" }],
  ["loud", { does: "nothing" }],
  ["silent", { does: "nothing" }],
  // KERNEL: mandatory locks are gone since 5.15; i_version is the file system's own choice, not a flag of fsconfig(2).
  ["mand", { does: "ineffective" }],
  ["nomand", { does: "nothing" }],
  ["iversion", { does: "ineffective" }],
  ["noiversion", { does: "nothing" }],
  ["tmpcopyup", { does: "switch", which: "isCopiedUp" }],
  ["idmap", { does: "idMap", how: "plain" }],
  ["ridmap", { does: "idMap", how: "recursive" }],
  // crun's words.
  ["src-nofollow", { does: "unsupported" }],
  ["dest-nofollow", { does: "unsupported" }],
  ["copy-symlink", { does: "switch", which: "isLinkCopied" }],
  // For mount(8) and systemd, about when to mount; the kernel never sees them.
  ["auto", { does: "nothing" }],
  ["noauto", { does: "nothing" }],
  ["nofail", { does: "nothing" }],
  ["user", { does: "nothing" }],
  ["nouser", { does: "nothing" }],
  ["_netdev", { does: "nothing" }],
]);

/** Every option with a meaning of its own, sorted; those that belong to mount(8) alone and those that are refused are left out. */
export function knownMountOptions(): string[] {
  const ofMount8 = ["auto", "noauto", "nofail", "user", "nouser", "_netdev"];
  const words = [...meanings].flatMap(([word, { does }]) => (does === "unsupported" ? [] : [word]));
  return words.filter((word) => !ofMount8.includes(word)).toSorted();
}

/** Whether `word` is an option with a meaning of its own, so that it is not passed to the file system. */
export function isKnownMountOption(word: string): boolean {
  return meanings.has(word);
}

/**
 * Sorts mount options by what they are. Where two contradict, the later one holds, as in mount(8).
 * @see runtime-spec config.md#linux-mount-options; mount_setattr(2)
 */
export function parseMountOptions(options: readonly string[]): MountOptions {
  const attributes = { set: 0, clear: 0 };
  const recursiveAttributes = { set: 0, clear: 0 };
  const propagations: number[] = [];
  const data: string[] = [];
  const ineffective: string[] = [];
  const unsupported: string[] = [];
  let bind: MountOptions["bind"] = "no";
  let idMap: MountOptions["idMap"] = "no";
  const switches = { isRemount: false, isCopiedUp: false, isLinkCopied: false };
  for (const word of options) {
    const meaning = meanings.get(word);
    if (meaning === undefined) {
      // crun takes id maps in the option itself; a bind mount would drop them as options of a file system.
      if (word.startsWith("idmap=") || word.startsWith("ridmap=")) unsupported.push(word);
      else if (word !== "") data.push(word);
      continue;
    }
    switch (meaning.does) {
      case "attribute":
        change(meaning.isRecursive ? recursiveAttributes : attributes, meaning);
        break;
      case "propagation":
        propagations.push(meaning.flags);
        break;
      case "bind":
        bind = meaning.how;
        break;
      case "data":
        data.push(meaning.option);
        break;
      case "idMap":
        idMap = meaning.how;
        break;
      case "switch":
        switches[meaning.which] = true;
        break;
      case "ineffective":
        ineffective.push(word);
        break;
      case "unsupported":
        unsupported.push(word);
        break;
      case "nothing":
        break;
    }
  }
  return { attributes, recursiveAttributes, propagations, bind, idMap, ...switches, data, ineffective, unsupported };
}

function change(target: { set: number; clear: number }, { set, clear }: AttributeChange): void {
  target.set = (target.set & ~clear) | set;
  // A bit that is set now must not be cleared by an earlier word, except for the access-time value, which is cleared as a whole.
  target.clear = (target.clear & ~(set & ~attr.atimeMask)) | clear;
}
