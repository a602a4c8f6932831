import { describe, expect, test } from "bun:test";
import { checkOperands, parseArguments } from "./arguments.ts";
import type { OptionSpec } from "./command.ts";

const options: readonly OptionSpec[] = [
  { name: "interactive", short: "i", help: "" },
  { name: "tty", short: "t", help: "" },
  { name: "env", short: "e", value: "NAME", multiple: true, help: "" },
  { name: "memory", short: "m", value: "SIZE", help: "" },
  { name: "format", value: "FORMAT", choices: ["table", "json"], help: "" },
];

describe("parseArguments()", () => {
  test("takes values behind a space, behind = and glued to the letter", () => {
    const parsed = parseArguments(["--memory", "1g", "-eA=1", "-e", "B=2", "--env=C=3"], { options });
    expect(parsed.values.get("memory")).toEqual(["1g"]);
    expect(parsed.values.get("env")).toEqual(["A=1", "B=2", "C=3"]);
  });

  test("splits letters that stand together, the last of which may take a value", () => {
    const parsed = parseArguments(["-itm", "64m"], { options });
    expect([...parsed.switches]).toEqual(["interactive", "tty"]);
    expect(parsed.values.get("memory")).toEqual(["64m"]);
  });

  test("leaves everything behind the first operand to the container when the command says so", () => {
    const parsed = parseArguments(["-i", "debian", "ls", "-e", "--memory"], { options, stopAtOperand: true });
    expect(parsed.operands).toEqual(["debian", "ls", "-e", "--memory"]);
  });

  test("ends options at --", () => {
    expect(parseArguments(["--", "-i"], { options }).operands).toEqual(["-i"]);
  });

  test("offers the nearest option for an unknown one", () => {
    expect(() => parseArguments(["--memroy", "1g"], { options })).toThrow("unknown option --memroy (did you mean --memory?)");
  });

  test("refuses a missing value, a value for a switch and a value that is no choice", () => {
    expect(() => parseArguments(["--memory"], { options })).toThrow("option --memory needs a value: --memory SIZE");
    expect(() => parseArguments(["--tty=yes"], { options })).toThrow("option --tty takes no value");
    expect(() => parseArguments(["--format", "xml"], { options })).toThrow('option --format is "xml", not one of table, json');
  });

  test("takes names behind one dash only where the caller asks for it", () => {
    expect([...parseArguments(["-tty"], { options, isGoStyle: true }).switches]).toEqual(["tty"]);
    expect(() => parseArguments(["-tty"], { options })).toThrow("unknown option -y");
  });
});

test("checkOperands() names the operand that is too many", () => {
  expect(() => checkOperands(["a", "b"], { minOperands: 0, maxOperands: 1 })).toThrow('unexpected argument "b"');
  expect(() => checkOperands([], { minOperands: 1, maxOperands: 1 })).toThrow("an argument is missing");
});
