/** `--filter` of `images`; pure. */
import { CodedError } from "#base/errors.ts";
import type { ImageSummary } from "#engine/requests.ts";

/** Filters of one key widen the choice, filters of several keys narrow it, as docker has it. @throws CodedError `invalid-argument` */
export function filterImages(images: readonly ImageSummary[], filters: readonly string[]): readonly ImageSummary[] {
  const byKey = new Map<string, ((image: ImageSummary) => boolean)[]>();
  for (const filter of filters) {
    const equals = filter.indexOf("=");
    const [key, value] = equals < 0 ? [filter, ""] : [filter.slice(0, equals), filter.slice(equals + 1)];
    byKey.set(key, [...(byKey.get(key) ?? []), testFor(key, value, images)]);
  }
  return images.filter((image) => [...byKey.values()].every((tests) => tests.some((test) => test(image))));
}

function testFor(key: string, value: string, images: readonly ImageSummary[]): (image: ImageSummary) => boolean {
  switch (key) {
    case "dangling":
      if (value !== "true" && value !== "false") throw fault(key, value, "true or false");
      return (image) => (image.name === undefined) === (value === "true");
    case "reference": {
      const pattern = globPattern(value);
      return ({ name }) =>
        name !== undefined && [name, withoutTag(name), lastPart(name), withoutTag(lastPart(name))].some((text) => pattern.test(text));
    }
    case "label": {
      const [name = "", wanted] = value.split(/=(.*)/s);
      return ({ labels }) => Object.hasOwn(labels, name) && (wanted === undefined || labels[name] === wanted);
    }
    case "platform":
      return ({ platform }) => platform === value || platform.startsWith(`${value}/`);
    case "before":
    case "since": {
      const at = images.find(
        (image) => image.name === value || withoutTag(image.name ?? "") === value || idStartsWith(image.id, value),
      )?.createdAt;
      if (at === undefined) throw fault(key, value, "the name or id of an image whose age is known");
      return ({ createdAt }) => createdAt !== undefined && (key === "before" ? createdAt < at : createdAt > at);
    }
    default:
      throw new CodedError(
        "invalid-argument",
        `cannot filter by ${JSON.stringify(key)}: it is not one of dangling, reference, label, platform, before, since`,
      );
  }
}

function fault(key: string, value: string, wanted: string): CodedError {
  return new CodedError("invalid-argument", `cannot filter by ${key}: ${JSON.stringify(value)} is not ${wanted}`);
}

/** `*` and `?` stop at a slash, as in Go's path.Match, which docker's users know. */
function globPattern(glob: string): RegExp {
  const body = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]");
  return new RegExp(`^${body}$`);
}

function withoutTag(name: string): string {
  const colon = name.indexOf(":", name.lastIndexOf("/") + 1);
  return colon < 0 ? name : name.slice(0, colon);
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}

function idStartsWith(id: string, beginning: string): boolean {
  return beginning.length >= 4 && (id.startsWith(beginning) || id.startsWith(`sha256:${beginning}`));
}
