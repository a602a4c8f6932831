/** The containers of a root, read from their files. */
import { CodedError } from "#base/errors.ts";
import { isRunning } from "#sys/process.ts";
import { listDirectory, modifiedAt, readTextIfThere } from "#sys/small-files.ts";
import { containerPaths, type EnginePaths } from "../paths.ts";
import { checkRecord, containerState, type Container } from "./record.ts";

/** All containers, newest first. One that is being removed meanwhile is left out. @throws CodedError `corrupt` */
export function readContainers(paths: EnginePaths): Container[] {
  return listDirectory(paths.containers)
    .flatMap((id) => readContainer(paths, id) ?? [])
    .sort((a, b) => (a.record.createdAt < b.record.createdAt ? 1 : -1));
}

/** The container `id` with its state now; undefined when there is none. @throws CodedError `corrupt` */
export function readContainer(paths: EnginePaths, id: string): Container | undefined {
  const files = containerPaths(paths, id);
  const text = readTextIfThere(files.record);
  if (text === undefined) return undefined;
  const state = containerState({
    child: readTextIfThere(files.child),
    exit: readTextIfThere(files.exit),
    exitAt: modifiedAt(files.exit),
    memoryEvents: readTextIfThere(files.memoryEvents),
    isRunning,
  });
  return { record: checkRecord(parseRecord(text, files.record), id), state };
}

function parseRecord(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CodedError("corrupt", `cannot read ${path}: it is no JSON`, { cause });
  }
}
