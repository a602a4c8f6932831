import { describe, expect, test } from "bun:test";
import { parseChallenges } from "./challenge.ts";

const plain = (header: string): unknown =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe("A1 parseChallenges()", () => {
  test.each([
    [
      'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
      [["bearer", { realm: "https://auth.example/token", service: "registry.example", scope: "repository:a/b:pull,push" }]],
    ],
    ['Basic realm="a, \\"b\\"", charset=UTF-8', [["basic", { realm: 'a, "b"', charset: "UTF-8" }]]],
    [
      "Negotiate, Basic realm=x",
      [
        ["negotiate", {}],
        ["basic", { realm: "x" }],
      ],
    ],
    [
      "Negotiate YWJjZA==, Basic realm=x",
      [
        ["negotiate", {}],
        ["basic", { realm: "x" }],
      ],
    ],
    [
      'Bearer realm="a",scope="", Basic realm="b"',
      [
        ["bearer", { realm: "a", scope: "" }],
        ["basic", { realm: "b" }],
      ],
    ],
    ['bearer REALM = "a" , service = b', [["bearer", { realm: "a", service: "b" }]]],
    [', ,Basic realm="x",,', [["basic", { realm: "x" }]]],
    ['Bearer realm="first",realm="second"', [["bearer", { realm: "first" }]]],
    ["", []],
    ["Basic", [["basic", {}]]],
  ])("reads %s", (header, expected) => {
    expect(plain(header)).toEqual(expected);
  });

  test.each(['Bearer realm="unclosed', "Bearer realm=\u0001", '"quoted"', "=,="])("makes nothing up of %s", (header) => {
    for (const { parameters } of parseChallenges(header)) expect([...parameters]).toEqual([]);
  });

  test("does not look at a header of more than 16 KiB", () => {
    expect(parseChallenges(`Basic realm="${"x".repeat(20_000)}"`)).toEqual([]);
  });
});
