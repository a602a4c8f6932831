/** The tree holds the product and nothing of the place where it was written. The patterns are written so that none matches itself. */
import { expect, test } from "bun:test";
import { filesBelow, textOf } from "./tree.ts";

const banned: Readonly<Record<string, RegExp>> = {
  "the host of a package or image registry": /\b(?:registry[\w-]*\.\w+|index\.\w+|\w+cr|qu[a]y)\.(?:io|org|com|dev)\b|\bdeb\.\w+\.org\b/,
  "a path of somebody's machine": /(?<![\w.])\/(?:wor[k])\/(?:main|shared)|\/dev\/shm\/\w+\/|(?<![\w.])\/hom[e]\/(?!user\b)[a-z]+\//,
  "who or what wrote it": /\bagents?\x20sessions?\b|\bsub-?agent[s]?\b(?!\[)|\blanguage\x20models?\b|\bAI\x20assistants?\b/i,
};

function faultsIn(file: string, text: string): string[] {
  return Object.entries(banned).flatMap(([what, pattern]) => {
    const found = pattern.exec(text)?.[0];
    return found === undefined ? [] : [`${file} holds ${what}: ${found}`];
  });
}

const textFiles = [".ts", ".mjs", ".json", ".md", ".sh", ".c", ".h", ".txt", ".npmrc", "/run", "LICENSE"];

test("no file names a registry's host, a path of somebody's machine or who wrote it", () => {
  const files = filesBelow(".", textFiles);
  expect(files.length).toBeGreaterThan(30);
  expect(files.flatMap((file) => faultsIn(file, textOf(file)))).toEqual([]);
});

test("package-lock.json names no place to download from", () => {
  expect(textOf("package-lock.json")).not.toContain('"resolved"');
});

test.each([
  ["registry", "sample", "org"].join("."),
  ["registry-1", "sample", "io"].join("."),
  ["abcr", "io"].join("."),
  ["", "work", "main", "src"].join("/"),
  ["", "dev", "shm", "scratch", "x"].join("/"),
  ["an Agent", "Session"].join(" "),
])("planted words %# are found", (words) => {
  expect(faultsIn("a.md", `see ${words} for more`)).toHaveLength(1);
});

test("innocent words are let pass", () => {
  expect(faultsIn("a.md", "registry.example/app, a tmpfs at /dev/shm, the agent of a session, work/main")).toEqual([]);
});
