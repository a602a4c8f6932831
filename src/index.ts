/**
 * The library: `import { openGantry } from "gantry"`, in Node 20 and later and in Bun.
 *
 * What is exported here is the public interface; everything else may change.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Engine } from "./engine/engine.ts";
import { openEngine } from "./engine/local-engine.ts";
import { spawnWithNode } from "./program/spawn-node.ts";
import { networkUser } from "./sys/network.ts";

export { CodedError, type ErrorCode } from "./base/errors.ts";
export type { ContainerRequest, VolumeRequest } from "./engine/containers/request.ts";
export type { Container, ContainerRecord, ContainerState } from "./engine/containers/record.ts";
export type { Engine } from "./engine/engine.ts";
export type {
  CopyRequest,
  CopyResult,
  ForegroundContainer,
  ImageSummary,
  LoadProgress,
  LoadRequest,
  RemovedImage,
  SaveRequest,
  TransferOptions,
} from "./engine/requests.ts";
export type { LoginRequest } from "./engine/registry/login.ts";
export type { PulledImage, PullProgress, PullRequest } from "./engine/registry/pull.ts";
export type { PushedImage, PushRequest } from "./engine/registry/push.ts";
export type { RemoteRequest } from "./engine/registry/remote.ts";
export type { Program, Step } from "./program/encode.ts";
export type { Op } from "./program/ops.gen.ts";
export { compileContainer, type CompiledContainer, type ContainerInput } from "./runtime/compile/compile.ts";
export { explainProgram } from "./runtime/explain.ts";
export { type HostFacts, readHostFacts } from "./runtime/facts.ts";
export { parseRuntimeConfig, type RuntimeConfig } from "./spec/runtime-config.ts";

/** Opens the engine whose state lies in `root` (an absolute path). Nothing is made before something is stored. */
export function openGantry(options: { readonly root: string; readonly executable?: string }): Engine {
  const beside = join(dirname(fileURLToPath(import.meta.url)), "gantry-executor");
  return openEngine({
    root: options.root,
    executor: { spawn: spawnWithNode, executable: options.executable ?? beside },
    registries: networkUser(),
  });
}
