/** A target that answers everything with 200 and says what it was asked for, and keeps nothing. */
import { field, ok, type RawRequest, RawUpstream } from "../../support/upstream.ts";
import { isOfOneHop, type Meaning } from "./reading.ts";

/** Stands for the body of an answer that has none. */
export const ANSWERED_200 = "no body";

export function countingUpstream(onRequest: (request: RawRequest) => void): RawUpstream {
  const upstream: RawUpstream = new RawUpstream((request) => {
    onRequest(request);
    upstream.requests.length = 0;
    const answer = ok(request.target);
    return request.method === "HEAD" ? answer.slice(0, answer.indexOf("\r\n\r\n") + 4) : answer;
  });
  return upstream;
}

const STRICT_FIELD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t\x20-\x7e\x80-\xff]*$/;

/** What a strict server would say against a request that a proxy sent it; null for nothing. */
export function fault({ head, line, fields }: RawRequest): string | null {
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ \/[\x21-\x7e\x80-\xff]* HTTP\/1\.1$/.test(line)) {
    return "a bad request line";
  }
  const bad = head.split("\r\n").slice(1).find((text) => !STRICT_FIELD.test(text));
  if (bad !== undefined) return `a bad field: ${JSON.stringify(bad)}`;
  const count = (pattern: RegExp) => fields.filter(([name]) => pattern.test(name)).length;
  if (count(/^host$/i) !== 1) return "not one Host";
  if (count(/^(content-length|transfer-encoding)$/i) > 1) return "framed twice";
  return null;
}

/** What a request means, in a form to compare: empty members of lists, and empty fields, say nothing. */
export function meaningOf(
  { method, target, host, body, fields }: Omit<Meaning, "isForNobody">,
  normalizesTarget: boolean,
): string {
  const members = (name: string, value: string) => value.split(name === "cookie" ? /; */ : /[ \t]*,[ \t]*/);
  const said = [...fields].map(([name, value]) => [name, members(name, value).filter(Boolean).join(", ")])
    // What fetch adds says as much as nothing.
    .filter(([name, value]) => value !== "" && !(name === "accept-encoding" && value === "identity")).sort();
  return JSON.stringify([method, normalizesTarget ? normalized(target) : target, host, body, said]);
}

/** As fetch writes a target. */
export function normalized(target: string): string {
  // Put behind the authority, so that one which begins with two slashes is still a path.
  const bytes = Uint8Array.from(target, (character) => character.charCodeAt(0));
  const { pathname, search } = new URL(`http://x${new TextDecoder().decode(bytes)}`);
  return pathname + search;
}

/** The same of what has arrived. */
export function arrivedMeaning(request: RawRequest, normalizesTarget: boolean): string {
  const fields = new Map<string, string>();
  for (const line of request.head.split("\r\n").slice(1)) {
    const [, name, value] = /^(.*?):[ \t]*(.*?)[ \t]*$/.exec(line) ?? ["", line, ""];
    if (!isOfOneHop(name)) fields.set(name, value);
  }
  const { method, target, body } = request;
  return meaningOf({ method, target, host: field(request, "host") ?? "", body, fields }, normalizesTarget);
}
