/** A directory that goes when the test ends: `using scratch = scratchDirectory();`. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { isKernelAtLeast } from "#runtime/facts.ts";

/** In memory where the machine has such a place: tests delete many files, which is slow on some disks. */
export function scratchDirectory(needs: { readonly userAttributes?: boolean } = {}): { readonly path: string } & Disposable {
  // KERNEL: tmpfs has attributes of users since 6.6.
  const isInMemory = existsSync("/dev/shm") && (needs.userAttributes !== true || isKernelAtLeast(release(), 6, 6));
  const path = mkdtempSync(join(isInMemory ? "/dev/shm" : tmpdir(), "gantry-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
