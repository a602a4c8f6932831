import { expect, test } from "bun:test";
import { placesOf } from "./access.ts";

const places = (environment: Readonly<Record<string, string>>) => placesOf({ environment, userId: 7 });
const variables = ["HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "GANTRY_REGISTRIES"];

test("credentials and settings are where docker and podman have them", () => {
  expect(places({ HOME: "/h", XDG_RUNTIME_DIR: "/r" })).toEqual({
    credentials: ["/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"],
    newLogin: "/h/.docker/config.json",
    settings: ["/h/.config/gantry/registries.json", "/etc/gantry/registries.json"],
    certificates: ["/h/.config/containers/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d"],
  });
  expect(places({ HOME: "/h", REGISTRY_AUTH_FILE: "mine.json", GANTRY_REGISTRIES: "s.json" })).toMatchObject({
    credentials: ["mine.json"],
    newLogin: "mine.json",
    settings: ["s.json"],
  });
});

test("an empty variable does not mean the current directory", () => {
  expect(places(Object.fromEntries(variables.map((name) => [name, ""])))).toEqual(places({}));
  expect(places({ HOME: "/h", XDG_CONFIG_HOME: "etc", XDG_RUNTIME_DIR: "run" })).toEqual(places({ HOME: "/h" }));
  const { credentials, newLogin, settings, certificates } = places({ HOME: "" });
  expect([...credentials, newLogin, ...settings, ...certificates].filter((path) => !path.startsWith("/"))).toEqual([]);
});
