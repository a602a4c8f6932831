import { expect, test } from "bun:test";
import { formatImagePlace, parseImagePlace } from "./transport.ts";

const digest = `sha256:${"a".repeat(64)}`;

test.each([
  ["docker://a.example/x", { transport: "docker", name: "a.example/x:latest" }],
  ["docker://a.example:5000/x:1", { transport: "docker", name: "a.example:5000/x:1" }],
  ["oci:dir", { transport: "oci", path: "dir" }],
  ["oci:./a/b:1.0", { transport: "oci", path: "./a/b", name: "1.0" }],
  ["oci:dir:a.example/x:1", { transport: "oci", path: "dir", name: "a.example/x:1" }],
  [`oci:dir@${digest}`, { transport: "oci", path: "dir", digest }],
  ["oci-archive:/x.tar:v1", { transport: "oci-archive", path: "/x.tar", name: "v1" }],
  ["docker-archive:x.tar", { transport: "docker-archive", path: "x.tar" }],
  ["docker-archive:x.tar:debian", { transport: "docker-archive", path: "x.tar", name: "debian:latest" }],
  ["store:oci:1", { transport: "store", name: "oci:1" }],
  ["debian:12", { transport: "store", name: "debian:12" }],
  ["docker:24", { transport: "store", name: "docker:24" }],
  ["localhost:5000/x", { transport: "store", name: "localhost:5000/x" }],
] as const)("%s is read", (text, place) => {
  expect(parseImagePlace(text)).toEqual(place as never);
  expect(parseImagePlace(formatImagePlace(place as never))).toEqual(place as never);
});

test.each([
  ["", "it is empty"],
  ["oci:", "a path follows"],
  ["oci:dir:", "a name follows"],
  ["oci:dir:a//b", "is not made of letters and digits"],
  ["oci:dir@sha256:abc", "sha256 needs 64"],
  ["docker://UPPER/x y", "is not made of"],
  ["docker-archive:x:A B", "cannot use image name"],
  ["containers-storage:x", "there is no transport containers-storage here"],
  ["https://a.example/x", "registries are docker://NAME"],
  ["store:", "a name follows after store:"],
])("%p is refused", (text, message) => {
  expect(() => parseImagePlace(text)).toThrow(message);
});
