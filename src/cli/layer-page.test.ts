import { expect, test } from "bun:test";
import type { ByteString } from "#base/byte-string.ts";
import { layerPage } from "./layer-page.ts";

test("nothing of an image becomes markup or a control character", () => {
  const hostile = `'"><script>alert('1')</script>\x1b[2J\u009b2J\u202e`;
  const page = layerPage({
    image: hostile,
    id: hostile,
    layers: [
      {
        digest: hostile,
        diffId: hostile,
        mediaType: hostile,
        sizeBytes: 1,
        createdBy: hostile,
        created: hostile,
        comment: hostile,
        archiveBytes: 1,
        entries: 1,
        wastedBytes: 0,
        files: [{ change: "added", path: hostile as ByteString, isDirectory: false, sizeBytes: 1 }],
      },
    ],
  });
  expect(page).not.toContain("<script");
  expect(page).toContain("&#39;&quot;&gt;&lt;script&gt;");
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  expect(page).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  expect(page).toContain("default-src 'none'");
});
