/** Where everything lies below the engine's root directory. All state is files; nothing else is remembered. */
import { join } from "node:path";

/** The places below one root. */
export interface EnginePaths {
  readonly root: string;
  /** An OCI image layout: blobs/, index.json, oci-layout. */
  readonly images: string;
  /** One directory per chain id: fs/ (what overlayfs stacks), layer.json, passwd, group. */
  readonly layers: string;
  /** One directory per container, named by its id. */
  readonly containers: string;
  /** One symbolic link per container name, to its id: making the link is what takes the name. */
  readonly names: string;
  /** Work in progress; entries carry their owner, those of dead owners are swept. */
  readonly temporary: string;
  /** flock()ed: shared while a container's mounts are made, exclusive while images, layers or names change. */
  readonly lock: string;
}

/** The places below `root`, an absolute path. */
export function enginePaths(root: string): EnginePaths {
  return {
    root,
    images: join(root, "images"),
    layers: join(root, "layers"),
    containers: join(root, "containers"),
    names: join(root, "names"),
    temporary: join(root, "tmp"),
    lock: join(root, "lock"),
  };
}

/** The files of one container. */
export interface ContainerPaths {
  readonly directory: string;
  readonly record: string;
  readonly config: string;
  readonly program: string;
  /** /proc/PID/stat of the first process as it was at the start. */
  readonly child: string;
  /** The wait status, once it ended. */
  readonly exit: string;
  /** The cgroup's account of out-of-memory kills, copied at the end. */
  readonly memoryEvents: string;
  readonly rootfs: string;
  readonly upper: string;
  readonly work: string;
  readonly hosts: string;
  readonly hostname: string;
  readonly resolvConf: string;
}

/** The files of the container `id`. */
export function containerPaths(paths: EnginePaths, id: string): ContainerPaths {
  const directory = join(paths.containers, id);
  return {
    directory,
    record: join(directory, "container.json"),
    config: join(directory, "config.json"),
    program: join(directory, "program"),
    child: join(directory, "child"),
    exit: join(directory, "exit"),
    memoryEvents: join(directory, "memory-events"),
    rootfs: join(directory, "rootfs"),
    upper: join(directory, "upper"),
    work: join(directory, "work"),
    hosts: join(directory, "hosts"),
    hostname: join(directory, "hostname"),
    resolvConf: join(directory, "resolv.conf"),
  };
}
