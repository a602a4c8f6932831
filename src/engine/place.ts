/** An engine's root directory, opened: its paths, the executor, and the few things that every part of the engine needs. */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { openLayout, type ImageLayout, type WithLock } from "#image/layout.ts";
import type { ProgramStream, ReadingStream } from "#program/stream.ts";
import type { ExecutorPort } from "#program/task.ts";
import { nowMs } from "#sys/clock.ts";
import { isLeftBehind, ownerName } from "#sys/owner.ts";
import {
  listDirectory,
  makeDirectory,
  makeNewDirectory,
  modifiedAt,
  pathExists,
  readName,
  readTextIfThere,
  removeFile,
  withLockFile,
  writeTextAtomic,
} from "#sys/small-files.ts";
import type { RegistryAccess } from "./registry/access.ts";
import { enginePaths, type EnginePaths } from "./paths.ts";

/** How a container's root file system is made of layers. */
export type Snapshotter = "overlay" | "copy";

/** What an engine is opened with. */
export interface PlaceOptions {
  /** Absolute path of the directory that holds all state. */
  readonly root: string;
  readonly executor: ExecutorPort;
  /** Instead of what was found to work in `root`. */
  readonly snapshotter?: Snapshotter;
  /** How registries are reached; without it, none is. */
  readonly registries?: RegistryAccess;
}

/** A root directory that is open. */
export class Place {
  readonly paths: EnginePaths;
  readonly executor: ExecutorPort;
  readonly #forced: Snapshotter | undefined;
  readonly #registries: RegistryAccess | undefined;
  #layout: Promise<ImageLayout> | undefined;

  constructor(options: PlaceOptions) {
    this.paths = enginePaths(options.root);
    this.executor = options.executor;
    this.#forced = options.snapshotter;
    this.#registries = options.registries;
  }

  /** True once something was stored here; listing an empty root makes nothing. */
  get exists(): boolean {
    return pathExists(join(this.paths.images, "oci-layout"));
  }

  /** How registries are reached. @throws CodedError `unsupported` when the engine was opened without them */
  get registries(): RegistryAccess {
    if (this.#registries === undefined) throw new CodedError("unsupported", "cannot reach registries: this engine was opened without them");
    return this.#registries;
  }

  /** The image layout, made when it is not there. @throws CodedError `permission-denied` */
  layout(): Promise<ImageLayout> {
    this.#layout ??= this.#openLayout();
    return this.#layout;
  }

  /** Runs `work` while no other process changes names or removes images, layers or stale work. Not reentrant. */
  readonly withLock: WithLock = (work, meanwhile) => this.withFileLocked(this.paths.lock, work, meanwhile);

  /**
   * Runs `work` while no other process has the lock on the file `path`, which is made when it is not there. Not reentrant. `meanwhile` is run
   * beside the start of the process that takes the lock.
   */
  async withFileLocked<Result>(path: string, work: () => Promise<Result>, meanwhile?: () => Promise<void>): Promise<Result> {
    const { lockDescriptor } = await import("#program/task.ts");
    makeDirectory(this.paths.temporary, 0o700);
    return await withLockFile(path, async (fd) => {
      await Promise.all([lockDescriptor(this.executor, fd, join(this.paths.temporary, ownerName())), meanwhile?.()]);
      return await work();
    });
  }

  /** A new directory for work in progress; it is swept when this process dies. */
  makeTemporary(): string {
    const path = join(this.paths.temporary, ownerName());
    makeNewDirectory(path);
    return path;
  }

  /** Removes trees through the executor, which no depth, link or mount in them can trick. */
  async removeTrees(trees: readonly string[]): Promise<void> {
    if (trees.length === 0) return;
    const { runTask } = await import("#program/task.ts");
    try {
      await runTask(
        this.executor,
        trees.map((path) => ({ op: "remove-tree", path })),
        join(this.paths.temporary, ownerName()),
      );
    } catch (error) {
      const { OpFailure } = await import("#program/failure.ts");
      if (error instanceof OpFailure)
        throw new CodedError(error.code, `cannot remove ${trees[error.opIndex] ?? "a tree"}: ${error.message}`, { cause: error });
      throw error;
    }
  }

  /** Removes what dead processes left: work in progress, and names whose container is gone. */
  async sweep(): Promise<void> {
    await this.removeTrees(this.leftBehind());
    for (const name of this.danglingNames()) removeFile(join(this.paths.names, name));
  }

  /** Paths of work whose owner is dead. */
  leftBehind(): string[] {
    return listDirectory(this.paths.temporary)
      .filter((name) => isLeftBehind(name, nowMs() - (modifiedAt(join(this.paths.temporary, name))?.getTime() ?? 0)))
      .map((name) => join(this.paths.temporary, name));
  }

  /** Names that point at no container. A container is there before its name is, so these are always stale. */
  danglingNames(): string[] {
    return listDirectory(this.paths.names).filter((name) => {
      const id = readName(join(this.paths.names, name));
      return id !== undefined && !pathExists(join(this.paths.containers, id));
    });
  }

  /** How root file systems are made here: as told, as found before, or found now by mounting a small overlay. */
  async snapshotter(): Promise<Snapshotter> {
    const known = this.knownSnapshotter();
    if (known !== undefined) return known;
    const found = (await this.#canOverlay()) ? "overlay" : "copy";
    writeTextAtomic(this.#snapshotterFile, `${found}\n`);
    return found;
  }

  /** As told or as found before; undefined when nobody has looked yet. */
  knownSnapshotter(): Snapshotter | undefined {
    if (this.#forced !== undefined) return this.#forced;
    const known = readTextIfThere(this.#snapshotterFile)?.trim();
    return known === "overlay" || known === "copy" ? known : undefined;
  }

  get #snapshotterFile(): string {
    return join(this.paths.root, "snapshotter");
  }

  /** Makes the root's directories. */
  prepare(): void {
    const { root, layers, containers, names, temporary } = this.paths;
    // Traversable by owner only: layers hold setuid programs and device nodes.
    for (const path of [root, layers, containers, names, temporary]) makeDirectory(path, 0o700);
  }

  async #openLayout(): Promise<ImageLayout> {
    // Always: what unpacks or removes counts on all of them, and somebody else may have made the layout, or cleared the rest.
    this.prepare();
    return await openLayout(this.paths.images, this.withLock);
  }

  async #canOverlay(): Promise<boolean> {
    const [{ overlayProbeOps }, { runTask }, { OpFailure }] = await Promise.all([
      import("./rootfs/overlay.ts"),
      import("#program/task.ts"),
      import("#program/failure.ts"),
    ]);
    const directory = this.makeTemporary();
    const probe = overlayProbeOps(directory);
    for (const path of probe.directories) makeDirectory(path);
    try {
      await runTask(this.executor, probe.ops, join(directory, "program"));
      return true;
    } catch (error) {
      if (error instanceof OpFailure) return false;
      throw error;
    } finally {
      await this.removeTrees([directory]);
    }
  }

  /** A streamed program, for applying a layer; what it says goes to the open descriptor `output`. */
  async openStream(output?: number): Promise<ProgramStream> {
    // Loaded on use: node:child_process takes Bun 10 ms, and running a container needs none of it.
    const { openProgramStream } = await import("#program/spawn-node.ts");
    return openProgramStream(this.executor.executable, output);
  }

  /** A streamed program that reads trees. */
  async openReadingStream(): Promise<ReadingStream> {
    const { openReadingStream } = await import("#program/spawn-node.ts");
    return openReadingStream(this.executor.executable);
  }
}
