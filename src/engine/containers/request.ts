/** What a caller may ask of a new container; everything left out comes from the image or from defaults. */
import { CodedError } from "#base/errors.ts";
import type { SeccompProfile } from "./seccomp-profile.ts";

/** A directory or file of the host, shown in the container. */
export interface VolumeRequest {
  /** Absolute path on the host. */
  readonly source: string;
  /** Absolute path in the container. */
  readonly target: string;
  readonly readOnly: boolean;
}

/** A container to be made. */
export interface ContainerRequest {
  readonly image: string;
  /** Replaces the image's Cmd. */
  readonly command: readonly string[];
  /** Replaces the image's Entrypoint; "" means none. */
  readonly entrypoint?: string;
  readonly name?: string;
  readonly hostname?: string;
  /** "NAME=VALUE". */
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  readonly user?: string;
  readonly volumes: readonly VolumeRequest[];
  readonly readOnly: boolean;
  readonly memoryBytes?: number;
  readonly pidsLimit?: number;
  /** CPUs' worth of time: 1.5 is one and a half. */
  readonly cpus?: number;
  readonly network: "none" | "host";
  /** The system calls that may be made; without it, those that Docker allows. */
  readonly seccomp?: SeccompProfile | "unconfined";
  readonly autoRemove: boolean;
  /** Hand on standard input; otherwise the container reads an empty one. */
  readonly interactive: boolean;
  /** Give the process a terminal, which is connected to the caller's. */
  readonly tty: boolean;
}

/** Least memory that a container may be given, in bytes: below it nothing starts (Docker's floor as well). */
const minimumMemoryBytes = 6 << 20;

/** Checks numbers and strings of a request. @throws CodedError `invalid-argument` */
export function checkRequest(request: ContainerRequest): void {
  const { memoryBytes, pidsLimit, cpus, hostname } = request;
  if (memoryBytes !== undefined && memoryBytes < minimumMemoryBytes) {
    throw new CodedError("invalid-argument", `cannot limit memory to ${memoryBytes} bytes: the least is ${minimumMemoryBytes} (6m)`);
  }
  if (pidsLimit !== undefined && (!Number.isSafeInteger(pidsLimit) || pidsLimit < -1 || pidsLimit === 0)) {
    throw new CodedError("invalid-argument", `cannot limit processes to ${pidsLimit}: it must be at least 1, or -1 for no limit`);
  }
  if (cpus !== undefined && !(cpus >= 0.01 && cpus <= 4096)) {
    throw new CodedError("invalid-argument", `cannot limit the container to ${cpus} CPUs: it must be from 0.01 to 4096`);
  }
  if (hostname !== undefined && !/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$/.test(hostname)) {
    throw new CodedError(
      "invalid-argument",
      `cannot use ${JSON.stringify(hostname)} as host name: it needs 1 to 64 letters, digits, "." or "-"`,
    );
  }
  for (const entry of request.env) {
    if (entry.startsWith("=") || entry.includes("\0"))
      throw new CodedError("invalid-argument", `cannot set ${JSON.stringify(entry)}: it is not NAME=VALUE`);
  }
  const targets = request.volumes.map((volume) => volume.target);
  const twice = targets.find((target, index) => targets.indexOf(target) !== index);
  if (twice !== undefined) throw new CodedError("invalid-argument", `cannot mount two volumes at ${twice}`);
}

/** Parses "SOURCE:TARGET[:ro|rw]". Relative sources are taken from `currentDirectory`. @throws CodedError */
export function parseVolume(text: string, currentDirectory: string): VolumeRequest {
  const parts = text.split(":");
  const [source = "", target = "", options = "rw"] = parts;
  const fault = (why: string): CodedError => new CodedError("invalid-argument", `cannot use volume ${JSON.stringify(text)}: ${why}`);
  if (parts.length < 2 || parts.length > 3) throw fault("it is not SOURCE:TARGET or SOURCE:TARGET:ro");
  if (!target.startsWith("/") || target.split("/").includes(".."))
    throw fault(`the target ${JSON.stringify(target)} is not an absolute path without ".."`);
  if (/^\/*$/.test(target)) throw fault("the target is the root directory");
  if (options !== "ro" && options !== "rw") throw fault(`${JSON.stringify(options)} is neither "ro" nor "rw"`);
  if (!source.startsWith("/") && !source.startsWith(".")) {
    throw fault(`${JSON.stringify(source)} is no path; named volumes are not there yet, so write ./${source} or an absolute path`);
  }
  const absolute = source.startsWith("/") ? source : `${currentDirectory}/${source}`;
  return { source: absolute, target, readOnly: options === "ro" };
}
