/** Names and ids of containers. */
import { CodedError } from "#base/errors.ts";

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

/** Checks a name that a user gave. @throws CodedError `invalid-argument` */
export function checkContainerName(name: string): string {
  if (!namePattern.test(name)) {
    throw new CodedError(
      "invalid-argument",
      `cannot use ${JSON.stringify(name)} as a container's name: it needs 1 to 128 letters, digits, "_", "." or "-", a letter or digit first`,
    );
  }
  return name;
}

const qualities =
  "able agile bold brave brisk calm clear deft eager fair fast firm fleet fond free glad grand keen kind light lucid merry mild neat noble prime proud quick quiet rapid ready sharp sleek smart solid sound spry steady sturdy sunny sure swift tidy trim true vivid warm wise".split(
    " ",
  );
const things =
  "anchor barge beacon berth boom bridge buoy cabin cable cargo chain compass cove crane crate davit deck derrick dock ferry frame galley girder harbor hatch hawser helm hoist hook hull jetty keel ladder lantern latch mast mooring oar pier pilot port pulley quay rail rigging rope rudder sail shackle skiff tackle tender tide tiller trolley tug wharf winch".split(
    " ",
  );

/** A name for a container that was given none, from two random numbers of 32 bits. */
export function inventName(first: number, second: number): string {
  return `${qualities[first % qualities.length] ?? "calm"}_${things[second % things.length] ?? "crane"}_${(second >>> 16).toString(36)}`;
}

/** The container that `reference` names: a name, an id, or the unique start of an id. @throws CodedError `not-found`, `invalid-argument` */
export function findContainer<Entry extends { readonly id: string; readonly name: string }>(
  reference: string,
  all: readonly Entry[],
): Entry {
  const exact = all.find((entry) => entry.name === reference || entry.id === reference);
  if (exact !== undefined) return exact;
  const matches = /^[0-9a-f]+$/.test(reference) ? all.filter((entry) => entry.id.startsWith(reference)) : [];
  if (matches.length > 1) {
    throw new CodedError("invalid-argument", `cannot tell which container ${JSON.stringify(reference)} is: ${matches.length} ids begin so`);
  }
  const [match] = matches;
  if (match === undefined) throw new CodedError("not-found", `no container is called ${JSON.stringify(reference)}`);
  return match;
}
