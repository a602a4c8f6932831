/** `gantry inspect`: everything that is known. */
import { CodedError } from "#base/errors.ts";
import { findContainer } from "#engine/containers/names.ts";
import type { Engine } from "#engine/engine.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJson } from "../output.ts";
import { formatOption } from "./common-options.ts";

/** `gantry inspect`. */
export const inspectCommand: Command<CliContext> = {
  name: "inspect",
  summary: "Print all that is known about images and containers, as JSON",
  operands: "NAME...",
  minOperands: 1,
  maxOperands: Number.POSITIVE_INFINITY,
  completes: "images",
  options: [
    {
      name: "type",
      short: "t",
      value: "KIND",
      choices: ["image", "container"],
      help: "look for this kind only (default: a container first)",
    },
    { ...formatOption, choices: ["json"] },
  ],
  run: async (context, parsed) => {
    const kind = valueOf(parsed, "type");
    const found: unknown[] = [];
    for (const name of parsed.operands) found.push(await inspect(context.engine(), name, kind));
    context.output.write(formatJson(found));
    return 0;
  },
};

async function inspect(engine: Engine, name: string, kind: string | undefined): Promise<unknown> {
  if (kind !== "image") {
    const all = await engine.listContainers();
    const record = findOptional(
      name,
      all.map((container) => container.record),
    );
    const container = all.find((candidate) => candidate.record === record);
    if (container !== undefined) return { type: "container", ...container.record, state: container.state };
    if (kind === "container") throw new CodedError("not-found", `no container is called ${JSON.stringify(name)}`);
  }
  try {
    return { type: "image", ...(await engine.inspectImage(name)) };
  } catch (error) {
    if (kind === undefined && error instanceof CodedError && error.code === "not-found") {
      throw new CodedError("not-found", `neither a container nor an image is called ${JSON.stringify(name)}`, { cause: error });
    }
    throw error;
  }
}

function findOptional<Entry extends { readonly id: string; readonly name: string }>(
  name: string,
  all: readonly Entry[],
): Entry | undefined {
  try {
    return findContainer(name, all);
  } catch (error) {
    if (error instanceof CodedError && error.code === "not-found") return undefined;
    throw error;
  }
}
