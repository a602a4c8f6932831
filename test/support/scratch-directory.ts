/** A directory that goes when the test ends: `using scratch = scratchDirectory();`. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** In memory where the machine has such a place: tests delete many files, which is slow on some disks. */
export function scratchDirectory(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "gantry-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
