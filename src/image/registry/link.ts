/** Where a list goes on: the Link header. @see RFC 8288 section 3; checklist T1 */
import { CodedError } from "#base/errors.ts";
import type { HttpResponse } from "./transport.ts";

const maxHeaderLength = 16 << 10;

/** The next page after `response`, if there is one. It must be of the same registry. @throws CodedError `invalid-spec` */
export function nextLink(response: HttpResponse, doing: string): URL | undefined {
  const header = response.header("link") ?? "";
  if (header.length > maxHeaderLength) throw new CodedError("invalid-spec", `cannot ${doing}: its Link header is too long`);
  for (const [, target = "", parameters = ""] of header.matchAll(
    /<([^<>]*)>((?:\s*;\s*[A-Za-z0-9*!#$&+.^_`|~-]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]+))?)*)/g,
  )) {
    if (!/;\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?![^\s;]))/i.test(parameters)) continue;
    if (!URL.canParse(target, response.url)) throw new CodedError("invalid-spec", `cannot ${doing}: its Link header leads nowhere`);
    const next = new URL(target, response.url);
    // A list is asked for with our credentials.
    if (next.origin !== new URL(response.url).origin)
      throw new CodedError("invalid-spec", `cannot ${doing}: its next page is said to be at another place, ${next.host}`);
    return next;
  }
  return undefined;
}
