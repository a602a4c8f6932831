/**
 * Whose turn it is to get a blob: of several processes that want the same one, the first downloads it and the others wait.
 *
 * A claim is a symbolic link tmp/claim-ALGORITHM-ENCODED whose target says the owner (sys/owner.ts): making it and saying who made it
 * is one step. Only the owner takes a claim away, or, once it is dead, somebody who holds the store's lock; so nobody ever takes
 * away a claim that he did not look at.
 */
import { lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { isErrno } from "#base/errors.ts";
import { digestAlgorithm, digestEncoded, type Digest } from "#spec/digest.ts";
import { nowMs, sleepMs } from "#sys/clock.ts";
import { isLeftBehind, ownerName } from "#sys/owner.ts";
import { listDirectory } from "#sys/small-files.ts";

/**
 * Runs `work` while no other process and no other caller runs theirs. Not reentrant. Where taking the lock takes a while, `meanwhile` is run
 * then, for what needs no lock; maybe not at all.
 */
export type WithLock = <T>(work: () => Promise<T>, meanwhile?: () => Promise<void>) => Promise<T>;

const firstWaitMs = 2;
const longestWaitMs = 100;

/** What a claim is made with. */
export interface ClaimOptions {
  /** Taken to remove what a killed owner left, so the caller must not hold it. */
  readonly withLock: WithLock;
  /** Asked while another owner has the claim: true ends the wait, because what was wanted is there. */
  readonly isHere: () => Promise<boolean>;
}

/**
 * Claims the blob `digest` of the layout in `root`, waiting while another owner has it; resolves with what gives the claim back, or
 * with undefined when the blob came meanwhile. With a claim the blob may be there as well: look again.
 */
export async function claimBlob(root: string, digest: Digest, options: ClaimOptions): Promise<(() => Promise<void>) | undefined> {
  const path = join(root, "tmp", `claim-${digestAlgorithm(digest)}-${digestEncoded(digest)}`);
  const owner = ownerName();
  mkdirSync(dirname(path), { recursive: true });
  for (let waitMs = firstWaitMs; !tryLink(owner, path); waitMs = Math.min(waitMs * 2, longestWaitMs)) {
    if (await options.isHere()) return undefined;
    if (isStale(path)) await options.withLock(() => Promise.resolve(removeStale(path)));
    else await sleepMs(waitMs);
  }
  return () => Promise.resolve(rmSync(path, { force: true }));
}

const forgottenAfterMs = 24 * 3600 * 1000;

/** Removes what lies in `tmp/` of the layout in `root` of downloads that nobody went on with for a day. The lock is held, and nobody downloads. */
export function removeStaleDownloads(root: string): void {
  const directory = join(root, "tmp");
  for (const name of listDirectory(directory)) {
    const path = join(directory, name);
    if (name.startsWith("claim-")) removeStale(path);
    else if (name.startsWith("partial-") && nowMs() - lstatSync(path).mtimeMs > forgottenAfterMs) rmSync(path, { force: true });
  }
}

/** Removes the claim at `path` if its owner is dead; the lock is held. */
function removeStale(path: string): void {
  if (isStale(path)) rmSync(path, { force: true });
}

function isStale(path: string): boolean {
  try {
    return isLeftBehind(readlinkSync(path), nowMs() - lstatSync(path).mtimeMs);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

function tryLink(target: string, path: string): boolean {
  try {
    symlinkSync(target, path);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

/**
 * A lock for a directory that is no store of ours, so that has no lock file: a symbolic link at `path`, as a claim is.
 *
 * Two processes that find the link of a dead third one in the same instant can both get it; a store has a better lock.
 */
export function linkLock(path: string): WithLock {
  return async (work) => {
    const owner = ownerName();
    for (let waitMs = firstWaitMs; !tryLink(owner, path); waitMs = Math.min(waitMs * 2, longestWaitMs)) {
      if (isStale(path)) rmSync(path, { force: true });
      else await sleepMs(waitMs);
    }
    try {
      return await work();
    } finally {
      rmSync(path, { force: true });
    }
  };
}
