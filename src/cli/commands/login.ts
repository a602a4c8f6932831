/** `gantry login`, `gantry logout`: who we are at a registry. */
import { CodedError } from "#base/errors.ts";
import { type Command, valueOf } from "../command.ts";
import type { CliContext } from "../context.ts";
import { printable } from "../output.ts";
import { insecureOption } from "./common-options.ts";

/** Longer passwords are not read. */
const maxPasswordBytes = 64 << 10;

/** `gantry login`. */
export const loginCommand: Command<CliContext> = {
  name: "login",
  summary: "Prove to a registry who you are, and keep the credentials",
  operands: "REGISTRY",
  minOperands: 1,
  maxOperands: 1,
  description:
    "What the registry takes is kept in the credential helper that docker's config.json sets for it, or in that file (or the one that\n" +
    "REGISTRY_AUTH_FILE names), readable by you only. A helper keeps it encrypted; the file does not.",
  options: [
    insecureOption,
    { name: "password-stdin", help: "read the password from standard input" },
    { name: "username", short: "u", value: "NAME", help: "who you are" },
  ],
  examples: ["pass show registry | gantry login --username me --password-stdin registry.example"],
  run: async (context, parsed) => {
    const [registry = ""] = parsed.operands;
    const username = valueOf(parsed, "username");
    if (username === undefined) throw new CodedError("invalid-argument", "cannot log in: say who you are with --username");
    const password = await readPassword(context, parsed.switches.has("password-stdin"));
    const place = await context
      .engine()
      .logIn({ registry, username, password, ...(parsed.switches.has("insecure") ? { insecure: true } : {}) });
    context.output.write(`Logged in at ${printable(registry)} (kept in ${printable(place)})\n`);
    return 0;
  },
};

async function readPassword(context: CliContext, isPiped: boolean): Promise<string> {
  if (!isPiped) {
    if (context.isInputTerminal()) return await context.readSecret("Password: ");
    throw new CodedError("invalid-argument", "cannot log in: standard input is no terminal to ask at (use --password-stdin)");
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of context.standardInput()) {
    length += chunk.length;
    if (length > maxPasswordBytes)
      throw new CodedError("invalid-argument", `cannot log in: the password has more than ${maxPasswordBytes} bytes`);
    chunks.push(chunk);
  }
  const password = Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
  if (password === "") throw new CodedError("invalid-argument", "cannot log in: the password on standard input is empty");
  return password;
}

/** `gantry logout`. */
export const logoutCommand: Command<CliContext> = {
  name: "logout",
  summary: "Forget the credentials for a registry",
  operands: "REGISTRY",
  minOperands: 1,
  maxOperands: 1,
  options: [],
  run: async (context, parsed) => {
    const [registry = ""] = parsed.operands;
    const wasThere = await context.engine().logOut(registry);
    context.output.write(wasThere ? `Logged out of ${printable(registry)}\n` : `There was no login at ${printable(registry)}\n`);
    return 0;
  },
};
