/**
 * Makes a fresh clone ready to work in: installs the packages, repairs bun, builds what is missing or older than the sources.
 * Plain JavaScript, because it runs on Node before anything is installed. Each step does nothing when there is nothing to do.
 *
 *     node scripts/setup.mjs [--no-build]
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bun = join(root, "node_modules", ".bin", "bun");

/** Says what is missing and what to do about it, and ends. */
function stop(...lines) {
  for (const line of lines) console.error(`setup: ${line}`);
  process.exit(1);
}

function run(command, args, environment = process.env) {
  const ended = spawnSync(command, args, { cwd: root, env: environment, stdio: ["ignore", "inherit", "inherit"] });
  if (ended.error) stop(`cannot run ${command}: ${ended.error.message}`);
  return ended.status === 0;
}

function succeeds(command, args) {
  return spawnSync(command, args, { cwd: root, stdio: "ignore" }).status === 0;
}

function isOnPath(program) {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function requireTools() {
  if (process.platform !== "linux") stop(`Gantry runs on Linux, this is ${process.platform}`);
  if (Number(process.versions.node.split(".")[0]) < 20) stop(`Node 20 or later is needed, this is ${process.version}`);
  const compiler = process.env["CC"] ?? "";
  if (compiler === "" && !["cc", "gcc", "clang"].some(isOnPath)) {
    stop("a C compiler is needed for the executor: none of cc, gcc and clang is on the PATH", "on Debian: apt-get install gcc libc6-dev");
  }
}

function packagesOf(lockfile) {
  try {
    return JSON.parse(readFileSync(join(root, lockfile), "utf8")).packages;
  } catch {
    return undefined;
  }
}

/** npm keeps the list of what it installed; whether that is what the lockfile asks for is a comparison of two lists. */
function packagesAreCurrent() {
  const wanted = packagesOf("package-lock.json");
  const present = packagesOf(join("node_modules", ".package-lock.json"));
  if (wanted === undefined || present === undefined) return false;
  const paths = Object.keys(wanted).filter((path) => path !== "");
  return (
    paths.every((path) =>
      present[path] === undefined ? wanted[path].optional === true : present[path].version === wanted[path].version,
    ) && Object.keys(present).every((path) => wanted[path] !== undefined)
  );
}

function installPackages() {
  if (packagesAreCurrent()) return;
  console.log("setup: installing packages (npm ci)");
  if (!isOnPath("npm")) stop("npm is needed to install the packages, and it is not on the PATH");
  if (!run("npm", ["ci", "--no-audit", "--no-fund"])) stop("npm ci failed: see above");
}

/** bun's package holds a placeholder until its install script ran; npm 11 and careful people do not run such scripts. */
function repairBun() {
  if (succeeds(bun, ["--version"])) return;
  // It renames what it unpacks in the temporary directory, which must therefore be on the same file system.
  const environment = { ...process.env, TMPDIR: join(root, "node_modules") };
  if (!run(process.execPath, [join("node_modules", "bun", "install.js")], environment) || !succeeds(bun, ["--version"])) {
    stop("bun was installed but does not start", "try: rm -rf node_modules && npm ci", `and then: ${bun} --version`);
  }
}

requireTools();
installPackages();
repairBun();
if (!process.argv.includes("--no-build") && !run(bun, ["scripts/build.ts", "--if-stale"])) stop("the build failed: see above");
