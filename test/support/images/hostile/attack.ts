/** What a hostile image is, and short ways to write one. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { LayoutWriter, type Compression, type WrittenLayer } from "../layout-writer.ts";
import { tar, type TarEntry } from "../tar-writer.ts";

/** Where an attack is written and what it may aim at. */
export interface AttackSite {
  /** An empty directory for the image. */
  readonly directory: string;
  /** A host directory that holds `secret` (a file) and must stay as it is: the aim of names that lead out. */
  readonly canary: string;
}

/** One image that means harm. */
export interface Attack {
  readonly name: string;
  /**
   * `refuse`: loading fails and leaves nothing. `contain`: loading may succeed, but touches nothing outside and what was loaded is sound.
   * `refuse-run`: if loading succeeds, running must fail.
   */
  readonly expect: "refuse" | "contain" | "refuse-run";
  readonly why: string;
  /** Writes the image and returns the path that is to be loaded. */
  readonly build: (site: AttackSite) => string;
  /** More arguments for loading. */
  readonly load?: readonly string[];
  /** Run what was loaded, whatever comes of it: the host must stay as it is. */
  readonly run?: true;
  /** Paths (relative to the image's root) and what they must not be: found so, the attack has worked. */
  readonly forbidden?: readonly string[];
}

/** Entries of layers, lowest first; they may depend on the site. */
export type AttackLayers = readonly (readonly TarEntry[])[];

/** An attack by the entries of its layers. */
export function byEntries(attack: Omit<Attack, "build">, layers: AttackLayers | ((site: AttackSite) => AttackLayers)): Attack {
  return {
    ...attack,
    build: (site) => {
      const entries = typeof layers === "function" ? layers(site) : layers;
      return writeImage(site, (writer) => entries.map((each) => writer.layer(tar(each))));
    },
  };
}

/** An attack by the bytes of its only layer's archive. */
export function byArchive(
  attack: Omit<Attack, "build">,
  archive: (site: AttackSite) => Uint8Array,
  compression: Compression = "gzip",
): Attack {
  return { ...attack, build: (site) => writeImage(site, (writer) => [writer.layer(archive(site), compression)]) };
}

/** An attack by what it does with the writer of a layout; it writes the index itself. */
export function byLayout(attack: Omit<Attack, "build">, write: (writer: LayoutWriter, site: AttackSite) => void): Attack {
  return {
    ...attack,
    build: (site) => {
      const directory = join(site.directory, "layout");
      mkdirSync(directory);
      write(new LayoutWriter(directory), site);
      return directory;
    },
  };
}

/** A layer that is sound: something for the documents around it to be wrong about. */
export function soundLayer(writer: LayoutWriter, content = "sound"): WrittenLayer {
  return writer.layer(tar([{ name: "file", data: content }]));
}

/** A name of this many steps up and then down to `path`: it leads to the host's `path` from wherever it is resolved. */
export function upAndDown(path: string): string {
  return `${"../".repeat(24)}${path.slice(1)}`;
}

function writeImage(site: AttackSite, layers: (writer: LayoutWriter) => readonly WrittenLayer[]): string {
  const directory = join(site.directory, "layout");
  mkdirSync(directory);
  const writer = new LayoutWriter(directory);
  writer.tag(writer.image(layers(writer)), "hostile");
  return directory;
}
