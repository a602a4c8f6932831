/** All hostile images. */
import { advisoryAttacks } from "./advisories.ts";
import { imageAdvisoryAttacks } from "./image-advisories.ts";
import { archiveFileAttacks } from "./archive-files.ts";
import { archiveAttacks } from "./archives.ts";
import type { Attack } from "./attack.ts";
import { compressionAttacks } from "./compression.ts";
import { configAttacks, descriptorAttacks, indexAttacks, manifestAttacks } from "./documents.ts";
import { metadataAttacks } from "./metadata.ts";
import { hardlinkAttacks, linkAttacks, nameAttacks } from "./names.ts";

export const attacks: readonly Attack[] = [
  ...nameAttacks,
  ...linkAttacks,
  ...hardlinkAttacks,
  ...metadataAttacks,
  ...archiveAttacks,
  ...compressionAttacks,
  ...descriptorAttacks,
  ...manifestAttacks,
  ...indexAttacks,
  ...configAttacks,
  ...archiveFileAttacks,
  ...advisoryAttacks,
  ...imageAdvisoryAttacks,
];
