/** How the executor gets a criu that it can talk to: a child that becomes it, with the channel to us as a descriptor. */
import { childSection, type Step } from "#program/encode.ts";
import { byDefault, step } from "../context.ts";
import { executableCandidates } from "../process.ts";
import { type CriuOptions, type CriuRequestType, encodeCriuRequest } from "./request.ts";

/** The program and what it is told in every case. */
export interface CriuCall {
  /** Name or path of the program. */
  readonly program: string;
  /** Its environment. */
  readonly environment: readonly string[];
  /** Absolute path of the directory of the image. */
  readonly imagePath: string;
  /** Absolute path of the directory of criu's log and of what it keeps for itself. */
  readonly workPath: string;
  /** Descriptor of our caller that is told when lazy pages can be asked for. */
  readonly statusFd?: number;
}

/** The descriptor of the channel in criu; what else it is handed follows. */
const channelFd = 3;

/** None, for the op `await-criu`. */
const noStatus = 0xffffffff;

const asked = byDefault("asked for");

/** The directories are found by descriptors of criu's own. */
export const directoryOptions: CriuOptions = { imagesDirectoryFd: channelFd + 1, workDirectoryFd: channelFd + 2 };

/** The last steps of the child: it becomes criu. `files` become descriptors as `inheritedFd` says. */
export function becomeCriu({ program, environment, imagePath, workPath }: CriuCall, files: readonly string[] = []): Step[] {
  const candidates = executableCandidates(program, environment);
  const handed = [imagePath, workPath, ...files];
  return [
    step({ op: "pass-channel", fd: channelFd }, byDefault("criu is asked over it")),
    ...handed.map((path, index) => step({ op: "keep-descriptor", path, fd: channelFd + 1 + index }, asked)),
    step({ op: "exec", candidates, argv: ["criu", "swrk", String(channelFd)], env: environment }, asked),
  ];
}

/** The number in criu of the file at `index`. */
export function inheritedFd(index: number): number {
  return channelFd + 3 + index;
}

/** When the child runs criu, sends the request and waits for the result; `pauses` are notifications that steps of ours follow. */
export function ask(
  { statusFd = noStatus }: CriuCall,
  {
    type,
    options,
    adopt,
    pauses = [],
  }: {
    readonly type: CriuRequestType;
    readonly options: CriuOptions;
    /** Whether what criu restored becomes the executor's child. */
    readonly adopt: boolean;
    readonly pauses?: readonly { readonly notice: string; readonly steps: readonly Step[] }[];
  },
): Step[] {
  return [
    step({ op: "release-child" }, asked),
    step({ op: "await-exec" }, byDefault("a failure to execute criu is none of criu's")),
    step({ op: "request-criu", request: encodeCriuRequest(type, options) }, asked),
    ...pauses.flatMap(({ notice, steps }) => [step({ op: "await-criu", notice, status: statusFd }, asked), ...steps]),
    step({ op: "await-criu", notice: "", status: statusFd }, asked),
    step({ op: "end-criu", adopt: adopt ? 1 : 0 }, asked),
  ];
}

/** The section of the child that becomes criu. */
export const criuSection = childSection(0);
