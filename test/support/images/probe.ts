/** Prints what each peer makes of every layer case: `bun test/support/images/probe.ts SCRATCH [case...]`. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { printable, readTree } from "../tree.ts";
import { caseLayers, layerCases } from "./cases/all.ts";
import { checkCase } from "./cases/check.ts";
import { LayoutWriter } from "./layout-writer.ts";
import { peerNames, unpackWithPeer } from "./peers.ts";

const [scratch = "/dev/shm/gantry-probe", ...chosen] = process.argv.slice(2);
for (const layerCase of layerCases.filter((each) => chosen.length === 0 || chosen.includes(each.name))) {
  const layout = join(scratch, "layouts", layerCase.name);
  mkdirSync(layout, { recursive: true });
  const writer = new LayoutWriter(layout);
  writer.tag(writer.image(caseLayers([layerCase]).map((archive) => writer.layer(archive))), "probe");
  for (const peer of peerNames) {
    using used = unpackWithPeer(peer, { layout, tag: "probe" }, join(scratch, "peer"));
    if (!used.tree.ok) {
      console.log(`${layerCase.name} ${peer}: REFUSED ${used.tree.error}`);
      continue;
    }
    const wrong = checkCase(layerCase, readTree(used.tree.directory));
    for (const line of wrong) console.log(`${layerCase.name} ${peer}: ${printable(line)}`);
  }
}
