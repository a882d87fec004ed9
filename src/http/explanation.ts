/** What `explain` is asked and what it answers: the decisions of the proxy about one request, and why. */
import { isIP } from "node:net";
import { type FlatHeaders, isFieldName, isFieldValue } from "./flat_headers.ts";
import type { ErrorCode } from "./refusal.ts";

/** A request that nobody has sent. */
export interface ExplainQuestion {
  method: string;
  scheme: "http" | "https";
  /** Host as a client would write it, with an optional port. */
  authority: string;
  /** Path and query, beginning with `/`. */
  target: string;
  /** Further fields of the client, names in lower case; no `host`. */
  headers: FlatHeaders;
  /** Address the connection would come from. */
  peerIp: string;
}

/** A question as people write it: on a command line, in a query. */
export interface QuestionParts {
  host: string;
  /** Default `/`. */
  path?: string;
  /** Default GET. */
  method?: string;
  /** `http` or `https`; default `http`. */
  scheme?: string;
  /** Each `Name: value`. */
  headers?: readonly string[];
  /** Default 127.0.0.1. */
  clientIp?: string;
}

/** @throws TypeError that names the part, what it is and what is wanted */
export function questionOf(parts: QuestionParts): ExplainQuestion {
  const { host, path = "/", method = "GET", scheme = "http", headers = [], clientIp = "127.0.0.1" } = parts;
  if (!/^[!-~]{1,300}$/.test(host) || /[/?#@]/.test(host)) {
    throw wrong("host", host, "a host name with an optional port, such as api.example.com");
  }
  if (!path.startsWith("/")) throw wrong("path", path, "a path that begins with /, with an optional query");
  if (!isFieldName(method)) throw wrong("method", method, "a method such as GET or POST");
  if (scheme !== "http" && scheme !== "https") throw wrong("scheme", scheme, "http or https");
  if (isIP(clientIp) === 0) throw wrong("client IP", clientIp, "an IPv4 or IPv6 address");
  return {
    method,
    scheme,
    authority: host,
    target: path,
    headers: headers.flatMap(fieldOf),
    peerIp: clientIp,
  };
}

function fieldOf(text: string): FlatHeaders {
  const colon = text.indexOf(":");
  const name = text.slice(0, Math.max(colon, 0)).toLowerCase();
  const value = text.slice(colon + 1).trim();
  if (!isFieldName(name) || !isFieldValue(value)) throw wrong("header", text, 'the form "Name: value"');
  if (name === "host") throw wrong("header", text, "another field: the host is told apart");
  return [name, value];
}

function wrong(what: string, found: string, wanted: string): TypeError {
  return new TypeError(`${what} is ${JSON.stringify(found.slice(0, 100))}, wanted ${wanted}`);
}

/** How a step ended. */
export type StepOutcome = "passed" | "refused" | "answered" | "chose";

export interface TraceEntry {
  step: string;
  outcome: StepOutcome;
  /** One sentence for people. */
  summary: string;
  /** The same for programs: plain data, different for each step. */
  details?: Record<string, unknown>;
}

/** The request that a target would get. */
export interface ExplainedUpstream {
  target: string;
  /** Scheme, host and port of the target, then path and query byte for byte. */
  url: string;
  method: string;
  /** Names and values in the order sent; values that may be secret are masked. */
  headers: [name: string, value: string][];
}

export interface Explanation {
  /** `forward`: a target gets it; `refuse`: the proxy answers with an error; `answer`: a rule or plugin answers. */
  outcome: "forward" | "refuse" | "answer";
  /** Status of the proxy's own answer; null where a target answers. */
  status: number | null;
  /** The `x-dispa-error` code of a refusal. */
  code: ErrorCode | null;
  message: string | null;
  /** The domain pattern that matched; null if none did or the request did not get so far. */
  domain: string | null;
  /** Name of the routing rule that matched, null likewise. */
  route: string | null;
  /** Name of the target that would get it; null where none would. */
  target: string | null;
  steps: TraceEntry[];
  upstream: ExplainedUpstream | null;
}

const MASK = "********";
const SECRET_FIELD = /authorization|cookie|token|secret|passw|credential|api[_-]?key|session|signature/i;

/** A field's value as it may be shown: names that sound like secrets keep theirs. */
export function shownValue(name: string, value: string): string {
  return SECRET_FIELD.test(name) ? MASK : value;
}
