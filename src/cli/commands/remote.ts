/** `gantry registry`: what a registry has. */
import { UsageError } from "../arguments.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { formatJson, printable } from "../output.ts";
import { formatOption, insecureOption } from "./common-options.ts";

/** `gantry registry`. */
export const registryCommand: Command<CliContext> = {
  name: "registry",
  summary: "List the tags of a repository; delete what a registry has",
  operands: "tags REGISTRY/NAME | delete REGISTRY/NAME:TAG|REGISTRY/NAME@DIGEST...",
  minOperands: 2,
  maxOperands: Number.POSITIVE_INFINITY,
  description:
    "delete NAME:TAG deletes the tag alone, which not every registry can; NAME@DIGEST deletes the image with all its tags. A signature or\n" +
    "list of contents that is deleted is also taken out of the list of what refers to its image. Nothing here is touched by either.",
  options: [formatOption, insecureOption],
  examples: ["gantry registry tags registry.example/team/app", "gantry registry delete registry.example/team/app:old"],
  run: async (context, parsed) => {
    const [verb, ...references] = parsed.operands;
    const insecure = parsed.switches.has("insecure") ? { insecure: true } : {};
    const isJson = valueOf(parsed, "format") === "json";
    if (verb === "tags") {
      const [reference = "", ...more] = references;
      if (more.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(more[0])}`);
      const tags = await context.engine().listTags({ reference, ...insecure });
      context.output.write(isJson ? formatJson(tags) : tags.map((tag) => `${printable(tag)}\n`).join(""));
    } else if (verb === "delete") {
      const results = [];
      for (const reference of references) {
        const deleted = await context.engine().deleteRemote({ reference, ...insecure });
        results.push({ reference, deleted });
        if (!isJson) context.output.write(`${deleted ? "Deleted" : "Not there"}: ${printable(reference)}\n`);
      }
      if (isJson) context.output.write(formatJson(results));
    } else throw new UsageError(`${JSON.stringify(verb)} is not one of tags, delete`);
    return 0;
  },
};
