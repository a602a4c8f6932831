/** Hooks: the config's author's programs, with the container's state on standard input. @see runtime-spec config.md#posix-platform-hooks */
import type { Step } from "#program/encode.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { pointerTo } from "#spec/shape.ts";
import { step } from "./context.ts";

/** What the state that a hook reads is made from. */
export interface HookSubject {
  readonly config: RuntimeConfig;
  readonly id: string;
  readonly bundle: string;
}

/** The moments of the spec. */
export type HookKind = keyof NonNullable<RuntimeConfig["hooks"]>;

/** The status that each kind is told. Once the runtime environment is there, the container is created. @see runtime-spec runtime.md#lifecycle, step 2 */
const statusOf: Readonly<Record<HookKind, string>> = {
  prestart: "created",
  createRuntime: "created",
  createContainer: "created",
  startContainer: "created",
  poststart: "running",
  poststop: "stopped",
};

/** Whether the config has a hook of one of these kinds. */
export function hasHooks({ hooks }: RuntimeConfig, ...kinds: readonly HookKind[]): boolean {
  return kinds.some((kind) => (hooks?.[kind] ?? []).length > 0);
}

/** The hooks of one kind, in their order. */
export function compileHooks({ config, id, bundle }: HookSubject, kind: HookKind): Step[] {
  const { ociVersion, annotations } = config;
  const head = JSON.stringify({ ociVersion, id, status: statusOf[kind] });
  const tail = JSON.stringify({ bundle, ...(annotations === undefined ? {} : { annotations }) });
  return (config.hooks?.[kind] ?? []).map(({ path, args, env = [], timeout = 0 }, index) =>
    step(
      {
        op: "hook",
        path,
        args: args === undefined || args.length === 0 ? [path] : args,
        env,
        timeout,
        head: `${head.slice(0, -1)},"pid":`,
        tail: `,${tail.slice(1)}`,
      },
      pointerTo(`/hooks/${kind}`, String(index)),
    ),
  );
}
