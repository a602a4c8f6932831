/** Findings in the order of a changeset, directory by directory: no more than the names of one way down are in memory at a time. */
import type { ByteString } from "#base/byte-string.ts";
import { joinPath, parentOf, type Change, type Changeset } from "./change.ts";
import type { Findings, FoundDirectory } from "./findings.ts";

/** The changes that decided findings are. Of names of one file, the later ones are links to the first. */
export function inOrder(findings: Findings): Changeset {
  const order = orderOf(findings);
  return new ListedChanges(findings, order, linkTargets(findings, order));
}

class ListedChanges implements Changeset {
  readonly #findings: Findings;
  readonly #order: Uint32Array;
  readonly #targets: ReadonlyMap<number, number>;

  constructor(findings: Findings, order: Uint32Array, targets: ReadonlyMap<number, number>) {
    this.#findings = findings;
    this.#order = order;
    this.#targets = targets;
  }

  get length(): number {
    return this.#order.length;
  }

  *[Symbol.iterator](): Generator<Change, void, undefined> {
    for (const index of this.#order) yield this.#change(index);
  }

  withoutRoot(): Changeset {
    const [first] = this.#order;
    if (first === undefined || this.#findings.path(first) !== root) return this;
    return new ListedChanges(this.#findings, this.#order.subarray(1), this.#targets);
  }

  filter(keep: (change: Change) => boolean): Changeset {
    return new ListedChanges(
      this.#findings,
      this.#order.filter((index) => keep(this.#change(index))),
      this.#targets,
    );
  }

  #change(index: number): Change {
    const findings = this.#findings;
    const kind = findings.verdict(index) as Change["kind"];
    const entry = findings.entry(index);
    const path = findings.path(index);
    if (kind === "deleted") return { kind, path };
    const target = this.#targets.get(index);
    return target === undefined ? { kind, path, entry } : { kind, path, entry, linkTo: findings.path(target) };
  }
}

/** For each name of a file whose first name comes earlier, that one. */
function linkTargets(findings: Findings, order: Uint32Array): Map<number, number> {
  const targets = new Map<number, number>();
  const identities = new Map(findings.sharedNames.map(({ index, identity }) => [index, identity]));
  if (identities.size === 0) return targets;
  const first = new Map<string, number>();
  for (const index of order) {
    const identity = identities.get(index);
    if (identity === undefined || findings.entry(index).links === 1) continue;
    const target = first.get(identity);
    if (target === undefined) first.set(identity, index);
    else targets.set(index, target);
  }
  return targets;
}

/** A directory with findings in it or below it. */
interface Node {
  readonly found: FoundDirectory[];
  /** Names of directories with findings in them or below them. */
  readonly below: ByteString[];
}

/** One name of a directory. Without an index it is one of `below`. */
interface Item {
  /** What is deleted comes before the others, and the tree itself first of all. */
  readonly rank: number;
  readonly name: ByteString;
  readonly index: number | undefined;
}

function orderOf(findings: Findings): Uint32Array {
  const nodes = nodesOf(findings);
  const order = new Uint32Array(findings.length);
  let length = 0;
  const visit = (path: ByteString): void => {
    const node = nodes.get(path);
    if (node === undefined) return;
    for (const { name, index } of itemsOf(findings, node)) {
      if (index === undefined) visit(joinPath(path, name));
      else order[length++] = index;
    }
  };
  visit(root);
  return order.slice(0, length);
}

const root = "" as ByteString;

function nodesOf(findings: Findings): Map<ByteString, Node> {
  const nodes = new Map<ByteString, Node>();
  const nodeOf = (path: ByteString): Node => {
    const known = nodes.get(path);
    if (known !== undefined) return known;
    const node: Node = { found: [], below: [] };
    nodes.set(path, node);
    const parent = parentOf(path);
    if (parent !== undefined) nodeOf(parent).below.push(path.slice(path.lastIndexOf("/") + 1) as ByteString);
    return node;
  };
  for (const directory of findings.directories) nodeOf(directory.path).found.push(directory);
  return nodes;
}

function itemsOf(findings: Findings, { found, below }: Node): Item[] {
  const items: Item[] = below.map((name) => ({ rank: 2, name, index: undefined }));
  for (const { start, end } of found) {
    for (let index = start; index < end; index++) {
      const verdict = findings.verdict(index);
      if (verdict === "same") continue;
      const name = findings.name(index);
      items.push({ rank: verdict === "deleted" ? 1 : name === root ? 0 : 2, name, index });
    }
  }
  return items.sort(byRankAndName);
}

/** A directory comes before what is in it. */
function byRankAndName(one: Item, other: Item): number {
  if (one.rank !== other.rank) return one.rank - other.rank;
  if (one.name !== other.name) return one.name < other.name ? -1 : 1;
  return one.index === undefined ? 1 : -1;
}
