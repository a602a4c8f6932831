import { expect, test } from "bun:test";
import type { ImageSummary } from "#engine/requests.ts";
import { filterImages } from "./image-filter.ts";

const base = { manifestDigest: "sha256:m", sizeBytes: 1, uniqueBytes: 1, kind: "image", platform: "linux/amd64", labels: {} } as const;
const images: readonly ImageSummary[] = [
  { ...base, name: "debian:12", id: "sha256:aaaa", createdAt: new Date(1000), labels: { os: "debian" } },
  { ...base, name: "a.example/tools/debian:11", id: "sha256:bbbb", createdAt: new Date(500), platform: "linux/arm64/v8" },
  { ...base, name: undefined, id: "sha256:cccc", createdAt: undefined, labels: { os: "none" } },
];

test.each([
  [["dangling=true"], ["cccc"]],
  [["dangling=false"], ["aaaa", "bbbb"]],
  [["reference=debian"], ["aaaa", "bbbb"]],
  [["reference=debian:1?"], ["aaaa", "bbbb"]],
  [["reference=a.example/*/*"], ["bbbb"]],
  [["reference=*"], ["aaaa", "bbbb"]],
  [["label=os"], ["aaaa", "cccc"]],
  [["label=os=debian"], ["aaaa"]],
  [["label=os", "dangling=true"], ["cccc"]],
  [
    ["label=os=debian", "label=os=none"],
    ["aaaa", "cccc"],
  ],
  [["platform=linux/arm64"], ["bbbb"]],
  [["before=debian:12"], ["bbbb"]],
  [["since=sha256:bbbb"], ["aaaa"]],
])("%j finds %j", (filters, ids) => {
  expect(filterImages(images, filters).map(({ id }) => id.slice(7))).toEqual(ids);
});

test.each([
  ["dangling=maybe", "is not true or false"],
  ["size=1", "it is not one of"],
  ["before=unknown", "is not the name or id of an image"],
])("%s is refused", (filter, message) => {
  expect(() => filterImages(images, [filter])).toThrow(message);
});
