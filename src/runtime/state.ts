/** The state directory, read: which containers there are and what became of each. */
import { listDirectory } from "#sys/small-files.ts";

/** The ids of all containers below `root`; none when it does not exist. */
export function listContainerIds(root: string): readonly string[] {
  return listDirectory(root);
}
