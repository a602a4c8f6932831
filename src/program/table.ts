/**
 * The op table: the only place where an op exists.
 *
 * `scripts/generate.ts` makes from it the TypeScript union and encoder (`ops.gen.ts`), the C structs
 * and decoder (`executor/ops.gen.h`) and `docs/program-format.md`; a house test regenerates and compares.
 *
 * An op is primitive (about one system call, or one fixed race-free sequence), absolute (no cursor; the
 * working root set by `root` or `enter-root` is the only context) and blind (it never looks at its neighbours).
 * Numbers are never reused: a removed op leaves a gap and raises `formatVersion` (format-version.ts).
 */

import { cgroupOps } from "./table/cgroups.ts";
import { criuOps } from "./table/criu.ts";
import { fileOps } from "./table/files.ts";
import { hostOps } from "./table/host.ts";
import { lifecycleOps } from "./table/lifecycle.ts";
import { mountPartOps } from "./table/mount-parts.ts";
import { mountOps } from "./table/mounts.ts";
import { namespaceOps } from "./table/namespaces.ts";
import { processOps } from "./table/process.ts";
import { surveyOps } from "./table/surveys.ts";
import { terminalOps } from "./table/terminals.ts";
import { treeOps } from "./table/trees.ts";
import type { OpDefinition } from "./table/op.ts";

export type { FieldKind, OpDefinition, Place } from "./table/op.ts";

export const opTable: readonly OpDefinition[] = [
  ...hostOps,
  ...fileOps,
  ...lifecycleOps,
  ...namespaceOps,
  ...mountOps,
  ...mountPartOps,
  ...processOps,
  ...treeOps,
  ...terminalOps,
  ...criuOps,
  ...cgroupOps,
  ...surveyOps,
];
