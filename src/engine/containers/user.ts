/**
 * Users of an image: the words of `User` ("name", "uid:gid", ...) to numbers, by the image's own passwd and group.
 *
 * SPEC: image-spec config.md `User`: without a group, the user's default group and supplementary groups apply;
 * with a group, no supplementary groups.
 */
import { CodedError } from "#base/errors.ts";

/** Who a process runs as. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** The user's home by passwd; undefined when there is no line for it. */
  readonly home: string | undefined;
}

/** Largest id: 2^32-1 means "no change" to the kernel, and containerd let 2^32 wrap to root (CVE-2024-40635). */
const maximumId = 2 ** 32 - 2;

/** Resolves `user` by the texts of /etc/passwd and /etc/group (undefined: the image has none). @throws CodedError `invalid-argument`, `not-found` */
export function resolveUser(user: string, passwd: string | undefined, group: string | undefined): ResolvedUser {
  const [userPart = "", groupPart, extra] = user.split(":");
  if (extra !== undefined) throw new CodedError("invalid-argument", `cannot run as ${JSON.stringify(user)}: it has more than one ":"`);
  const users = parseColonFile(passwd);
  const groups = parseColonFile(group);
  const wantedUser = userPart === "" ? "0" : userPart;
  const line = findUser(wantedUser, users);
  const uid = line === undefined ? parseId(wantedUser) : parseId(line[2]);
  if (uid === undefined)
    throw new CodedError("not-found", `cannot run as user ${JSON.stringify(wantedUser)}: the image's /etc/passwd has no such user`);
  const defaultGid = parseId(line?.[3]) ?? 0;
  const home = line?.[5];
  if (groupPart !== undefined && groupPart !== "") return { uid, gid: resolveGroup(groupPart, groups), additionalGids: [], home };
  const name = line?.[0];
  const additionalGids = groups
    .filter((fields) => name !== undefined && (fields[3] ?? "").split(",").includes(name))
    .map((fields) => parseId(fields[2]))
    .filter((gid) => gid !== undefined);
  return { uid, gid: defaultGid, additionalGids: [...new Set(additionalGids)], home };
}

/** Resolves one group, by name or number. @throws CodedError `not-found` */
export function resolveGroup(group: string, groups: readonly (readonly string[])[]): number {
  const line = groups.find((fields) => fields[0] === group);
  const gid = line === undefined ? parseId(group) : parseId(line[2]);
  if (gid === undefined)
    throw new CodedError("not-found", `cannot run as group ${JSON.stringify(group)}: the image's /etc/group has no such group`);
  return gid;
}

/** The lines of passwd(5) or group(5), split at colons; comments and empty lines left out. */
export function parseColonFile(text: string | undefined): string[][] {
  return (text ?? "")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}

/** A name first, then a number: a user called "1000" is that user, as Docker has it. */
function findUser(wanted: string, users: readonly string[][]): string[] | undefined {
  return users.find((fields) => fields[0] === wanted) ?? users.find((fields) => fields[2] === wanted);
}

function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= maximumId ? id : undefined;
}
