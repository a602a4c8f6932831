/** Random trees: steps that make, change and remove files of every kind, as data for property tests and as files on disk. */
import fc from "fast-check";
import { execFileSync } from "node:child_process";

/** One step; paths are names from the top down, one char per byte. */
export type TreeStep =
  | { readonly kind: "remove"; readonly path: readonly string[] }
  | { readonly kind: "link"; readonly path: readonly string[]; readonly target: readonly string[] }
  | {
      readonly kind: "directory" | "file" | "symlink" | "fifo" | "char" | "block" | "socket";
      readonly path: readonly string[];
      readonly content: string;
      /** A hole of so many bytes before the content. */
      readonly hole: number;
      readonly mode: number;
      readonly uid: number;
      /** Time of modification, since 1970. */
      readonly nanos: number;
      readonly xattrs: readonly (readonly [name: string, value: string])[];
    };

const names = ["a", "b", "c", "d.txt", "e e", "\xff\xfe", "\xc3\xa9", "n".repeat(120), "-x", ".h"];
const path = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 });

const put = fc.record({
  kind: fc.constantFrom("directory", "directory", "file", "file", "file", "symlink", "fifo", "char", "block", "socket"),
  path,
  content: fc.oneof(
    fc.constantFrom("", "x", "same length 1", "same length 2"),
    fc.nat(9000).map((size) => "z".repeat(size)),
  ),
  hole: fc.constantFrom(0, 0, 0, 0, 4096, 200_000, 1_500_000),
  mode: fc.constantFrom(0o644, 0o755, 0o4755, 0o1777, 0),
  uid: fc.constantFrom(0, 1, 1000, 2 ** 31 + 5),
  nanos: fc.constantFrom(0, 1_700_000_000_000_000_000, 1_700_000_000_000_000_256, -5_000_000_001, 8_589_934_592_500_000_000),
  xattrs: fc.array(fc.tuple(fc.constantFrom("user.one", "trusted.two", "user.\xc3\xa9="), fc.constantFrom("", "v", "a\0b")), {
    maxLength: 2,
  }),
});

const step: fc.Arbitrary<TreeStep> = fc.oneof(
  { weight: 12, arbitrary: put },
  { weight: 2, arbitrary: path.map((path): TreeStep => ({ kind: "remove", path })) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("link" as const), path, target: path }) },
);

/** Steps of one tree, and more steps that make another one of it. */
export const twoTrees: fc.Arbitrary<{ first: TreeStep[]; more: TreeStep[] }> = fc.record({
  first: fc.array(step, { maxLength: 25 }),
  more: fc.array(step, { maxLength: 12 }),
});

/** Takes `steps` in the directory `root`; those that cannot be taken (their parent is a file, say) are left out. */
export function takeSteps(root: string, steps: readonly TreeStep[]): void {
  execFileSync("python3", [new URL("steps.py", import.meta.url).pathname, root], { input: JSON.stringify(steps), stdio: "pipe" });
}
