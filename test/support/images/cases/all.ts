/** All layer cases, as one list and as layers of one image. */
import { tar, type TarEntry } from "../tar-writer.ts";
import { caseEntries, type LayerCase } from "./case.ts";
import { changeCases } from "./changes.ts";
import { linkCases } from "./links.ts";
import { metadataCases } from "./metadata.ts";
import { whiteoutCases } from "./whiteouts.ts";

export const layerCases: readonly LayerCase[] = [...whiteoutCases, ...changeCases, ...linkCases, ...metadataCases];

/** The archives of an image that holds `cases`, each in its own directory; as many layers as the longest case has. */
export function caseLayers(cases: readonly LayerCase[]): Buffer[] {
  const count = Math.max(...cases.map((each) => each.layers.length));
  return Array.from({ length: count }, (_, index) => {
    const top: TarEntry[] = index === 0 ? [{ name: "cases/", type: "directory" }] : [];
    return tar([...top, ...cases.flatMap((each) => caseEntries(each, index))]);
  });
}
