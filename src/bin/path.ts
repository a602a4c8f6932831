/**
 * What the sources use of node:path, for the compiled executable, which gets this in its place (scripts/executable.ts): loading Bun's own takes
 * each command 0.4 ms. The same results, for POSIX paths; path.test.ts compares them.
 */

/** Whether `path` begins at the root. */
export function isAbsolute(path: string): boolean {
  return path.startsWith("/");
}

/** The parts as one path, without `.`, `..` and empty parts inside. */
export function join(...parts: readonly string[]): string {
  let path = "";
  for (const part of parts) if (part !== "") path = path === "" ? part : `${path}/${part}`;
  return path === "" ? "." : normalize(path);
}

/** The parts, the last absolute one first, as an absolute path without a slash at its end. */
export function resolve(...parts: readonly string[]): string {
  let path = "";
  for (const part of [process.cwd(), ...parts]) if (part !== "") path = isAbsolute(part) ? part : `${path}/${part}`;
  const normal = normalize(path);
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal;
}

/** All but the last part of `path`. */
export function dirname(path: string): string {
  const at = path.lastIndexOf("/", endOf(path) - 1);
  if (path === "" || at < 0) return ".";
  if (at === 0) return "/";
  return at === 1 && isAbsolute(path) ? "//" : path.slice(0, at);
}

/** The last part of `path`. */
export function basename(path: string): string {
  const end = endOf(path);
  if (end === 1 && isAbsolute(path)) return "";
  return path.slice(end === 0 ? 0 : path.lastIndexOf("/", end - 1) + 1, end);
}

/** Where `path` ends without the slashes at its end; a first one stays. */
function endOf(path: string): number {
  let end = path.length;
  while (end > 1 && path[end - 1] === "/") end--;
  return end;
}

function normalize(path: string): string {
  // Nearly all are.
  if (!path.includes("//") && !path.includes("/.") && !path.startsWith(".")) return path;
  const kept: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!isAbsolute(path)) kept.push("..");
  }
  const start = isAbsolute(path) ? "/" : kept.length === 0 ? "." : "";
  const end = path.endsWith("/") && start + kept.join("") !== "/" ? "/" : "";
  return `${start}${kept.join("/")}${end}`;
}
