/**
 * Trees of images and containers, seen below one directory, in a mount namespace of the executor that reads them: nothing is mounted
 * on the host, and nothing is left behind.
 */
import { release } from "node:os";
import { join } from "node:path";
import type { Place as Survey } from "#image/tree/survey.ts";
import type { Op } from "#program/ops.gen.ts";
import { makeDirectory } from "#sys/small-files.ts";
import type { Place } from "../place.ts";
import { ownUserOps } from "../rootfs/layers.ts";
import { lowerMountOps, privateMountOps } from "../rootfs/overlay.ts";

/** Directories below `directory`, by name: each shows a stack of trees, lowest first. None shows an empty directory. */
export function viewTrees(place: Place, directory: string, views: Readonly<Record<string, readonly string[]>>): Survey {
  const ops: Op[] = Object.entries(views).flatMap(([name, trees]) => {
    const target = join(directory, name);
    makeDirectory(target, 0o755);
    return showStack(trees, target);
  });
  return { open: () => place.openReadingStream(), setup: [...privateMountOps, ...ops, { op: "root", path: directory }] };
}

/** The one tree `tree`, without a mount; seen as it was made, when that was by somebody without privileges. */
export function viewTree(place: Place, tree: string, rootless?: { readonly uid: number; readonly gid: number }): Survey {
  const own = rootless === undefined ? [] : ownUserOps(rootless);
  return { open: () => place.openReadingStream(), setup: [...own, { op: "root", path: tree }] };
}

function showStack(trees: readonly string[], target: string): Op[] {
  const [only, ...others] = trees;
  if (only === undefined) return [];
  if (others.length === 0) return [{ op: "bind", source: only, target, recursive: 0 }];
  return lowerMountOps(trees, target, release());
}
