/** The first step: host, method and target must be such that every later step and the upstream read them alike. */
import { framingProblem } from "../http/framing.ts";
import type { Refusal } from "../http/refusal.ts";
import type { ClientConnection } from "./connections.ts";
import type { Exchange } from "./exchange.ts";
import { type Authority, parseAuthority, splitUrl, targetBytes, targetProblem } from "./request_target.ts";

/** Hosts whose parsed form is remembered. */
const MAX_REMEMBERED_HOSTS = 1024;

/** Parses hosts, and remembers those that come again and again. */
export class Authorities {
  readonly #known = new Map<string, Authority | null>();

  parse(raw: string): Authority | null {
    let authority = this.#known.get(raw);
    if (authority === undefined) {
      authority = parseAuthority(raw);
      if (this.#known.size >= MAX_REMEMBERED_HOSTS) this.#known.clear();
      this.#known.set(raw, authority);
    }
    return authority;
  }
}

/**
 * Fills in the exchange's authority, host and target.
 * @param connection null for a question that came on none
 */
export function receive(
  exchange: Exchange,
  authorities: Authorities,
  connection: Pick<ClientConnection, "port" | "agreedHttp2"> | null,
): Refusal | null {
  const { fields } = exchange;
  const parts = splitUrl(exchange.request.url, fields.host);
  exchange.target = exchange.receivedTarget = targetBytes(parts.target);
  // First of all: a request that is refused for something else leaves its connection open.
  const framing = framingProblem(fields);
  if (framing !== null) return { ...badRequest(framing), close: true };
  const authority = authorities.parse(parts.authority);
  if (authority === null) return badRequest("Host is not a valid host name with an optional port");
  exchange.authority = authority.raw;
  exchange.host = authority.host;
  if (fields.host === null) {
    // Without a Host field the listener makes one up, the same for every such request. HTTP/2 clients have
    // no Host field either but name an authority; the two can be told apart only where TLS has agreed on it.
    const madeUp = connection === null || connection.agreedHttp2 ? null : `localhost:${connection.port}`;
    if (parts.authority === madeUp) {
      return badRequest("Host is missing: HTTP/1.1 requires it");
    }
  } else if (fields.host !== parts.authority && authorities.parse(fields.host) === null) {
    return badRequest("Host is not a valid host name with an optional port");
  }
  const { method, target } = exchange;
  if (method === "CONNECT" || method === "TRACE") {
    return { code: "method_not_allowed", message: `${method} is not supported by this proxy` };
  }
  const problem = targetProblem(target);
  if (problem !== null) return badRequest(problem);
  // The runtime drops the body of GET and HEAD: better to refuse than to forward half a request.
  if ((method === "GET" || method === "HEAD") && exchange.hasBody) {
    return badRequest(`a body in a ${method} request is not supported by this proxy, use POST`);
  }
  return null;
}

function badRequest(message: string): Refusal {
  return { code: "bad_request", message: `Bad request: ${message}` };
}
