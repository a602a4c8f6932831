/**
 * The program cache: compiled programs are kept, and the next container of the same kind is made without the compiler.
 *
 *     compiler: compiles, delivers -> compiles once more with other names -> where the bytes differ, names go -> entry
 *     executor: same form, same compiler, same facts -> puts the names in -> runs (executor/cached.c)
 *
 * Nobody waits for the compiler here: the program has been delivered. @see docs/program-cache.md
 */
import { join } from "node:path";
import { parseJsonKeepingDigits } from "#base/json.ts";
import { encodeProgram } from "#program/encode.ts";
import { parseRuntimeConfig } from "#spec/runtime-config.ts";
import {
  isPrivateDirectory,
  listDirectory,
  makeNewDirectory,
  modifiedAt,
  pathExists,
  removeFile,
  writeTextAtomic,
} from "#sys/small-files.ts";
import { compileBundle, type BundleOptions } from "../run.ts";
import { encodeChecks, encodeEntry, entryName, type CompilerFile, type Entry } from "./entry.ts";
import { findHoles } from "./holes.ts";
import { checksOf, replayFacts, type RecordedFacts } from "./recorder.ts";
import { expand, normalForm, otherNames, type CallWords, type NormalForm } from "./request.ts";

/** A container's program and what it was compiled from. */
export interface CompiledRequest {
  readonly words: CallWords;
  /** The text of config.json, its bytes as latin1. */
  readonly configText: string;
  readonly options: BundleOptions;
  readonly recorded: RecordedFacts;
  readonly program: Uint8Array;
  readonly compiler: CompilerFile;
}

/** Where programs are kept, and who has compiled them. */
export interface ProgramCache {
  /** Absolute path; what is above it must be there. */
  readonly directory: string;
  readonly compiler: CompilerFile;
}

/** How many programs are kept; those that were not used for longest go first. */
const entryLimit = 64;
const entryLimitBytes = 2 << 20;
/** Words before config.json in a form. */
const wordCount = 8;

/** Keeps the program of a request, unless it cannot be said for which other containers it would be good. */
export function keepProgram(directory: string, request: CompiledRequest): void {
  const entry = makeEntry(request);
  if (entry === undefined || !makeDirectory(directory)) return;
  const bytes = encodeEntry(entry);
  if (bytes.length >= entryLimitBytes) return;
  writeTextAtomic(join(directory, entryName(entry.form)), bytes);
  removeOldest(directory);
}

/** The entry of a request; undefined when there can be none. */
export function makeEntry({ words, configText, options, recorded, program, compiler }: CompiledRequest): Entry | undefined {
  const form = normalForm(words, options.id, configText);
  const checks = checksOf(recorded);
  if (form === undefined || checks === undefined) return undefined;
  const others = otherNames(form.names);
  const replayed = replayFacts(recorded);
  const renamed = encodeProgram(
    compileBundle({ ...options, ...renamedOptions(form, others), facts: replayed.facts, warn: () => undefined }),
  );
  const renamedChecks = checksOf(replayed);
  if (renamedChecks === undefined) return undefined;
  const encoded = encodeChecks(checks);
  const body = Buffer.concat([encoded, program]);
  const holes = findHoles(body, Buffer.concat([encodeChecks(renamedChecks), renamed]), { names: form.names, others });
  return holes === undefined ? undefined : { form, compiler, checks: encoded, program, holes };
}

/** What a request says of the container, with other names. */
function renamedOptions({ form }: NormalForm, others: readonly string[]): Partial<BundleOptions> {
  const [id = ""] = others;
  const texts = expand(form, others).slice(id.length).split("\0");
  const [, , , stateRoot = "", , pidFile = "", consoleSocket = "", bundle = ""] = texts.map((text) =>
    Buffer.from(text, "latin1").toString(),
  );
  const config = parseRuntimeConfig(parseJsonKeepingDigits(Buffer.from(texts.slice(wordCount).join("\0"), "latin1").toString()));
  return { id, stateRoot, bundle, config, ...(pidFile === "" ? {} : { pidFile }), ...(consoleSocket === "" ? {} : { consoleSocket }) };
}

/** False when programs may not be kept there: who could write to the directory could have them run. */
function makeDirectory(directory: string): boolean {
  if (!pathExists(join(directory, ".."))) return false;
  if (!pathExists(directory)) makeNewDirectory(directory);
  return isPrivateDirectory(directory);
}

function removeOldest(directory: string): void {
  const entries = listDirectory(directory).map((name) => ({
    path: join(directory, name),
    at: modifiedAt(join(directory, name))?.getTime() ?? 0,
  }));
  entries.sort((a, b) => b.at - a.at);
  for (const { path } of entries.slice(entryLimit)) removeFile(path);
}
