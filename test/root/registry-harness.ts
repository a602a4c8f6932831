/** Stores of Gantry and users without logins, for tests with a registry. */
import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { installed, tool } from "../support/images/commands.ts";
import { execute, gantryPath, unable, type Ended, type RunOptions } from "./gantry-harness.ts";

/** Why these tests cannot run here; undefined when they can. */
export const reason: string | undefined =
  unable ??
  (installed("docker-registry", "skopeo", "openssl", "htpasswd") ? undefined : "docker-registry, skopeo, openssl or htpasswd is missing");

/** A new directory in memory; nothing where the tests cannot run. */
export function makeScratch(): string {
  return reason === undefined ? mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : "/var/tmp", "gantry-registry-")) : "";
}

let count = 0;

/** A root of Gantry with nothing in it, and a user of its own without any login. */
export class Store {
  readonly root: string;
  readonly home: string;
  readonly env: Record<string, string>;

  constructor(scratch: string) {
    this.root = join(scratch, `root-${count++}`);
    this.home = `${this.root}-home`;
    mkdirSync(this.home);
    this.env = { HOME: this.home, XDG_RUNTIME_DIR: join(this.home, "run") };
  }

  gantry(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return execute([gantryPath, "--root", this.root, ...words], { ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs a command that must succeed; gives its output. */
  async ok(...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.gantry(words);
    if (code !== 0) throw new Error(`gantry ${words.join(" ")}: ${stderr}`);
    return stdout;
  }
}

/** skopeo without a policy of the machine's. */
export const skopeo = (...words: readonly string[]): string => tool(["skopeo", "--insecure-policy", ...words]);
